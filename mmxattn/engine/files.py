"""Checkpoint files: written whole or not at all, known when they are cut short, and the newest whole one found."""
import os
import re
import zipfile
from pathlib import Path

from mmengine.fileio import LocalBackend, register_backend
from mmengine.logging import print_log

from ..files import write_whole

__all__ = ['WholeFiles', 'cut_short', 'newest_checkpoint']


class WholeFiles(LocalBackend):
    """mmengine's local files, written whole; what is to go goes when ``sweep`` says so.

    mmengine's own backend opens the target itself for writing, and its CheckpointHook removes the checkpoint that is
    one too many before the new one is written: a process killed in between has lost both.
    """

    def __init__(self):
        self.doomed = []  # paths, and which file each was at that time

    def put(self, obj: bytes, filepath) -> None:
        write_whole(filepath, obj, durable=True)

    def remove(self, filepath) -> None:
        self.doomed.append((Path(filepath), os.stat(filepath).st_ino))

    def sweep(self) -> None:
        """Remove for good what ``remove`` was told, save what has been written anew under the same name."""
        for path, inode in self.doomed:
            if path.exists() and path.stat().st_ino == inode:
                path.unlink()
        self.doomed.clear()


register_backend('mmxattn.WholeFiles', WholeFiles, force=True)


def cut_short(path) -> bool:
    """Whether a checkpoint is not all there: by its archive's directory, which stands at its end, and its checksums.

    A folder (sharded checkpoints: one file a process) is cut short where one of its files is, or it has none.
    """
    path = Path(path)
    if path.is_dir():
        files = list(path.glob('*.pth'))
        return not files or any(cut_short(file) for file in files)
    try:
        with zipfile.ZipFile(path) as archive:
            return archive.testzip() is not None
    except (zipfile.BadZipFile, OSError, EOFError):
        return True


def newest_checkpoint(folder) -> str | None:
    """The newest whole checkpoint of a run, to go on from; each one that is cut short is named in the log.

    First the one that ``last_checkpoint`` names, here or where it says; then those of the folder that this run may have
    written before, the youngest first. ``best_*`` and published files have no optimizer and do not count.

    Args:
        folder: the run's work folder; it need not be there.
    Returns:
        the path, or None where there is no whole checkpoint.
    """
    folder = Path(folder)
    candidates = []
    pointer = folder / 'last_checkpoint'
    if pointer.is_file() and (named := pointer.read_text().strip()):
        candidates += [Path(named), folder / Path(named).name]  # a work folder may have been moved
    own = [path for path in folder.glob('*.pth') if re.fullmatch(r'(epoch_\d+|iter_\d+|stopped)\.pth', path.name)]
    candidates += sorted(own, key=lambda path: path.stat().st_mtime_ns, reverse=True)
    for path in dict.fromkeys(candidates):
        if not path.exists():
            continue
        if not cut_short(path):
            return str(path)
        print_log(f'The checkpoint {path} is cut short and not used; the one before it is looked for.', 'current', 30)
    return None
