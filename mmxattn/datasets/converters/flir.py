"""FLIR ADAS v2, thermal images: reduce the official COCO files to the classes with annotations.

The official files list 80 classes, those of COCO with some renamed, of which 15 are annotated in the thermal images.
Annotations of other classes are skipped and counted.
"""
import json
from collections import defaultdict
from collections.abc import Iterator
from functools import partial
from pathlib import Path

from ..sources import FLIR
from .coco import Annotation, CocoBuilder, ConvertedSplit, write_split
from .common import link_folder, progress_bar

__all__ = ['CLASSES', 'convert']

CLASSES = ('person', 'bike', 'car', 'motor', 'bus', 'train', 'truck', 'light', 'hydrant', 'sign', 'dog', 'skateboard',
           'stroller', 'scooter', 'other vehicle')
SPLITS = ('train', 'val')


def convert(source: Path, target: Path, overwrite: bool = False) -> Iterator[ConvertedSplit]:
    """Write ``annotations/instances_thermal_{train,val}.json`` to ``target`` and link the images.

    Args:
        source: Folder with ``images_thermal_{train,val}/coco.json`` and ``images_thermal_{train,val}/data/*.jpg``.
        target: Folder that the recipes read; may be ``source``.
        overwrite: Replace existing files.

    Yields:
        The splits as they are written.

    Raises:
        DatasetNotFoundError: If a file or folder in ``source`` is missing.
        ValueError: If ``coco.json`` is not a COCO file or contains none of the classes.
    """
    folders = {split: source / f'images_thermal_{split}' for split in SPLITS}
    for folder in folders.values():
        FLIR.check(folder, folder / 'coco.json', folder / 'data')
    for split, folder in folders.items():
        link_folder(folder, target / folder.name)
        yield write_split(target / 'annotations' / f'instances_thermal_{split}.json', CLASSES, partial(_fill, folder),
                          overwrite)


def _fill(folder: Path, coco: CocoBuilder) -> None:
    images, annotations = read_coco(folder / 'coco.json')
    for image_id, name in progress_bar(images, folder.name):
        coco.add_annotated_image(folder / name, name, annotations[image_id])


def read_coco(file: Path) -> tuple[list[tuple[int, str]], dict[int, list[Annotation]]]:
    """Read a COCO file.

    Args:
        file: Annotation file.

    Returns:
        The ids and file names of the images, and the annotations by image id.

    Raises:
        ValueError: If the file is not a COCO file or contains none of the classes.
    """
    annotations: dict[int, list[Annotation]] = defaultdict(list)
    try:
        content = json.loads(file.read_text(encoding='utf-8'))
        names = {category['id']: category['name'].lower() for category in content['categories']}
        for item in content['annotations']:
            left, top, width, height = item['bbox']
            annotations[item['image_id']].append(Annotation(
                names[item['category_id']], (left, top, width, height), bool(item.get('iscrowd'))))
        images = [(image['id'], image['file_name']) for image in content['images']]
    except (ValueError, KeyError, TypeError) as error:
        raise ValueError(f'{file} must be a COCO file with images, annotations and categories, got '
                         f'{type(error).__name__}: {error}.') from None
    if not set(CLASSES) & set(names.values()):
        raise ValueError(f'{file} must contain at least one of the classes {", ".join(CLASSES)}.')
    return images, annotations
