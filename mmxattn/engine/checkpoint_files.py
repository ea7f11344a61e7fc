"""Checkpoint files: written whole or not at all, known when they are cut short, and the newest whole one found."""
import os
import pickle
import re
import zipfile
from pathlib import Path

import torch
from mmengine.fileio import LocalBackend, register_backend
from mmengine.logging import print_log

from ..patches import LOADS_WEIGHTS_ONLY, unreadable
from ..utils.atomic_files import write_atomic

__all__ = ['WholeFiles', 'content_of', 'cut_short', 'find_newest', 'newest_checkpoint']

OWN = re.compile(r'(epoch_\d+|iter_\d+|stopped|stopped_before)\.pth')  # what a run may have written to go on from


class WholeFiles(LocalBackend):
    """mmengine's local files, written whole; what is to go goes when ``sweep`` says so.

    mmengine's own backend opens the target itself for writing, and its CheckpointHook removes the checkpoint that is
    one too many before the new one is written: a process killed in between has lost both.
    """

    def __init__(self):
        self.doomed = []  # paths, and which file each was at that time

    def put(self, obj: bytes, filepath) -> None:
        write_atomic(filepath, obj, durable=True)

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

    A folder (sharded checkpoints: one file a process) is cut short where one of its files is, or it has none. A file in
    the format before PyTorch 1.6 has neither: of it that cannot be told, and the answer is yes.
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


def content_of(path):
    """What is in a checkpoint, its tensors not yet read; of a folder what is in its first file.

    Raises:
        ValueError: it cannot be read.
        OSError: there is no such file.
    """
    path = Path(path)
    file = min(path.glob('*.pth')) if path.is_dir() else path
    try:
        return torch.load(file, map_location='cpu', weights_only=LOADS_WEIGHTS_ONLY, mmap=True)
    except (pickle.UnpicklingError, EOFError, RuntimeError) as error:
        raise unreadable(path, error) from error


def step_of(path) -> int:
    """The number of steps that a checkpoint says were trained; -1 where it does not say."""
    try:
        return int(content_of(path)['meta']['iter'])
    except (OSError, KeyError, TypeError, IndexError, ValueError):
        return -1


def newest_checkpoint(folder) -> str | None:
    """The newest whole checkpoint of a run, to go on from; each one that is cut short is named in the log.

    ``find_newest`` says which it is.

    Args:
        folder: the run's work folder; it need not be there.
    Returns:
        the path, or None where there is no whole checkpoint.
    """
    newest, cut = find_newest(folder)
    for sentence in cut:
        print_log(sentence, 'current', 30)
    return newest


def find_newest(folder) -> tuple[str | None, list[str]]:
    """The newest whole checkpoint of a run, and a sentence for each that is cut short and was passed over.

    It is the one that ``last_checkpoint`` names, found by its name in the folder itself, for a work folder may have
    been copied; save where one of the folder's own is both younger and further: then the process died before it could
    name that. Without a pointer that leads to a whole file it is the youngest whole one of the folder; where that has
    none, and no file of the pointer's name, the one where the pointer says. ``best_*`` and published files have no
    optimizer and do not count.
    """
    folder, cut = Path(folder), []

    def whole(path: Path) -> bool:
        if not path.exists():
            return False
        if cut_short(path):
            cut.append(f'The checkpoint {path} is cut short and not used; the one before it is looked for.')
            return False
        return True

    pointer = folder / 'last_checkpoint'
    named = pointer.read_text().strip() if pointer.is_file() else ''
    pointed = folder / Path(named).name if named else None
    if pointed is not None and not whole(pointed):
        pointed = None
    own = sorted((path for path in folder.glob('*.pth') if OWN.fullmatch(path.name) and path.name != Path(named).name),
                 key=lambda path: path.stat().st_mtime_ns, reverse=True)
    for path in own:
        if pointed is not None and path.stat().st_mtime_ns <= pointed.stat().st_mtime_ns:
            break
        if whole(path) and (pointed is None or step_of(path) > step_of(pointed)):
            return str(path), cut
    if named and not (folder / Path(named).name).exists() and whole(Path(named)):
        pointed = Path(named)
    return (None if pointed is None else str(pointed)), cut
