"""Options and process groups that training and testing share."""
import argparse
import gc
import os
import subprocess
import weakref
from pathlib import Path
from typing import Any

import torch
import torch.distributed

from ..utils.toolboxes import require

require('This command', 'mmengine', 'mmcv')
from mmengine.config import Config, DictAction  # noqa: E402

from ..utils.config import load_config  # noqa: E402
from .validation import check_work_dir  # noqa: E402

__all__ = ['base_parser', 'config_from_args', 'destroy_cpu_process_group', 'init_cpu_process_group', 'replace_type']


class KeyValueAction(DictAction):
    """DictAction of mmengine that reports malformed entries as usage errors."""

    def __call__(self, parser: argparse.ArgumentParser, namespace: argparse.Namespace, values: Any,
                 option_string: str | None = None) -> None:
        try:
            super().__call__(parser, namespace, values, option_string)
        except (ValueError, AssertionError) as error:
            raise argparse.ArgumentError(self, f'{" ".join(values)!r} must be KEY=VALUE such as '
                                         f'train_cfg.max_epochs=2, without spaces and with closed brackets '
                                         f'({error}).') from error


def base_parser(description: str) -> argparse.ArgumentParser:
    """Create a parser with the options that training and testing share, named as ``mim train`` and ``mim test`` expect.

    Args:
        description: Description of the tool.
    """
    parser = argparse.ArgumentParser(description=description)
    parser.add_argument('config', help='config file')
    parser.add_argument('--work-dir', help='folder for logs, checkpoints and metrics (default: work_dirs/CONFIG)')
    parser.add_argument('--cfg-options', nargs='+', action=KeyValueAction, metavar='KEY=VALUE',
                        help='override config entries: train_cfg.max_epochs=2 param_scheduler.0.end=10')
    parser.add_argument('--launcher', choices=['none', 'pytorch', 'slurm', 'mpi'], default='none',
                        help='launcher of the processes')
    # The spelling depends on the version of torch.distributed.launch.
    parser.add_argument('--local_rank', '--local-rank', type=int, default=0, help=argparse.SUPPRESS)
    return parser


def config_from_args(args: argparse.Namespace) -> Config:
    """Load the config and apply the options of :func:`base_parser`.

    Args:
        args: Parsed arguments.

    Raises:
        ValueError: If the config cannot be read or the work folder is not writable.
    """
    cfg = load_config(args.config, args.cfg_options)
    cfg.launcher = args.launcher
    if args.work_dir or not cfg.get('work_dir'):
        cfg.work_dir = args.work_dir or str(Path('work_dirs') / Path(args.config).stem)
    os.environ.setdefault('LOCAL_RANK', str(args.local_rank))
    check_work_dir(cfg.work_dir)
    return cfg


def init_cpu_process_group(cfg: Config) -> None:
    """Make the launchers ``pytorch`` and ``slurm`` work without a GPU. Do nothing on machines with a GPU.

    mmengine's launchers set a CUDA device unless the process group exists, its default model wrapper requires one, and
    SyncBN needs a GPU.

    Args:
        cfg: Training or test config, modified in place.
    """
    if cfg.launcher not in ('pytorch', 'slurm') or torch.cuda.is_available():
        return
    if cfg.launcher == 'slurm':
        _set_torch_variables_from_slurm()
    if not torch.distributed.is_initialized():
        torch.distributed.init_process_group('gloo')
    cfg.model_wrapper_cfg = dict(type='MMDistributedDataParallel', device_ids=None, broadcast_buffers=False,
                                 find_unused_parameters=cfg.get('find_unused_parameters', False))
    replace_type(cfg.model, 'SyncBN', 'BN')


def destroy_cpu_process_group(model: weakref.ref | None = None) -> None:
    """Destroy a gloo process group, whose threads can abort the interpreter at exit.

    Args:
        model: Reference to the runner's model. The group is kept if the model is still alive, since its DDP wrapper
            would wait for the group forever.
    """
    gc.collect()
    uses_gloo = torch.distributed.is_initialized() and torch.distributed.get_backend() == 'gloo'
    if uses_gloo and (model is None or model() is None):
        torch.distributed.destroy_process_group()


def _set_torch_variables_from_slurm() -> None:
    """Set the environment variables of torch.distributed, as mmengine's Slurm launcher does."""
    slurm = {name: os.environ[f'SLURM_{name}'] for name in ('PROCID', 'NTASKS', 'LOCALID', 'NODELIST')}
    hosts = subprocess.check_output(['scontrol', 'show', 'hostname', slurm['NODELIST']], text=True)
    os.environ.update(RANK=slurm['PROCID'], WORLD_SIZE=slurm['NTASKS'], LOCAL_RANK=slurm['LOCALID'])
    os.environ.setdefault('MASTER_ADDR', hosts.split()[0])
    os.environ.setdefault('MASTER_PORT', '29500')


def replace_type(node: Any, old: str, new: str) -> None:
    """Replace ``type=old`` with ``type=new`` everywhere in a config."""
    if isinstance(node, dict) and node.get('type') == old:
        node['type'] = new
    children = node.values() if isinstance(node, dict) else node if isinstance(node, (list, tuple)) else ()
    for child in children:
        replace_type(child, old, new)
