"""Select the checkpoint to resume from: once, on the main process, before anything is loaded.

In mmengine each process searches its own work folder, and FlexibleRunner loads before any hook runs.
"""
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

from mmengine.dist import all_gather_object, broadcast_object_list, is_main_process
from mmengine.runner import Runner

from .checkpoint_files import is_truncated, read_training_state, scan_checkpoints

__all__ = ['broadcast_from_main', 'check_same_on_all_ranks', 'check_training_state', 'resolve_resume',
           'select_checkpoint']

T = TypeVar('T')


def broadcast_from_main(function: Callable[[], T]) -> T:
    """Call a function on the main process and return its result on all processes. All processes must call this.

    Args:
        function: Function without arguments. Its result must be picklable.

    Returns:
        The result of the main process.

    Raises:
        Exception: The exception of the main process. The other processes raise a ``ValueError`` (or ``SystemExit``)
            with the same message, so that none is left waiting.
    """
    message: list = [None, None, ValueError]  # result, error message, error type
    failure: BaseException | None = None
    if is_main_process():
        try:
            message[0] = function()
        except (Exception, SystemExit) as error:
            failure = error
            message[1] = str(error) or type(error).__name__
            message[2] = SystemExit if isinstance(error, SystemExit) else ValueError
    broadcast_object_list(message)
    result, error_message, error_type = message
    if failure is not None:
        raise failure
    if error_message is not None:
        raise error_type(error_message)
    return result


def select_checkpoint(work_dir: str | Path, checkpoint: str | None = None) -> tuple[str | None, list[str]]:
    """Select the checkpoint to resume from.

    Args:
        work_dir: Work folder of the run.
        checkpoint: Path or URL of a checkpoint. By default, the latest complete checkpoint in ``work_dir``.

    Returns:
        The path, or None if training starts from step 0, and the warnings to log.

    Raises:
        ValueError: If ``checkpoint`` is truncated or a folder of checkpoints.
    """
    if checkpoint is None:
        latest, warnings = scan_checkpoints(work_dir)
        if latest is None:
            warnings.append(f'Found no checkpoint to resume from in {work_dir}: training starts at step 0.')
        return latest, warnings
    path = Path(checkpoint)
    if path.is_dir() and path.suffix != '.pth':
        raise ValueError(f'{checkpoint} is a folder: give a checkpoint in it, or use --work-dir {checkpoint} --resume '
                         f'auto.')
    if path.exists() and is_truncated(path):
        latest, _ = scan_checkpoints(path.parent)
        fix = (f'The latest complete checkpoint in its folder is {latest}.' if latest else
               'Its folder has no complete checkpoint: omit --resume to start training.')
        raise ValueError(f'The checkpoint {checkpoint} is truncated, or was written by PyTorch < 1.6. {fix}')
    return checkpoint, []


def check_training_state(checkpoint: str) -> None:
    """Check that a checkpoint holds the state of a training run and not only weights. URLs are not checked.

    Raises:
        ValueError: If it holds no epoch, step or message hub.
    """
    if not Path(checkpoint).exists():
        return
    content = read_training_state(checkpoint)
    meta = content.get('meta') if isinstance(content, dict) else None
    if not isinstance(meta, dict) or not {'epoch', 'iter'} <= meta.keys() or 'message_hub' not in content:
        raise ValueError(f'The checkpoint {checkpoint} has no training state to resume. To start training from its '
                         f'weights, replace --resume with --cfg-options load_from={checkpoint}')


def check_same_on_all_ranks(checkpoint: str) -> None:
    """Check that all processes find the same checkpoint file. All processes must call this.

    URLs are not checked. For the folders of sharded checkpoints, only existence is checked.

    Raises:
        ValueError: If a process finds no file or another file at that path. Raised on all processes.
    """
    if '://' in checkpoint:
        return
    fingerprints = all_gather_object(_fingerprint(Path(checkpoint)))
    if len(fingerprints) == 1:
        return
    if not any(fingerprints):
        raise ValueError(f'There is no checkpoint {checkpoint}: give the path of a .pth file.')
    problems = [f'process {rank} does not find it' if found is None else f'process {rank} has another file there'
                for rank, found in enumerate(fingerprints) if found is None or found != fingerprints[0]]
    if problems:
        raise ValueError(f'All processes must resume from the same checkpoint {checkpoint}, but '
                         f'{", ".join(problems[:3])}. Copy the file to that path on every machine, or use a work '
                         f'folder that all machines share.')


def _fingerprint(path: Path) -> list | str | None:
    """Return sizes and checksums of the records in a checkpoint, or None if there is no such file."""
    if not path.exists():
        return None
    try:
        with zipfile.ZipFile(path) as archive:
            return [(record.file_size, record.CRC) for record in archive.infolist()]
    except (zipfile.BadZipFile, OSError, EOFError):
        return 'folder' if path.is_dir() else f'{path.stat().st_size} bytes'


def resolve_resume(runner: Runner) -> None:
    """Select the checkpoint of a runner on the main process and set it on all. Later calls do nothing.

    Args:
        runner: Runner that has not loaded a checkpoint yet.

    Raises:
        ValueError: As in :func:`select_checkpoint` and :func:`check_same_on_all_ranks`.
    """
    if getattr(runner, 'resume_is_resolved', False):
        return
    runner.resume_is_resolved = True

    def select() -> tuple[str | None, bool, list[str]]:
        resume = getattr(runner, '_resume', False)
        if not resume:
            return runner._load_from, False, []
        checkpoint = resume if isinstance(resume, str) else runner._load_from
        selected, warnings = select_checkpoint(runner.work_dir, checkpoint)
        return selected, selected is not None, warnings

    runner._load_from, runner._resume, warnings = broadcast_from_main(select)
    for warning in warnings:
        runner.logger.warning(warning)
    if runner._resume:
        check_same_on_all_ranks(runner._load_from)
