"""Checks of configs, launchers and checkpoints before any work starts."""
import os
import sys
import tempfile
from pathlib import Path

import torch
import torch.distributed
from mmengine.config import Config

from ..utils.checkpoints import SAFE_BY_DEFAULT, load_model, read_weights
from ..utils.config import build_model

__all__ = ['check_checkpoint', 'check_launcher', 'check_load_from', 'check_sections', 'check_work_dir']

SECTIONS = dict(train=('train_cfg', 'train_dataloader', 'optim_wrapper'),
                test=('test_cfg', 'test_dataloader', 'test_evaluator'))
# Environment variables of each launcher, and a command that sets them.
LAUNCHERS = dict(
    pytorch=(('RANK', 'WORLD_SIZE', 'MASTER_ADDR', 'MASTER_PORT'), 'torchrun --nproc-per-node=8 {}'),
    slurm=(('SLURM_PROCID', 'SLURM_NTASKS', 'SLURM_LOCALID', 'SLURM_NODELIST'),
           'srun --ntasks=8 --gres=gpu:8 python {}'),
    mpi=(('OMPI_COMM_WORLD_LOCAL_RANK', 'OMPI_COMM_WORLD_RANK', 'OMPI_COMM_WORLD_SIZE', 'MASTER_ADDR'),
         'MASTER_ADDR=localhost mpirun -np 8 -x MASTER_ADDR python {}'))


def check_launcher(launcher: str, config: str) -> None:
    """Check that this process was started by the launcher.

    Args:
        launcher: Value of ``--launcher``.
        config: Path of the config, for the error message.

    Raises:
        ValueError: If an environment variable of the launcher is missing.
    """
    if launcher == 'none' or torch.distributed.is_initialized():
        return
    variables, command = LAUNCHERS[launcher]
    missing = [name for name in variables if name not in os.environ]
    if missing:
        command = command.format(f'{sys.argv[0]} {config} --launcher {launcher}')
        raise ValueError(f'--launcher {launcher} needs {", ".join(missing)} in the environment: start the processes '
                         f'with `{command}`, or omit --launcher to run a single process.')


def check_sections(cfg: Config, mode: str) -> None:
    """Check that a config has the sections for training or testing.

    Args:
        cfg: The config.
        mode: ``'train'`` or ``'test'``.

    Raises:
        ValueError: If a section is missing.
    """
    for name in SECTIONS[mode]:
        if not isinstance(cfg.get(name), (dict, list)):
            raise ValueError(f'The config {cfg.filename} must define `{name}` as a dict to {mode}, got '
                             f'{name}={cfg.get(name)!r}.')


def check_work_dir(folder: str | Path) -> None:
    """Check that files can be written to a folder, which may not exist yet. Nothing is created.

    Raises:
        ValueError: If the folder is not writable.
    """
    existing = Path(folder).absolute()
    try:
        while not existing.exists():
            existing = existing.parent
        with tempfile.TemporaryFile(dir=existing):
            pass
    except OSError as error:
        raise ValueError(f'Cannot write to {folder} ({error.strerror}: {existing}): give another folder with '
                         f'--work-dir.') from error


def check_checkpoint(cfg: Config, checkpoint: str) -> None:
    """Check that a checkpoint has all weights of the model. mmengine loads matching weights and only logs the others.

    URLs and folders of shards are not checked. With PyTorch < 2.6, files are not checked either, since it cannot read
    mmengine's checkpoints without running code from them.

    Args:
        cfg: Config of the model.
        checkpoint: Path or URL.

    Raises:
        ValueError: If the file is missing, cannot be read, or does not fit the model.
    """
    if _is_checked_here(checkpoint):
        load_model(cfg, checkpoint)


def check_load_from(cfg: Config) -> None:
    """Check that the checkpoint in ``load_from`` has at least one weight of the model to train.

    The other weights may be new, such as a classifier with another number of classes. :func:`check_checkpoint` lists
    the checkpoints that are not checked.

    Args:
        cfg: Training config.

    Raises:
        ValueError: If the file is missing, cannot be read, or has no weight of the model.
    """
    checkpoint = cfg.get('load_from')
    if not checkpoint or cfg.get('resume') or not _is_checked_here(checkpoint):
        return
    weights = read_weights(checkpoint)
    names = {name for name, _ in build_model(cfg).named_parameters()}
    if not names & weights.keys():
        raise ValueError(f'load_from={checkpoint} has {len(weights)} tensors, but none is a weight of the model of '
                         f'{cfg.filename}: give a checkpoint of a similar model, or omit load_from.')


def _is_checked_here(checkpoint: str) -> bool:
    is_main_process = os.environ.get('SLURM_PROCID', os.environ.get('LOCAL_RANK', '0')) == '0'
    return is_main_process and SAFE_BY_DEFAULT and '://' not in checkpoint and not Path(checkpoint).is_dir()
