"""Atomic file writes: a file holds its old or its new content, never a part of either."""
import json
import os
from pathlib import Path
from typing import Any

__all__ = ['remove_partial_files', 'write_atomic', 'write_json']


def write_atomic(path: str | Path, data: bytes, durable: bool = False) -> None:
    """Write a file under a temporary name and rename it.

    Args:
        path: File to write. Missing parent folders are created.
        data: New content of the file.
        durable: Also flush the file and its folder entry to disk, so that the file survives a power failure.

    Raises:
        OSError: If the disk is full or the folder is not writable. ``path`` is unchanged.
    """
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(f'.{path.name}.part')
    try:
        with open(partial, 'wb') as file:
            file.write(data)
            if durable:
                file.flush()
                os.fsync(file.fileno())
        os.replace(partial, path)
    except OSError:
        partial.unlink(missing_ok=True)
        raise
    if durable:
        folder = os.open(path.parent, os.O_RDONLY)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)


def write_json(path: str | Path, data: Any) -> None:
    """Write a JSON file atomically."""
    write_atomic(path, (json.dumps(data, indent=2) + '\n').encode())


def remove_partial_files(folder: str | Path) -> None:
    """Remove the temporary files that killed processes left in a folder."""
    for partial in Path(folder).glob('.*.part'):
        partial.unlink(missing_ok=True)
