"""VisDrone2019-DET: convert annotations, one text file per image, to COCO files.

A line is ``left,top,width,height,score,category,truncation,occlusion``. Categories 1 to 10 are the classes of the
benchmark. Category 0 marks crowded regions without annotations and category 11 other objects. The benchmark ignores
detections in both, of any class. A score of 0 marks an ignored object.
"""
from collections.abc import Iterator
from functools import partial
from pathlib import Path

from ..sources import VISDRONE
from .coco import Annotation, CocoBuilder, ConvertedSplit, write_split
from .common import link_folder, list_images, parse_lines, progress_bar

__all__ = ['CLASSES', 'convert']

CLASSES = ('pedestrian', 'people', 'bicycle', 'car', 'van', 'truck', 'tricycle', 'awning-tricycle', 'bus', 'motor')
IGNORED_REGION, OTHERS = 0, 11
SPLITS = dict(train='train', val='val', test='test-dev')
OPTIONAL = ('test', )


def convert(source: Path, target: Path, overwrite: bool = False) -> Iterator[ConvertedSplit]:
    """Write ``annotations/instances_{train,val,test}.json`` to ``target`` and link the images.

    Args:
        source: Folder with ``VisDrone2019-DET-{train,val,test-dev}/{images,annotations}``. test-dev is optional.
        target: Folder that the recipes read; may be ``source``.
        overwrite: Replace existing files.

    Yields:
        The splits as they are written.

    Raises:
        DatasetNotFoundError: If train or val is missing.
        ValueError: If a line is malformed.
    """
    folders = {split: source / f'VisDrone2019-DET-{name}' for split, name in SPLITS.items()}
    folders = {split: folder for split, folder in folders.items() if split not in OPTIONAL or folder.exists()}
    for folder in folders.values():
        VISDRONE.check(folder, folder / 'images', folder / 'annotations')
    for split, folder in folders.items():
        link_folder(folder, target / folder.name)
        yield write_split(target / 'annotations' / f'instances_{split}.json', CLASSES, partial(_fill, folder),
                          overwrite)


def _fill(folder: Path, coco: CocoBuilder) -> None:
    for path in progress_bar(list_images(folder / 'images'), folder.name):
        annotations = folder / 'annotations' / f'{path.stem}.txt'
        if annotations.is_file():
            coco.add_annotated_image(path, path.name, _read_annotations(annotations))
        else:
            coco.skip('images without annotation file')


def _read_annotations(file: Path) -> Iterator[Annotation]:

    def parse(line: str) -> Annotation:
        left, top, width, height, score, category, _, _ = (int(field) for field in line.rstrip(',').split(','))
        if not IGNORED_REGION <= category <= OTHERS:
            raise ValueError
        box = (left, top, width, height)
        if category in (IGNORED_REGION, OTHERS):
            return Annotation(None, box, True)
        return Annotation(CLASSES[category - 1], box, not score)

    return parse_lines(file, parse, 'left,top,width,height,score,category,truncation,occlusion as integers with a '
                       'category from 0 to 11')
