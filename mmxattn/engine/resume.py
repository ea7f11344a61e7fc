"""Which checkpoint a run goes on from: one choice for all its processes, made before anything is loaded.

mmengine lets every process look for itself, and FlexibleRunner loads before any hook is asked.
"""
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

from mmengine.dist import all_gather_object, broadcast_object_list, is_main_process

from .checkpoint_files import content_of, cut_short, find_newest

__all__ = ['check_training', 'choose', 'first_process', 'same_everywhere', 'settle']

Answer = TypeVar('Answer')


def first_process(question: Callable[[], Answer]) -> Answer:
    """What the first process answers, in all of them; only it is asked. Every process has to call.

    Raises:
        Exception, SystemExit: what the first process has raised; in the others a ValueError, or a SystemExit, of the
            same words: none may be left waiting.
    """
    said: list = [None, None, ValueError]
    refusal: BaseException | None = None
    if is_main_process():
        try:
            said[0] = question()
        except (Exception, SystemExit) as error:
            refusal = error
            said[1:] = str(error) or type(error).__name__, SystemExit if isinstance(error, SystemExit) else ValueError
    broadcast_object_list(said)
    answer, words, kind = said
    if refusal is not None:
        raise refusal
    if words is not None:
        raise kind(words)
    return answer


def choose(folder, given: str | None = None) -> tuple[str | None, list[str]]:
    """The checkpoint to go on from, and what the log has to say of the choice.

    Args:
        folder: the run's work folder.
        given: the path of a checkpoint, which may be an address; None takes the newest whole one in ``folder``.

    Returns:
        the path, None where there is none and the run starts; and the sentences.

    Raises:
        ValueError: the given one is cut short, or a folder of checkpoints.
    """
    if given is None:
        newest, said = find_newest(folder)
        if newest is None:
            said.append(f'There is nothing to go on from in {folder}: the training starts at step 0.')
        return newest, said
    path = Path(given)
    if path.is_dir() and path.suffix != '.pth':
        raise ValueError(f'{given} is a folder: give a checkpoint in it, or give it as the work folder (--work-dir '
                         f'{given}) and leave the checkpoint out.')
    if path.exists() and cut_short(path):
        newest = find_newest(path.parent)[0]
        start = b'PK' if path.is_dir() else path.read_bytes()[:2]
        old = '' if start in (b'', b'PK') else ', or no file of the format that PyTorch writes since 1.6'
        raise ValueError(f'The checkpoint {given} is cut short{old}; ' + (
            f'the newest whole one in its folder: {newest}.' if newest is not None else
            'its folder has no whole one to go on from: leave --resume out to start.'))
    return str(given), []


def check_training(checkpoint: str) -> None:
    """Raise a ValueError where a file has no training to go on with, just weights or less. Addresses are not read."""
    if not Path(checkpoint).exists():
        return
    content = content_of(checkpoint)
    meta = content.get('meta') if isinstance(content, dict) else None
    if not isinstance(meta, dict) or not {'epoch', 'iter'} <= meta.keys() or 'message_hub' not in content:
        raise ValueError(f'The checkpoint {checkpoint} is none of a training: it does not say at which step it was '
                         f'written. To start from its weights: --cfg-options load_from={checkpoint}, without --resume.')


def same_everywhere(checkpoint: str) -> None:
    """Look for the checkpoint in every process. Every one has to call.

    Addresses are not looked at, and of folders (one file a process) just whether they are there.

    Raises:
        ValueError: a process does not find it, or finds another file under its name; the same in all.
    """
    if '://' in checkpoint:
        return
    seen = all_gather_object(fingerprint(Path(checkpoint)))
    if len(seen) == 1:
        return  # whoever loads it tells what is amiss
    if seen == [None] * len(seen):
        raise ValueError(f'There is no checkpoint {checkpoint}: give the path of a .pth file.')
    absent = [rank for rank, found in enumerate(seen) if found is None]
    other = [rank for rank, found in enumerate(seen) if found not in (None, seen[0])]
    if absent or other:
        what = [f'process {rank} does not find it' for rank in absent[:3]]
        what += [f'process {rank} has another file there' for rank in other[:3]]
        raise ValueError(f'All processes have to go on from the checkpoint {checkpoint}, which the first one chose; '
                         f'{", ".join(what)}. Copy it to that place on every machine, or keep the work folder where '
                         'all machines see it.')


def fingerprint(path: Path):
    """What tells a checkpoint from another one, without reading its tensors; None where there is no such file."""
    if not path.exists():
        return None
    try:
        with zipfile.ZipFile(path) as archive:
            return [(record.file_size, record.CRC) for record in archive.infolist()]
    except (zipfile.BadZipFile, OSError, EOFError):
        return 'a folder' if path.is_dir() else path.stat().st_size


def settle(runner) -> None:
    """Make the choice for a runner that was told to resume, once its processes are up; a second call does nothing.

    Every process follows the first one, whatever it was told itself.

    Raises:
        ValueError: as of ``choose`` and ``same_everywhere``.
    """
    if getattr(runner, 'checkpoint_is_chosen', False):
        return
    runner.checkpoint_is_chosen = True

    def answer():
        resume = getattr(runner, '_resume', False)
        if not resume:
            return runner._load_from, False, []
        chosen, said = choose(runner.work_dir, resume if isinstance(resume, str) else runner._load_from)
        return chosen, chosen is not None, said

    runner._load_from, runner._resume, said = first_process(answer)
    for sentence in said:
        runner.logger.warning(sentence)
    if runner._resume:
        same_everywhere(runner._load_from)
