"""VisDrone2019-DET: text files, one an image, as COCO files.

A line is ``left,top,width,height,score,category,truncation,occlusion``. Categories 1 to 10 are the benchmark's classes.
Regions of category 0 are too crowded to be annotated, and objects of category 11 (others) are, says the benchmark's
page, ignored in its evaluation: in either, detections of any class are ignored. A score of 0 marks an object of a class
that does not count.
"""
from collections.abc import Iterator
from functools import partial
from pathlib import Path

from ..sources import VISDRONE
from .coco import CocoFile, Part, write_split
from .layout import images_in, link, progress, table_lines

__all__ = ['CLASSES', 'prepare']

CLASSES = ('pedestrian', 'people', 'bicycle', 'car', 'van', 'truck', 'tricycle', 'awning-tricycle', 'bus', 'motor')
IGNORED_REGION, OTHERS = 0, 11
SPLITS = dict(train='train', val='val', test='test-dev')
OPTIONAL = ('test', )


def prepare(source: Path, target: Path, overwrite: bool = False) -> Iterator[Part]:
    """Write ``annotations/instances_{train,val,test}.json`` below ``target`` and link the images there.

    Args:
        source: folder with ``VisDrone2019-DET-{train,val,test-dev}/{images,annotations}``; test-dev may be absent.
        target: folder that the recipes read; may be ``source``.
        overwrite: make what is there anew.

    Yields:
        The splits, each when it is written.

    Raises:
        MissingData: train or val is not there.
        ValueError: a line that is not as above.
    """
    folders = {split: source / f'VisDrone2019-DET-{name}' for split, name in SPLITS.items()}
    folders = {split: folder for split, folder in folders.items() if split not in OPTIONAL or folder.exists()}
    for folder in folders.values():
        VISDRONE.check(folder, folder / 'images', folder / 'annotations')
    for split, folder in folders.items():
        link(folder, target / folder.name)
        yield write_split(target / 'annotations' / f'instances_{split}.json', CLASSES, partial(fill, folder), overwrite)


def fill(folder: Path, coco: CocoFile) -> None:
    """Put one split into a COCO file."""
    for path in progress(images_in(folder / 'images'), folder.name):
        annotations = folder / 'annotations' / f'{path.stem}.txt'
        if not annotations.is_file():
            coco.leave_out('images without an annotation file')
            continue
        objects = list(read(annotations))
        image = coco.add_image(path, path.name)
        if image is None:
            continue
        for box, score, category in objects:
            if category in (IGNORED_REGION, OTHERS):
                coco.add_ignored_region(image, box)
            else:
                coco.add_object(image, CLASSES[category - 1], box, ignored=not score)


def read(file: Path) -> Iterator[tuple]:
    """The objects of an annotation file: box, score (0 or 1), category (0 to 11)."""
    for number, line in table_lines(file):
        try:
            *box, score, category, _, _ = (int(field) for field in line.rstrip(',').split(','))
            if len(box) != 4 or not IGNORED_REGION <= category <= OTHERS:
                raise ValueError
        except ValueError:
            raise ValueError(f'{file}, line {number}: {line!r} is not left,top,width,height,score,category,truncation,'
                             'occlusion in whole numbers with a category from 0 to 11.') from None
        yield tuple(box), score, category
