"""Pascal VOC 2007 and 2012: convert XML annotations to COCO files, for evaluation with COCO's average precision.

Boxes match mmdet's VOCDataset: corners minus 1, width and height without an extra pixel. Difficult objects are ignored.
"""
import xml.etree.ElementTree as ElementTree
from collections.abc import Iterator, Sequence
from functools import partial
from pathlib import Path

from ..sources import VOC
from .coco import Annotation, CocoBuilder, ConvertedSplit, write_split
from .common import link_folder, nonempty_lines, progress_bar

__all__ = ['CLASSES', 'convert']

CLASSES = ('aeroplane', 'bicycle', 'bird', 'boat', 'bottle', 'bus', 'car', 'cat', 'chair', 'cow', 'diningtable', 'dog',
           'horse', 'motorbike', 'person', 'pottedplant', 'sheep', 'sofa', 'train', 'tvmonitor')
SPLITS = dict(voc0712_trainval=('VOC2007/ImageSets/Main/trainval.txt', 'VOC2012/ImageSets/Main/trainval.txt'),
              voc07_test=('VOC2007/ImageSets/Main/test.txt', ))
YEARS = ('VOC2007', 'VOC2012')


def convert(source: Path, target: Path, overwrite: bool = False) -> Iterator[ConvertedSplit]:
    """Write ``annotations/{voc0712_trainval,voc07_test}.json`` to ``target`` and link both years.

    Args:
        source: Folder ``VOCdevkit`` with ``VOC2007`` and ``VOC2012``, or its parent folder.
        target: Folder that the recipes read; may be ``source``.
        overwrite: Replace existing files.

    Yields:
        The splits as they are written.

    Raises:
        DatasetNotFoundError: If a folder or an image list is missing.
        ValueError: If an annotation file is malformed.
    """
    if (source / 'VOCdevkit').is_dir():
        source = source / 'VOCdevkit'
    VOC.check(*(source / year / folder for year in YEARS for folder in ('', 'JPEGImages', 'Annotations')))
    VOC.check(*(source / file for files in SPLITS.values() for file in files))
    for year in YEARS:
        link_folder(source / year, target / year)
    for split, files in SPLITS.items():
        yield write_split(target / 'annotations' / f'{split}.json', CLASSES,
                          partial(_fill, [source / file for file in files], split), overwrite)


def _fill(image_lists: Sequence[Path], split: str, coco: CocoBuilder) -> None:
    names = [(file.parents[2], line.split()[0]) for file in image_lists for _, line in nonempty_lines(file)]
    for folder, name in progress_bar(names, split):
        annotations = folder / 'Annotations' / f'{name}.xml'
        if annotations.is_file():
            coco.add_annotated_image(folder / 'JPEGImages' / f'{name}.jpg', f'{folder.name}/JPEGImages/{name}.jpg',
                                     read_annotations(annotations))
        else:
            coco.skip('images without annotation file')


def read_annotations(file: Path) -> Iterator[Annotation]:
    """Read the objects of an XML annotation file.

    Args:
        file: Annotation file.

    Yields:
        The objects.

    Raises:
        ValueError: If the file is not XML, or an object has no box or an unknown class.
    """
    try:
        objects = ElementTree.parse(file).getroot().findall('object')
    except ElementTree.ParseError as error:
        raise ValueError(f'{file} must be an XML file ({error}).') from None
    for number, element in enumerate(objects, 1):
        name = element.findtext('name')
        try:
            left, top, right, bottom = (int(float(element.findtext(f'bndbox/{side}', '')))
                                        for side in ('xmin', 'ymin', 'xmax', 'ymax'))
            if name not in CLASSES:
                raise ValueError
        except ValueError:
            raise ValueError(f'{file}, object {number}: expected a box and one of the classes {", ".join(CLASSES)}, '
                             f'got {name!r}.') from None
        difficult = element.findtext('difficult', '0').strip() == '1'
        yield Annotation(name, (left - 1, top - 1, right - left, bottom - top), difficult)
