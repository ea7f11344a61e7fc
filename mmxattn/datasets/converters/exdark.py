"""ExDark: text files of Piotr's toolbox (bbGt version 3), one an image, as COCO files of the makers' split.

``imageclasslist.txt`` names every image with its class, lighting, place and split (1 train, 2 val, 3 test). After its
header a line of an annotation file is ``label left top width height occluded . . . . ignore angle``.
"""
from collections.abc import Iterator
from functools import partial
from pathlib import Path

from ..sources import EXDARK
from .coco import CocoFile, Part, write_split
from .layout import link, progress, table_lines

__all__ = ['CLASSES', 'prepare']

CLASSES = ('Bicycle', 'Boat', 'Bottle', 'Bus', 'Car', 'Cat', 'Chair', 'Cup', 'Dog', 'Motorbike', 'People', 'Table')
SPLITS = {1: 'train', 2: 'val', 3: 'test'}
IMAGES, ANNOTATIONS = ('ExDark', ), ('ExDark_Annno', 'ExDark_Anno')  # the archive's own spelling first
LISTS = ('imageclasslist.txt', 'Groundtruth/imageclasslist.txt')
IGNORE = 10  # column, where there are so many


def prepare(source: Path, target: Path, overwrite: bool = False) -> Iterator[Part]:
    """Write ``annotations/instances_{train,val,test}.json`` below ``target`` and link the images there.

    Args:
        source: folder with ``ExDark/CLASS/IMAGE``, ``ExDark_Annno/CLASS/IMAGE.txt`` and ``imageclasslist.txt``.
        target: folder that the recipes read; may be ``source``.
        overwrite: make what is there anew.

    Yields:
        The splits, each when it is written.

    Raises:
        MissingData: one of the three is not there.
        ValueError: a line that is not as above, or a class that is none of the twelve.
    """
    images, annotations, table = (first_of(source, names) for names in (IMAGES, ANNOTATIONS, LISTS))
    listed = list(read_list(table))
    link(images, target / 'ExDark')
    for key, split in SPLITS.items():
        names = [(name, label) for name, label, its_key in listed if its_key == key]
        yield write_split(target / 'annotations' / f'instances_{split}.json', CLASSES,
                          partial(fill, images, annotations, names, split), overwrite)


def first_of(source: Path, names: tuple[str, ...]) -> Path:
    """The one of several spellings that is there."""
    for name in names:
        if (source / name).exists():
            return source / name
    raise EXDARK.missing(source / names[0])


def fill(images: Path, annotations: Path, names: list[tuple[str, str]], split: str, coco: CocoFile) -> None:
    """Put one split into a COCO file."""
    found, texts = files_by_name(images, ''), files_by_name(annotations, '.txt')
    for name, label in progress(names, f'ExDark {split}'):
        key = (label.lower(), name.lower())
        if key not in texts:
            coco.leave_out('images without an annotation file')
            continue
        objects = list(read(texts[key]))
        path = found.get(key)
        image = coco.add_image(path, path.relative_to(images).as_posix() if path else name)
        if image is None:
            continue
        for name_of_class, box, ignored in objects:
            coco.add_object(image, name_of_class, box, ignored)


def files_by_name(folder: Path, suffix: str) -> dict[tuple[str, str], Path]:
    """The files of the class folders, by folder and name without ``suffix`` in lower case: the list differs in case."""
    return {(path.parent.name.lower(), path.name.lower().removesuffix(suffix)): path for path in folder.glob('*/*')}


def read_list(file: Path) -> Iterator[tuple[str, str, int]]:
    """The images of ``imageclasslist.txt``: name, class, split (1 to 3)."""
    for number, line in table_lines(file):
        fields = line.split()
        if number == 1 and not fields[-1].isdigit():
            continue  # the names of the columns
        try:
            label, split = CLASSES[int(fields[1]) - 1], int(fields[-1])
            if len(fields) != 5 or int(fields[1]) < 1 or split not in SPLITS:
                raise ValueError
        except (ValueError, IndexError):
            raise ValueError(f'{file}, line {number}: {line!r} is not an image name, a class from 1 to 12, a lighting, '
                             'a place and a split from 1 to 3.') from None
        yield fields[0], label, split


def read(file: Path) -> Iterator[tuple]:
    """The objects of an annotation file: class, box, whether it is to be ignored. An empty file has none."""
    names = {name.lower(): name for name in CLASSES}
    for number, line in table_lines(file):
        if line.startswith('%'):
            if 'bbGt version=3' not in line:
                raise ValueError(f"{file}, line {number}: {line!r} is not the header '% bbGt version=3'.")
            continue
        label, *numbers = line.split()
        try:
            box = tuple(float(field) for field in numbers[:4])
            ignored = bool(int(numbers[IGNORE - 1])) if len(numbers) >= IGNORE else False
            if len(box) != 4 or label.lower() not in names:
                raise ValueError
        except ValueError:
            raise ValueError(f'{file}, line {number}: {line!r} is not one of {", ".join(CLASSES)}, then left, top, '
                             'width and height in numbers.') from None
        yield names[label.lower()], box, ignored
