"""The digit scenes on disk: where they lie, and how they get there whole."""
import json
import os
import shutil
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

from .drawing import png
from .scene import MAX_SIZE, render, split_sources

VERSION = 2  # raise it whenever any byte changes: old folders then stay unused
CLASSES = tuple('0123456789')
PALETTE = ((230, 25, 75), (60, 180, 75), (255, 225, 25), (0, 130, 200),
           (245, 130, 48), (145, 30, 180), (70, 240, 240), (240, 50, 230),
           (210, 245, 60), (250, 190, 212))
STALE = 3600  # seconds after which an unfinished folder belongs to nobody


def data_root(num_train=1000, num_test=200, size=160, seed=0, cache=None):
    """Folder of the dataset with these parameters; writes nothing.

    Args:
        num_train (int): Training scenes.
        num_test (int): Test scenes.
        size (int): Side of a scene, in pixels, at least 128.
        seed (int): Seed, 0 to 2^32 - 1.
        cache (str | Path, optional): Folder that holds ``digit_scenes/``.
            Default: ``$MMXATTN_CACHE``, else ``$XDG_CACHE_HOME/mmxattn``, else
            ``~/.cache/mmxattn``.

    Returns:
        str: Absolute path, without a trailing slash.

    Raises:
        ValueError: A number outside its range.
    """
    if num_train < 1 or num_test < 1:
        raise ValueError(f'num_train={num_train} and num_test={num_test} must '
                         'both be at least 1')
    if size < MAX_SIZE:
        raise ValueError(f'size={size} cannot hold the largest digit; take at '
                         f'least {MAX_SIZE} pixels')
    if not 0 <= seed < 2**32:
        raise ValueError(f'seed={seed} is outside 0 .. 2^32 - 1')
    cache = cache or os.environ.get('MMXATTN_CACHE') or os.path.join(
        os.environ.get('XDG_CACHE_HOME') or '~/.cache', 'mmxattn')
    name = f'v{VERSION}_seed{seed}_train{num_train}_test{num_test}_{size}px'
    return os.path.abspath(
        os.path.join(os.path.expanduser(cache), 'digit_scenes', name))


def check_split(split):
    """Raise ValueError unless ``split`` is 'train' or 'test'."""
    if split not in ('train', 'test'):
        raise ValueError(f"split={split!r} is unknown; take 'train' or 'test'")


def write(num_train=1000, num_test=200, size=160, seed=0, cache=None):
    """Write the dataset unless it is there.

    ``{train,test}/images/*.png`` (RGB), ``{train,test}/labels/*.png`` (0
    background, digit d as d + 1) and ``{train,test}.json`` (COCO boxes, run-
    length masks of the visible pixels, and the source image of each digit).

    The folder appears under its name in one rename, when it is whole: an
    interrupted run leaves nothing that could be taken for it, and of several
    processes that write at once the first one's folder stays.

    Args:
        num_train (int): Training scenes.
        num_test (int): Test scenes.
        size (int): Side of a scene, in pixels, at least 128.
        seed (int): Seed, 0 to 2^32 - 1.
        cache (str | Path, optional): See :func:`data_root`.

    Returns:
        str: The folder, as from :func:`data_root`.

    Raises:
        ValueError: A number outside its range.
    """
    root = Path(data_root(num_train, num_test, size, seed, cache))
    if root.is_dir():
        return str(root)
    root.parent.mkdir(parents=True, exist_ok=True)
    _sweep(root)
    draft = Path(tempfile.mkdtemp(prefix=f'.{root.name}.', dir=root.parent))
    try:
        draft.chmod(0o755)  # mkdtemp's 0700 would shut out other users
        _write_split(draft, 'train', num_train, size, seed)
        _write_split(draft, 'test', num_test, size, seed)
        os.rename(draft, root)
    except OSError:
        if not root.is_dir():  # else another process was first: take its
            raise
    finally:
        shutil.rmtree(draft, ignore_errors=True)
    return str(root)


def _sweep(root):
    """Remove what killed runs left."""
    for draft in root.parent.glob(f'.{root.name}.*'):
        try:
            if time.time() - draft.stat().st_mtime > STALE:
                shutil.rmtree(draft, ignore_errors=True)
        except FileNotFoundError:
            pass  # another process swept it


def _write_split(folder, split, count, size, seed):
    """Write one split below ``folder``."""
    sources = split_sources(seed)[split]
    for kind in ('images', 'labels'):
        (folder / split / kind).mkdir(parents=True)
    images: list[dict] = []
    annotations: list[dict] = []
    for index in _progress(count, f'digit scenes, {split}'):
        # a generator a scene: the first 100 of 1,000 are the first 100 of 200
        key = [seed, ('train', 'test').index(split), index]
        scene = render(np.random.RandomState(key), sources, size)
        name = f'{index:06d}.png'
        labels = np.zeros((size, size), np.uint8)
        for digit in scene.digits:
            labels[digit.mask] = digit.label + 1
            annotations.append(
                dict(id=len(annotations) + 1, image_id=index + 1,
                     **_annotation(digit)))
        images.append(
            dict(id=index + 1, file_name=name, width=size, height=size))
        (folder / split / 'images' / name).write_bytes(png(scene.image))
        (folder / split / 'labels' / name).write_bytes(png(labels))
    categories = [dict(id=k + 1, name=name) for k, name in enumerate(CLASSES)]
    text = json.dumps(
        dict(images=images, annotations=annotations, categories=categories),
        sort_keys=True, separators=(',', ':'))
    (folder / f'{split}.json').write_bytes(text.encode('ascii'))


def _annotation(digit):
    """COCO fields of one digit; box and area are those of its visible mask."""
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


def _progress(count, title):
    """``range(count)`` with one line on stderr that says how far it is."""
    live = sys.stderr.isatty()
    for index in range(count):
        yield index
        if live and (index + 1) % 50 == 0 or index + 1 == count:
            print(f'\r{title}: {index + 1}/{count}', end='' if live else '\n',
                  file=sys.stderr, flush=True)
    if live:
        print(file=sys.stderr)
