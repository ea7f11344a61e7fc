"""Files that are written whole or not at all, whenever the program is stopped."""
import os
from pathlib import Path

__all__ = ['sweep_parts', 'write_whole']


def write_whole(path, data: bytes, durable: bool = False) -> None:
    """Write ``data`` so that ``path`` holds, at every moment, all of the old content or all of the new.

    Args:
        path: the file; its folder is made.
        data: all of it.
        durable: bring it, and the folder's entry, to the disk as well: then it outlives a machine that goes down.

    Raises:
        OSError: the disk is full or the folder cannot be written; ``path`` is as it was.
    """
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    beside = path.with_name(f'.{path.name}.part')
    try:
        with open(beside, 'wb') as file:
            file.write(data)
            if durable:
                file.flush()
                os.fsync(file.fileno())
        os.replace(beside, path)
    except OSError:
        beside.unlink(missing_ok=True)
        raise
    if durable:
        folder = os.open(path.parent, os.O_RDONLY)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)


def sweep_parts(folder) -> None:
    """Remove what a process that was killed while it wrote has left in ``folder``."""
    for part in Path(folder).glob('.*.part'):
        part.unlink(missing_ok=True)
