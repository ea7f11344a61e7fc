"""Checkpoint files: atomic writes, detection of truncated files, and the latest checkpoint of a run."""
import os
import re
import zipfile
from pathlib import Path
from typing import Any

from mmengine.fileio import LocalBackend, register_backend
from mmengine.logging import print_log

from ..utils.atomic_files import write_atomic
from ..utils.checkpoints import SAFE_BY_DEFAULT, read_checkpoint

__all__ = ['AtomicBackend', 'find_latest_checkpoint', 'is_truncated', 'read_training_state', 'scan_checkpoints']

# Checkpoints to resume from. best_*.pth and published files have no optimizer state.
RESUMABLE = re.compile(r'(epoch_\d+|iter_\d+|stopped|stopped_before)\.pth')


class AtomicBackend(LocalBackend):
    """Local file backend with atomic writes and deferred removal.

    mmengine's own backend writes into the target file, and its CheckpointHook removes the oldest checkpoint before it
    writes the new one. A process that is killed in between can lose both. Here, ``remove`` takes effect in ``flush``.
    """

    def __init__(self):
        self.removed: list[tuple[Path, int]] = []  # path and inode

    def put(self, obj: bytes, filepath: str | Path) -> None:
        write_atomic(filepath, obj, durable=True)

    def remove(self, filepath: str | Path) -> None:
        self.removed.append((Path(filepath), os.stat(filepath).st_ino))

    def flush(self) -> None:
        """Remove the files passed to ``remove``, except those that have been replaced since."""
        for path, inode in self.removed:
            if path.exists() and path.stat().st_ino == inode:
                path.unlink()
        self.removed.clear()


register_backend('mmxattn.AtomicBackend', AtomicBackend, force=True)
register_backend('mmxattn.WholeFiles', AtomicBackend, force=True)  # its name in mmxattn 0.1.0


def is_truncated(path: str | Path) -> bool:
    """Check whether a checkpoint is incomplete or damaged, by the directory and checksums of its zip archive.

    Args:
        path: Checkpoint file, or the folder of a sharded checkpoint with one file per process.

    Returns:
        True if the file, or any file of the folder, is damaged or missing. Also True for the format of PyTorch < 1.6,
        which has no checksums.
    """
    path = Path(path)
    if path.is_dir():
        shards = list(path.glob('*.pth'))
        return not shards or any(is_truncated(shard) for shard in shards)
    try:
        with zipfile.ZipFile(path) as archive:
            return archive.testzip() is not None
    except (zipfile.BadZipFile, OSError, EOFError):
        return True


def read_training_state(path: str | Path) -> Any:
    """Read a checkpoint of a training run with memory-mapped tensors.

    Args:
        path: Checkpoint file, or the folder of a sharded checkpoint, of which the first file is read.

    Raises:
        ValueError: If it cannot be read.
        OSError: If there is no such file.
    """
    path = Path(path)
    file = min(path.glob('*.pth')) if path.is_dir() else path
    return read_checkpoint(file, weights_only=SAFE_BY_DEFAULT, mmap=True)


def find_latest_checkpoint(folder: str | Path) -> str | None:
    """Find the latest complete checkpoint of a run. Truncated checkpoints are logged and skipped.

    Args:
        folder: Work folder of the run, which may not exist.

    Returns:
        The path, or None if there is no complete checkpoint.
    """
    latest, warnings = scan_checkpoints(folder)
    for warning in warnings:
        print_log(warning, 'current', 30)
    return latest


def scan_checkpoints(folder: str | Path) -> tuple[str | None, list[str]]:
    """Find the latest complete checkpoint of a run without logging.

    The file that ``last_checkpoint`` names is preferred. It is looked up by name in ``folder``, since work folders are
    copied and moved. A file that is both newer and further in training takes precedence: the process was killed before
    it could update ``last_checkpoint``. If the named file is unusable, the newest complete file is used.

    Args:
        folder: Work folder of the run, which may not exist.

    Returns:
        The path, or None, and a warning for each truncated checkpoint.
    """
    folder, warnings = Path(folder), []

    def is_usable(path: Path) -> bool:
        if not path.exists():
            return False
        if is_truncated(path):
            warnings.append(f'The checkpoint {path} is truncated and skipped.')
            return False
        return True

    pointer = folder / 'last_checkpoint'
    target = Path(pointer.read_text().strip()) if pointer.is_file() else Path()
    pointed = folder / target.name if target.name else None
    fallback = target if target.name and not (folder / target.name).exists() else None
    if pointed is not None and not is_usable(pointed):
        pointed = None
    others = [path for path in folder.glob('*.pth') if RESUMABLE.fullmatch(path.name) and path.name != target.name]
    for path in sorted(others, key=_modified, reverse=True):
        if pointed is not None and _modified(path) <= _modified(pointed):
            break
        if is_usable(path) and (pointed is None or _trained_steps(path) > _trained_steps(pointed)):
            return str(path), warnings
    if fallback is not None and is_usable(fallback):  # last_checkpoint points outside of the folder
        pointed = fallback
    return (None if pointed is None else str(pointed)), warnings


def _modified(path: Path) -> int:
    return path.stat().st_mtime_ns


def _trained_steps(path: Path) -> int:
    """Return the step count of a checkpoint, or -1 if it has none."""
    try:
        return int(read_training_state(path)['meta']['iter'])
    except (OSError, KeyError, TypeError, IndexError, ValueError):
        return -1
