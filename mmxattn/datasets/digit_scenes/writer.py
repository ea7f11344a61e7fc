"""Write the digit scenes to disk, atomically."""
import json
import os
import shutil
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from .drawing import encode_png
from .scene import MAX_SIZE, Digit, render, split_sources

__all__ = ['CLASSES', 'PALETTE', 'check_split', 'data_root', 'write']

VERSION = 2  # increase it when any byte changes, so that existing folders are no longer used
CLASSES = tuple('0123456789')
PALETTE = ((230, 25, 75), (60, 180, 75), (255, 225, 25), (0, 130, 200), (245, 130, 48), (145, 30, 180), (70, 240, 240),
           (240, 50, 230), (210, 245, 60), (250, 190, 212))
STALE_SECONDS = 3600  # age at which an unfinished folder is considered abandoned


def data_root(num_train: int = 1000, num_test: int = 200, size: int = 160, seed: int = 0,
              cache: str | Path | None = None) -> str:
    """Return the folder of a dataset without writing it.

    Args:
        num_train: Number of training scenes.
        num_test: Number of test scenes.
        size: Side of a scene in pixels, at least 132.
        seed: Seed from 0 to 2^32 - 1.
        cache: Folder that contains ``digit_scenes/``. Default: ``$MMXATTN_CACHE``, else ``$XDG_CACHE_HOME/mmxattn``,
            else ``~/.cache/mmxattn``.

    Returns:
        Absolute path without a trailing slash.

    Raises:
        ValueError: If a number is out of range.
    """
    if num_train < 1 or num_test < 1:
        raise ValueError(f'num_train and num_test must be at least 1, got num_train={num_train} and '
                         f'num_test={num_test}.')
    if size < MAX_SIZE:
        raise ValueError(f'size must be at least {MAX_SIZE} pixels, the size of the largest digit, got size={size}.')
    if not 0 <= seed < 2**32:
        raise ValueError(f'seed must be from 0 to 2^32 - 1, got seed={seed}.')
    cache = cache or os.environ.get('MMXATTN_CACHE') or os.path.join(
        os.environ.get('XDG_CACHE_HOME') or '~/.cache', 'mmxattn')
    name = f'v{VERSION}_seed{seed}_train{num_train}_test{num_test}_{size}px'
    return os.path.abspath(os.path.join(os.path.expanduser(cache), 'digit_scenes', name))


def check_split(split: str) -> None:
    """Raise ValueError if ``split`` is not ``'train'`` or ``'test'``."""
    if split not in ('train', 'test'):
        raise ValueError(f"split must be 'train' or 'test', got split={split!r}.")


def write(num_train: int = 1000, num_test: int = 200, size: int = 160, seed: int = 0,
          cache: str | Path | None = None) -> str:
    """Write the dataset, unless it exists.

    The folder contains ``{train,test}/images/*.png`` (RGB), ``{train,test}/labels/*.png`` (0 is background, d + 1 is
    digit d) and ``{train,test}.json`` (COCO boxes, run-length masks of the visible pixels, and the source image of each
    digit). It is renamed to its final name when it is complete, so an interrupted run never leaves a partial dataset.
    If several processes write at once, the first one wins.

    Args:
        num_train: Number of training scenes.
        num_test: Number of test scenes.
        size: Side of a scene in pixels, at least 132.
        seed: Seed from 0 to 2^32 - 1.
        cache: See :func:`data_root`.

    Returns:
        Folder of the dataset, see :func:`data_root`.

    Raises:
        ValueError: If a number is out of range.
        ImportError: If scikit-learn is not installed.
    """
    root = Path(data_root(num_train, num_test, size, seed, cache))
    if root.is_dir():
        return str(root)
    root.parent.mkdir(parents=True, exist_ok=True)
    _remove_stale_folders(root)
    unfinished = Path(tempfile.mkdtemp(prefix=f'.{root.name}.', dir=root.parent))
    try:
        unfinished.chmod(0o755)  # mkdtemp creates folders that other users cannot read
        _write_split(unfinished, 'train', num_train, size, seed)
        _write_split(unfinished, 'test', num_test, size, seed)
        os.rename(unfinished, root)
    except OSError:
        if not root.is_dir():  # otherwise another process finished first
            raise
    finally:
        shutil.rmtree(unfinished, ignore_errors=True)
    return str(root)


def _remove_stale_folders(root: Path) -> None:
    """Remove the unfinished folders of killed processes."""
    for folder in root.parent.glob(f'.{root.name}.*'):
        try:
            if time.time() - folder.stat().st_mtime > STALE_SECONDS:
                shutil.rmtree(folder, ignore_errors=True)
        except FileNotFoundError:
            pass  # another process removed it


def _write_split(folder: Path, split: str, count: int, size: int, seed: int) -> None:
    sources = split_sources(seed)[split]
    for kind in ('images', 'labels'):
        (folder / split / kind).mkdir(parents=True)
    images: list[dict] = []
    annotations: list[dict] = []
    for index in _with_progress(count, f'digit scenes, {split}'):
        # One generator per scene, so that a scene does not depend on the number of scenes.
        rng = np.random.RandomState([seed, ('train', 'test').index(split), index])
        scene = render(rng, sources, size)
        name = f'{index:06d}.png'
        labels = np.zeros((size, size), np.uint8)
        for digit in scene.digits:
            labels[digit.mask] = digit.label + 1
            annotations.append(dict(id=len(annotations) + 1, image_id=index + 1, **_to_coco(digit)))
        images.append(dict(id=index + 1, file_name=name, width=size, height=size))
        (folder / split / 'images' / name).write_bytes(encode_png(scene.image))
        (folder / split / 'labels' / name).write_bytes(encode_png(labels))
    categories = [dict(id=k + 1, name=name) for k, name in enumerate(CLASSES)]
    text = json.dumps(dict(images=images, annotations=annotations, categories=categories), sort_keys=True,
                      separators=(',', ':'))
    (folder / f'{split}.json').write_bytes(text.encode('ascii'))


def _to_coco(digit: Digit) -> dict[str, Any]:
    """Return the COCO annotation of a digit. The box and the area are those of its visible pixels."""
    rows, columns = (np.flatnonzero(digit.mask.any(axis)) for axis in (1, 0))
    top, left = int(rows[0]), int(columns[0])
    column_major = digit.mask.T.ravel()
    edges = np.flatnonzero(np.diff(column_major, prepend=False))
    runs = np.diff(edges, prepend=0, append=column_major.size)
    return dict(
        category_id=digit.label + 1,
        bbox=[left, top, int(columns[-1]) + 1 - left, int(rows[-1]) + 1 - top],
        area=int(digit.mask.sum()),
        iscrowd=0,
        segmentation=dict(size=list(digit.mask.shape), counts=runs.tolist()),
        source=digit.source)


def _with_progress(count: int, title: str) -> Iterator[int]:
    """Iterate over ``range(count)`` and report the progress on stderr."""
    live = sys.stderr.isatty()
    for index in range(count):
        yield index
        if live and (index + 1) % 50 == 0 or index + 1 == count:
            print(f'\r{title}: {index + 1}/{count}', end='' if live else '\n', file=sys.stderr, flush=True)
    if live:
        print(file=sys.stderr)
