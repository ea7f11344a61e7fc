"""Cityscapes: convert label maps of all 34 classes to label maps of the 19 evaluated classes.

gtFine contains ``*_labelIds.png``; mmseg reads ``*_labelTrainIds.png``. The official script draws both from the same
polygons, so a lookup table per pixel gives the same result.
"""
from collections import Counter
from collections.abc import Iterator
from io import BytesIO
from pathlib import Path

import numpy as np

from ...utils.atomic_files import write_atomic
from ..extras import import_extra
from ..sources import CITYSCAPES
from .coco import ConvertedSplit
from .common import link_folder, open_image, progress_bar

__all__ = ['CLASSES', 'LABELS', 'convert']

LABELS = {  # label id -> class; the position is the train id
    7: 'road', 8: 'sidewalk', 11: 'building', 12: 'wall', 13: 'fence', 17: 'pole', 19: 'traffic light',
    20: 'traffic sign', 21: 'vegetation', 22: 'terrain', 23: 'sky', 24: 'person', 25: 'rider', 26: 'car', 27: 'truck',
    28: 'bus', 31: 'train', 32: 'motorcycle', 33: 'bicycle'
}
CLASSES = tuple(LABELS.values())
NUM_LABELS, IGNORE_INDEX = 34, 255
SUFFIX = '_gtFine_labelIds.png'


def convert(source: Path, target: Path, overwrite: bool = False) -> Iterator[ConvertedSplit]:
    """Write ``*_labelTrainIds.png`` next to ``*_labelIds.png`` and link both folders to ``target``.

    Args:
        source: Folder with ``leftImg8bit/SPLIT/CITY/*.png`` and ``gtFine/SPLIT/CITY/*.png``.
        target: Folder that the recipes read; may be ``source``.
        overwrite: Replace existing files.

    Yields:
        The splits as they are written.

    Raises:
        DatasetNotFoundError: If a folder of train or val is missing or has no label maps.
        ValueError: If a label map is unreadable or contains ids outside of 0 to 33.
    """
    splits = [source / 'gtFine' / split for split in ('train', 'val')]
    CITYSCAPES.check(*splits, *(source / 'leftImg8bit' / split.name for split in splits))
    for name in ('leftImg8bit', 'gtFine'):
        link_folder(source / name, target / name)
    for split in splits:
        files = sorted(split.glob(f'*/*{SUFFIX}'))
        if not files:
            raise CITYSCAPES.not_found(split / f'CITY/*{SUFFIX}')
        yield ConvertedSplit(target / 'gtFine' / split.name, _convert_label_maps(files, overwrite))


def _convert_label_maps(files: list[Path], overwrite: bool) -> Counter[str]:
    """Write the missing label maps and count them."""
    counts: Counter[str] = Counter()
    for file in progress_bar(files, f'gtFine/{files[0].parents[1].name}'):
        path = file.with_name(file.name.replace('_labelIds', '_labelTrainIds'))
        if overwrite or not path.is_file():
            write_atomic(path, _train_ids(file))
            counts['label maps'] += 1
    return counts


def _train_ids(file: Path) -> bytes:
    """Encode the train ids of a label map as PNG."""
    table = np.full(NUM_LABELS, IGNORE_INDEX, np.uint8)
    table[list(LABELS)] = range(len(LABELS))
    try:
        with open_image(file) as image:
            labels = table[np.asarray(image)]
    except (OSError, IndexError) as error:
        raise ValueError(f'{file} must be a label map with ids from 0 to {NUM_LABELS - 1} ({error}).') from None
    buffer = BytesIO()
    import_extra('PIL.Image', 'Pillow', 'Dataset conversion').fromarray(labels).save(buffer, 'PNG')
    return buffer.getvalue()
