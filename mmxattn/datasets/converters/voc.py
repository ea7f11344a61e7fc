"""Pascal VOC 2007 and 2012 as COCO files, for COCO's average precision; mmdet reads the XML files as they are.

The boxes are those of mmdet's VOCDataset: corners less 1, and no pixel added. A difficult object is to be ignored.
"""
import xml.etree.ElementTree as ElementTree
from collections.abc import Iterator, Sequence
from functools import partial
from pathlib import Path

from ..sources import VOC
from .coco import CocoFile, Part, write_split
from .layout import link, progress, table_lines

__all__ = ['CLASSES', 'prepare']

CLASSES = ('aeroplane', 'bicycle', 'bird', 'boat', 'bottle', 'bus', 'car', 'cat', 'chair', 'cow', 'diningtable', 'dog',
           'horse', 'motorbike', 'person', 'pottedplant', 'sheep', 'sofa', 'train', 'tvmonitor')
SPLITS = dict(voc0712_trainval=('VOC2007/ImageSets/Main/trainval.txt', 'VOC2012/ImageSets/Main/trainval.txt'),
              voc07_test=('VOC2007/ImageSets/Main/test.txt', ))
YEARS = ('VOC2007', 'VOC2012')


def prepare(source: Path, target: Path, overwrite: bool = False) -> Iterator[Part]:
    """Write ``annotations/{voc0712_trainval,voc07_test}.json`` below ``target`` and link the two years there.

    Args:
        source: folder ``VOCdevkit`` with ``VOC2007`` and ``VOC2012``, or the folder that holds it.
        target: folder that the recipes read; may be ``source``.
        overwrite: make what is there anew.

    Yields:
        The splits, each when it is written.

    Raises:
        MissingData: a folder or a list of images is not there.
        ValueError: an annotation file that is not VOC's, or a class that is none of the twenty.
    """
    if (source / 'VOCdevkit').is_dir():
        source = source / 'VOCdevkit'
    VOC.check(*(source / year / folder for year in YEARS for folder in ('', 'JPEGImages', 'Annotations')))
    VOC.check(*(source / file for files in SPLITS.values() for file in files))
    for year in YEARS:
        link(source / year, target / year)
    for split, files in SPLITS.items():
        yield write_split(target / 'annotations' / f'{split}.json', CLASSES,
                          partial(fill, [source / file for file in files], split), overwrite)


def fill(lists: Sequence[Path], split: str, coco: CocoFile) -> None:
    """Put the images of one or more lists into a COCO file."""
    names = [(file.parents[2], line.split()[0]) for file in lists for _, line in table_lines(file)]
    for folder, name in progress(names, split):
        annotations = folder / 'Annotations' / f'{name}.xml'
        if not annotations.is_file():
            coco.leave_out('images without an annotation file')
            continue
        objects = list(read(annotations))
        image = coco.add_image(folder / 'JPEGImages' / f'{name}.jpg', f'{folder.name}/JPEGImages/{name}.jpg')
        if image is None:
            continue
        for label, box, difficult in objects:
            coco.add_object(image, label, box, difficult)


def read(file: Path) -> Iterator[tuple]:
    """The objects of an annotation file: class, box, whether it is difficult."""
    try:
        objects = ElementTree.parse(file).getroot().findall('object')
    except ElementTree.ParseError as error:
        raise ValueError(f'{file} is not XML: {error}.') from None
    for number, element in enumerate(objects, 1):
        name = element.findtext('name')
        try:
            left, top, right, bottom = (int(float(element.findtext(f'bndbox/{side}', '')))
                                        for side in ('xmin', 'ymin', 'xmax', 'ymax'))
            if name not in CLASSES:
                raise ValueError
        except ValueError:
            raise ValueError(f'{file}, object {number}: {name!r} has no box, or is none of {", ".join(CLASSES)}.'
                             ) from None
        yield name, (left - 1, top - 1, right - left, bottom - top), element.findtext('difficult', '0').strip() == '1'
