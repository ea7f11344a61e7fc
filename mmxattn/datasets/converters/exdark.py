"""ExDark: convert annotations of Piotr's toolbox (bbGt version 3), one text file per image, to COCO files.

``imageclasslist.txt`` lists the class, lighting, place and split (1 train, 2 val, 3 test) of each image. A line of an
annotation file is ``label left top width height occluded . . . . ignore angle``.
"""
from collections.abc import Iterator
from functools import partial
from pathlib import Path

from ..sources import EXDARK
from .coco import Annotation, CocoBuilder, ConvertedSplit, write_split
from .common import link_folder, parse_lines, progress_bar

__all__ = ['CLASSES', 'convert']

CLASSES = ('Bicycle', 'Boat', 'Bottle', 'Bus', 'Car', 'Cat', 'Chair', 'Cup', 'Dog', 'Motorbike', 'People', 'Table')
LABELS = {name.lower(): name for name in CLASSES}
SPLITS = {1: 'train', 2: 'val', 3: 'test'}
IMAGES, ANNOTATIONS = ('ExDark', ), ('ExDark_Annno', 'ExDark_Anno')  # the spelling in the archive comes first
LISTS = ('imageclasslist.txt', 'Groundtruth/imageclasslist.txt')
IGNORE_COLUMN = 9  # optional


def convert(source: Path, target: Path, overwrite: bool = False) -> Iterator[ConvertedSplit]:
    """Write ``annotations/instances_{train,val,test}.json`` to ``target`` and link the images.

    Args:
        source: Folder with ``ExDark/CLASS/IMAGE``, ``ExDark_Annno/CLASS/IMAGE.txt`` and ``imageclasslist.txt``.
        target: Folder that the recipes read; may be ``source``.
        overwrite: Replace existing files.

    Yields:
        The splits as they are written.

    Raises:
        DatasetNotFoundError: If a file or folder in ``source`` is missing.
        ValueError: If a line of an annotation file or of the image list is malformed.
    """
    images, annotations, image_list = (_find(source, names) for names in (IMAGES, ANNOTATIONS, LISTS))
    listed = list(_read_image_list(image_list))
    link_folder(images, target / 'ExDark')
    for key, split in SPLITS.items():
        names = [(name, label) for name, label, image_split in listed if image_split == key]
        yield write_split(target / 'annotations' / f'instances_{split}.json', CLASSES,
                          partial(_fill, images, annotations, names, split), overwrite)


def _find(source: Path, names: tuple[str, ...]) -> Path:
    """Find the first existing path of several spellings."""
    for name in names:
        if (source / name).exists():
            return source / name
    raise EXDARK.not_found(source / names[0])


def _fill(images: Path, annotations: Path, names: list[tuple[str, str]], split: str, coco: CocoBuilder) -> None:
    image_files, annotation_files = _files_by_name(images), _files_by_name(annotations, '.txt')
    for name, label in progress_bar(names, f'ExDark {split}'):
        key = (label.lower(), name.lower())
        if key not in annotation_files:
            coco.skip('images without annotation file')
            continue
        path = image_files.get(key)
        relative = path.relative_to(images).as_posix() if path else name
        coco.add_annotated_image(path, relative, _read_annotations(annotation_files[key]))


def _files_by_name(folder: Path, suffix: str = '') -> dict[tuple[str, str], Path]:
    """Map (class folder, name without suffix) to files. Keys are lowercase because the image list differs in case."""
    return {(path.parent.name.lower(), path.name.lower().removesuffix(suffix)): path for path in folder.glob('*/*')}


def _read_image_list(file: Path) -> Iterator[tuple[str, str, int]]:
    """Read name, class and split of each image from ``imageclasslist.txt``."""

    def parse(line: str) -> tuple[str, str, int]:
        name, label, _, _, split = line.split()
        if int(label) < 1 or int(split) not in SPLITS:
            raise ValueError
        return name, CLASSES[int(label) - 1], int(split)

    return parse_lines(file, parse, 'an image name, a class from 1 to 12, a lighting, a place and a split from 1 to 3',
                       is_header=lambda number, line: number == 1 and not line.split()[-1].isdigit())


def _read_annotations(file: Path) -> Iterator[Annotation]:
    """Read the annotations of an image. An empty file has none."""

    def parse(line: str) -> Annotation:
        label, *numbers = line.split()
        left, top, width, height = map(float, numbers[:4])
        if label.lower() not in LABELS:
            raise ValueError
        ignored = len(numbers) > IGNORE_COLUMN and bool(int(numbers[IGNORE_COLUMN]))
        return Annotation(LABELS[label.lower()], (left, top, width, height), ignored)

    return parse_lines(file, parse, f"the header '% bbGt version=3' or one of {', '.join(CLASSES)} with left, top, "
                       'width and height', is_header=lambda number, line: line.startswith('% bbGt version=3'))
