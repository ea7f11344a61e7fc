"""Cityscapes: label maps of the 19 classes that are evaluated, beside the makers' label maps of all 34.

gtFine's ``*_labelIds.png`` hold label ids, mmseg reads ``*_labelTrainIds.png``. The makers' own script draws the second
from the polygons as it drew the first, so a look-up of each pixel gives the same.
"""
from collections import Counter
from collections.abc import Iterator
from io import BytesIO
from pathlib import Path

import numpy as np
from PIL import Image

from ...utils.atomic_files import write_atomic
from ..sources import CITYSCAPES
from .coco import Part
from .layout import link, progress

__all__ = ['CLASSES', 'prepare']

LABELS = {  # label id -> class; the place in this order is the train id
    7: 'road', 8: 'sidewalk', 11: 'building', 12: 'wall', 13: 'fence', 17: 'pole', 19: 'traffic light',
    20: 'traffic sign', 21: 'vegetation', 22: 'terrain', 23: 'sky', 24: 'person', 25: 'rider', 26: 'car', 27: 'truck',
    28: 'bus', 31: 'train', 32: 'motorcycle', 33: 'bicycle'
}
CLASSES = tuple(LABELS.values())
IDS, IGNORED = 34, 255
SUFFIX = '_gtFine_labelIds.png'


def prepare(source: Path, target: Path, overwrite: bool = False) -> Iterator[Part]:
    """Write a ``*_labelTrainIds.png`` beside each ``*_labelIds.png`` of gtFine, and link both folders to ``target``.

    Args:
        source: folder with ``leftImg8bit/SPLIT/CITY/*.png`` and ``gtFine/SPLIT/CITY/*.png``.
        target: folder that the recipes read; may be ``source``.
        overwrite: make what is there anew.

    Yields:
        The splits, each when it is written.

    Raises:
        MissingData: a folder of train or val is not there, or has no label maps.
        ValueError: a label map that cannot be read, or has other ids than 0 to 33.
    """
    splits = [source / 'gtFine' / split for split in ('train', 'val')]
    CITYSCAPES.check(*splits, *(source / 'leftImg8bit' / split.name for split in splits))
    for name in ('leftImg8bit', 'gtFine'):
        link(source / name, target / name)
    for split in splits:
        files = sorted(split.glob(f'*/*{SUFFIX}'))
        if not files:
            raise CITYSCAPES.missing(split / f'CITY/*{SUFFIX}')
        yield Part(target / 'gtFine' / split.name, write_train_ids(files, overwrite))


def write_train_ids(files: list[Path], overwrite: bool) -> Counter:
    """Write what is not there yet; returns how many."""
    counts: Counter[str] = Counter()
    for file in progress(files, f'gtFine/{files[0].parents[1].name}'):
        path = file.with_name(file.name.replace('_labelIds', '_labelTrainIds'))
        if overwrite or not path.is_file():
            write_atomic(path, train_ids(file))
            counts['label maps'] += 1
    return counts


def train_ids(file: Path) -> bytes:
    """The PNG file of train ids to one of label ids."""
    table = np.full(IDS, IGNORED, np.uint8)
    table[list(LABELS)] = range(len(LABELS))
    try:
        with Image.open(file) as image:
            labels = np.asarray(image)
        labels = table[labels]
    except (OSError, IndexError) as error:
        raise ValueError(f'{file} is not a label map of ids from 0 to {IDS - 1} ({error}).') from None
    buffer = BytesIO()
    Image.fromarray(labels).save(buffer, 'PNG')
    return buffer.getvalue()
