"""FLIR ADAS v2, the thermal images: the makers' COCO files with the classes that occur and nothing else.

Their lists name 80 classes, COCO's with some renamed, of which 15 are annotated in the thermal images. What is
annotated beside these is left out and counted.
"""
import json
from collections import defaultdict
from collections.abc import Iterator
from functools import partial
from pathlib import Path

from ..sources import FLIR
from .coco import CocoFile, Part, write_split
from .layout import link, progress

__all__ = ['CLASSES', 'prepare']

CLASSES = ('person', 'bike', 'car', 'motor', 'bus', 'train', 'truck', 'light', 'hydrant', 'sign', 'dog', 'skateboard',
           'stroller', 'scooter', 'other vehicle')
SPLITS = ('train', 'val')


def prepare(source: Path, target: Path, overwrite: bool = False) -> Iterator[Part]:
    """Write ``annotations/instances_thermal_{train,val}.json`` below ``target`` and link the images there.

    Args:
        source: folder with ``images_thermal_{train,val}/coco.json`` and ``images_thermal_{train,val}/data/*.jpg``.
        target: folder that the recipes read; may be ``source``.
        overwrite: make what is there anew.

    Yields:
        The splits, each when it is written.

    Raises:
        MissingData: one of these is not there.
        ValueError: a file that is no COCO file, or has none of the classes.
    """
    folders = {split: source / f'images_thermal_{split}' for split in SPLITS}
    for folder in folders.values():
        FLIR.check(folder, folder / 'coco.json', folder / 'data')
    for split, folder in folders.items():
        link(folder, target / folder.name)
        yield write_split(target / 'annotations' / f'instances_thermal_{split}.json', CLASSES, partial(fill, folder),
                          overwrite)


def fill(folder: Path, coco: CocoFile) -> None:
    """Put one split into a COCO file."""
    images, objects = read(folder / 'coco.json')
    for key, name in progress(images, folder.name):
        image = coco.add_image(folder / name, name)
        if image is None:
            continue
        for label, box, ignored in objects[key]:
            if label in CLASSES:
                coco.add_object(image, label, box, ignored)
            else:
                coco.leave_out(f'objects of class {label!r}')


def read(file: Path) -> tuple[list[tuple], dict[int, list[tuple]]]:
    """A COCO file: its images, as id and file name, and the objects of each id, as class, box and whether a crowd."""
    objects = defaultdict(list)
    try:
        content = json.loads(file.read_text(encoding='utf-8'))
        names = {category['id']: category['name'].lower() for category in content['categories']}
        for annotation in content['annotations']:
            left, top, width, height = annotation['bbox']
            objects[annotation['image_id']].append(
                (names[annotation['category_id']], (left, top, width, height), bool(annotation.get('iscrowd'))))
        images = [(image['id'], image['file_name']) for image in content['images']]
    except (ValueError, KeyError, TypeError) as error:
        raise ValueError(f'{file} is not a COCO file of images, annotations and categories '
                         f'({type(error).__name__}: {error}).') from None
    if not set(CLASSES) & set(names.values()):
        raise ValueError(f'{file} has none of the classes {", ".join(CLASSES)}.')
    return images, objects
