"""What tools/train.py and tools/test.py share: the options of OpenMMLab's own tools, and processes without a GPU."""
import argparse
import gc
import os
import subprocess
from collections.abc import Callable
from pathlib import Path

import torch
import torch.distributed

from mmxattn.utils.toolboxes import require

require('This tool', 'mmengine', 'mmcv')
from mmengine.config import Config, DictAction  # noqa: E402  (after the sentence that says what is missing)

from .validation import check_work_dir, read_config  # noqa: E402

__all__ = ['end_processes', 'load_config', 'option_parser', 'replace_type', 'start_processes']


class Entries(DictAction):
    """mmengine's reader of ``KEY=VALUE``, which tells in a sentence what it cannot read."""

    def __call__(self, parser, namespace, values, option_string=None):
        try:
            super().__call__(parser, namespace, values, option_string)
        except (ValueError, AssertionError) as error:
            raise argparse.ArgumentError(self, f'{" ".join(values)!r} is not KEY=VALUE ({error}): write entries as in '
                                         'train_cfg.max_epochs=2, brackets closed, without spaces.') from error


def option_parser(description: str) -> argparse.ArgumentParser:
    """A parser with what training and testing have in common; ``mim train`` and ``mim test`` rely on these names."""
    parser = argparse.ArgumentParser(description=description)
    parser.add_argument('config', help='the recipe')
    parser.add_argument('--work-dir', help='where logs, checkpoints and metrics go (default: work_dirs/RECIPE)')
    parser.add_argument('--cfg-options', nargs='+', action=Entries, metavar='KEY=VALUE',
                        help='entries of the recipe to replace: train_cfg.max_epochs=2 param_scheduler.0.end=10')
    parser.add_argument('--launcher', choices=['none', 'pytorch', 'slurm', 'mpi'], default='none',
                        help='how several processes are started')
    # torch.distributed.launch writes it one way or the other, by version.
    parser.add_argument('--local_rank', '--local-rank', type=int, default=0, help=argparse.SUPPRESS)
    return parser


def load_config(arguments: argparse.Namespace) -> Config:
    """The recipe with the overriding options merged in; its work_dir and launcher are set."""
    config = read_config(arguments.config, arguments.cfg_options)
    config.launcher = arguments.launcher
    if arguments.work_dir or not config.get('work_dir'):
        config.work_dir = arguments.work_dir or str(Path('work_dirs') / Path(arguments.config).stem)
    os.environ.setdefault('LOCAL_RANK', str(arguments.local_rank))
    try:
        check_work_dir(config.work_dir)
    except ValueError as error:
        raise SystemExit(str(error)) from error
    return config


def start_processes(config: Config) -> None:
    """Make ``--launcher pytorch`` and ``slurm`` work on a machine without GPU; elsewhere do nothing.

    mmengine's launchers ask for a CUDA device unless the process group is there already, its default wrapper names one,
    and synchronised batch norm exists on GPUs only.
    """
    if config.launcher not in ('pytorch', 'slurm') or torch.cuda.is_available():
        return
    if config.launcher == 'slurm':
        name_process_after_slurm()
    if not torch.distributed.is_initialized():
        torch.distributed.init_process_group('gloo')
    config.model_wrapper_cfg = dict(type='MMDistributedDataParallel', device_ids=None, broadcast_buffers=False,
                                    find_unused_parameters=config.get('find_unused_parameters', False))
    replace_type(config.model, 'SyncBN', 'BN')


def end_processes(model: Callable[[], object]) -> None:
    """End a process group of gloo's, whose threads now and then abort a Python that leaves them behind.

    Not where something still holds the model: its wrapper would be the group's last holder, and wait for them for ever.

    Args:
        model: a weak reference to the runner's model.
    """
    gc.collect()
    started = torch.distributed.is_initialized() and torch.distributed.get_backend() == 'gloo'
    if started and model() is None:
        torch.distributed.destroy_process_group()


def name_process_after_slurm() -> None:
    """What torch asks for of a process, from what srun says of it; as mmengine's launcher does."""
    slurm = {name: os.environ[f'SLURM_{name}'] for name in ('PROCID', 'NTASKS', 'LOCALID', 'NODELIST')}
    hosts = subprocess.check_output(['scontrol', 'show', 'hostname', slurm['NODELIST']], text=True)
    os.environ.update(RANK=slurm['PROCID'], WORLD_SIZE=slurm['NTASKS'], LOCAL_RANK=slurm['LOCALID'])
    os.environ.setdefault('MASTER_ADDR', hosts.split()[0])
    os.environ.setdefault('MASTER_PORT', '29500')


def replace_type(node, old: str, new: str) -> None:
    """Rename the type of every component in a config that is exactly ``old``."""
    children = node.values() if isinstance(node, dict) else node if isinstance(node, (list, tuple)) else ()
    if isinstance(node, dict) and node.get('type') == old:
        node['type'] = new
    for child in children:
        replace_type(child, old, new)
