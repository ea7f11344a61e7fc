"""Helpers for files and folders that the converters share."""
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any, TypeVar

from tqdm import tqdm

from ..extras import import_extra

__all__ = ['link_folder', 'list_images', 'nonempty_lines', 'open_image', 'parse_lines', 'progress_bar']

IMAGE_SUFFIXES = ('.jpg', '.jpeg', '.png', '.bmp')
T = TypeVar('T')


def list_images(folder: Path) -> list[Path]:
    """List the images in a folder, sorted by name. Extensions are case-insensitive."""
    return sorted(path for path in folder.iterdir() if path.suffix.lower() in IMAGE_SUFFIXES)


def open_image(file: Path) -> Any:
    """Open an image with Pillow.

    Raises:
        ImportError: If Pillow is not installed.
        OSError: If the file is not an image.
    """
    return import_extra('PIL.Image', 'Pillow', 'Dataset conversion').open(file)


def link_folder(source: Path, target: Path) -> None:
    """Link ``target`` to the folder ``source``; do nothing if they are the same folder.

    Raises:
        ValueError: If ``target`` is another file or folder, or the file system does not support links.
    """
    if target.exists() and target.samefile(source):
        return
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        target.symlink_to(source.resolve(), target_is_directory=True)
    except OSError as error:
        raise ValueError(f'Cannot link {target} to {source} ({error.strerror}). Remove {target}, or move the data to '
                         f'{target.parent} and run the command without --source.') from error


def progress_bar(items: Sequence[T], title: str, unit: str = 'image') -> Iterable[T]:
    """Iterate with a progress bar, which is shown in terminals only."""
    return tqdm(items, desc=title, unit=unit, leave=False, disable=None)


def nonempty_lines(file: Path) -> Iterator[tuple[int, str]]:
    """Yield the line numbers, from 1, and the stripped lines of a text file, without empty lines."""
    for number, line in enumerate(file.read_text(encoding='utf-8-sig').splitlines(), 1):
        if line.strip():
            yield number, line.strip()


def parse_lines(file: Path, parse: Callable[[str], T], expected: str,
                is_header: Callable[[int, str], bool] | None = None) -> Iterator[T]:
    """Parse the non-empty lines of a text file.

    Args:
        file: Text file.
        parse: Function that parses one line and raises ValueError or IndexError if it is malformed.
        expected: Description of a valid line, for the error message.
        is_header: Function that takes the number and the text of a line and returns whether to skip it. By default, no
            line is skipped.

    Yields:
        The parsed lines.

    Raises:
        ValueError: If a line is malformed.
    """
    for number, line in nonempty_lines(file):
        if is_header is not None and is_header(number, line):
            continue
        try:
            value = parse(line)
        except (ValueError, IndexError):
            raise ValueError(f'{file}, line {number}: expected {expected}, got {line!r}.') from None
        yield value
