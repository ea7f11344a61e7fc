"""Folders of a data set: what is in them, and how a recipe's folder leads to them."""
from collections.abc import Iterable, Sequence
from pathlib import Path

from tqdm import tqdm

__all__ = ['images_in', 'link', 'progress', 'table_lines']

IMAGE_SUFFIXES = ('.jpg', '.jpeg', '.png', '.bmp')


def images_in(folder: Path) -> list[Path]:
    """The images of a folder, sorted by name, whatever the case of their extensions."""
    return sorted(path for path in folder.iterdir() if path.suffix.lower() in IMAGE_SUFFIXES)


def link(source: Path, target: Path) -> None:
    """Make ``target`` lead to the folder ``source``, unless it is that folder or leads there already.

    Raises:
        ValueError: something else is there, or the file system has no links.
    """
    if target.exists() and target.samefile(source):
        return
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        target.symlink_to(source.resolve(), target_is_directory=True)
    except OSError as error:
        raise ValueError(f'{target} cannot be made a link to {source} ({error.strerror}): move it away, or move the '
                         f'data itself to {target.parent} and call again without --source.') from error


def progress(items: Sequence, title: str, unit: str = 'image') -> Iterable:
    """The items, with a bar on a terminal that says how far it is."""
    return tqdm(items, desc=title, unit=unit, leave=False, disable=None)


def table_lines(file: Path) -> Iterable[tuple[int, str]]:
    """The lines of a text file that are not empty, with their numbers from 1."""
    for number, line in enumerate(file.read_text(encoding='utf-8-sig').splitlines(), 1):
        if line.strip():
            yield number, line.strip()
