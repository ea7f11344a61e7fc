"""What the tools are given: recipes, folders and checkpoints that cannot be used are told before any work begins."""
import http.client
import os
import pickle
import sys
import tempfile
import urllib.error
import urllib.request
from pathlib import Path
from urllib.parse import urlparse

import torch
from mmengine.config import Config

from mmxattn.engine import newest_checkpoint
from mmxattn.patches import LOADS_WEIGHTS_ONLY, unreachable, unreadable

__all__ = ['check_checkpoint', 'check_launcher', 'check_parts', 'check_start', 'check_work_dir', 'read_config']

# What mmengine's Runner takes together or not at all.
PARTS = dict(train=('train_cfg', 'train_dataloader', 'optim_wrapper'),
             val=('val_cfg', 'val_dataloader', 'val_evaluator'),
             test=('test_cfg', 'test_dataloader', 'test_evaluator'))
# What each launcher's processes have in their environment, and how they are started.
LAUNCHERS = dict(
    pytorch=(('RANK', 'WORLD_SIZE', 'MASTER_ADDR', 'MASTER_PORT'), 'torchrun --nproc-per-node=8 {}'),
    slurm=(('SLURM_PROCID', 'SLURM_NTASKS', 'SLURM_LOCALID', 'SLURM_NODELIST'),
           'srun --ntasks=8 --gres=gpu:8 python {}'),
    mpi=(('OMPI_COMM_WORLD_LOCAL_RANK', 'OMPI_COMM_WORLD_RANK', 'OMPI_COMM_WORLD_SIZE', 'MASTER_ADDR'),
         'MASTER_ADDR=localhost mpirun -np 8 -x MASTER_ADDR python {}'))
ANSWER_S = 30  # that an address has


def read_config(path: str, options: dict | None) -> Config:
    """A recipe with the overriding options merged in.

    Raises:
        SystemExit: there is no such file, or it cannot be read.
    """
    if not Path(path).is_file():
        raise SystemExit(f'There is no recipe {path}: give the path of a config file (.py). Those of this package: mim '
                         'search mmxattn')
    try:
        config = Config.fromfile(path)
    except Exception as error:  # a config is a program: anything may go wrong in it
        raise SystemExit(f'The recipe {path} cannot be read ({type(error).__name__}: {error}): mend it, or see that '
                         'the toolbox it inherits from is installed.') from error
    try:
        config.merge_from_dict(options or {})
    except (KeyError, TypeError, IndexError) as error:
        raise SystemExit(f'--cfg-options {options} go with nothing in {path} ({type(error).__name__}: {error}): name '
                         'keys that it has.') from error
    return config


def check_launcher(launcher: str, config: str) -> None:
    """Exit with one sentence where this process is none of those that a launcher starts.

    Args:
        launcher: of the command line.
        config: the recipe's path, for the command in the sentence.

    Raises:
        SystemExit: the environment lacks what the launcher's processes have, or mpi is asked for without a GPU.
    """
    if launcher == 'none' or torch.distributed.is_initialized():
        return
    names, start = LAUNCHERS[launcher]
    absent = [name for name in names if name not in os.environ]
    if absent:
        command = start.format(f'{sys.argv[0]} {config} --launcher {launcher}')
        raise SystemExit(f'--launcher {launcher} is for the processes that it starts, and this is none of them '
                         f'({", ".join(absent)} not set): start them by `{command}`, or leave --launcher out for one '
                         'process.')
    if launcher == 'mpi' and not torch.cuda.is_available():
        raise SystemExit("--launcher mpi takes a GPU a process, and none is here: take --launcher pytorch, or leave it "
                         'out for one process.')


def check_parts(config: Config, work: str) -> None:
    """Exit with one sentence where a recipe lacks what a work needs, or has a part of what goes together.

    Args:
        config: the recipe.
        work: 'train' or 'test'.

    Raises:
        SystemExit: the model or a part of the work is missing, None, or no dict; or of another work's parts some are
            there and some are not.
    """
    for name in ('model', *PARTS[work]):
        part = config.get(name)
        if not isinstance(part, dict) and not (name.endswith('evaluator') and isinstance(part, (list, tuple))):
            raise SystemExit(f'The recipe {config.filename} has {name}={part!r}, and to {work} it needs a dict there: '
                             f'add {name}, or give a recipe that has it. Those of this package: mim search mmxattn')
    for names in PARTS.values():
        absent = [name for name in names if config.get(name) is None]
        if absent and len(absent) < len(names):
            raise SystemExit(f'The recipe {config.filename} has {absent[0]}=None beside '
                             f'{", ".join(name for name in names if name not in absent)}: give all of '
                             f'{", ".join(names)}, or none.')


def check_work_dir(folder: str | Path) -> None:
    """Raise a ValueError where nothing can be written into a folder that is there or to be made; nothing is made."""
    place = Path(folder).absolute()
    try:
        while not place.exists():
            place = place.parent
        with tempfile.TemporaryFile(dir=place):
            pass
    except OSError as error:
        raise ValueError(f'Nothing can be written to {folder} ({error.strerror}: {place}): give another folder with '
                         '--work-dir.') from error


def check_checkpoint(config: Config, checkpoint: str) -> None:
    """Exit with one sentence where a file has not all weights of the recipe's model.

    mmengine loads what fits and only logs the rest: a test of random weights would look like a result. What an address
    has, and what is in a folder of shards, is not looked at. Below PyTorch 2.6 no file is, for mmengine's cannot be
    read without running what is in them.

    Raises:
        SystemExit: there is no such file, it cannot be read, or its weights are another model's; a folder for a recipe
            that reads files; an address that does not answer.
    """
    check_place(config, checkpoint)
    if not is_looked_at(checkpoint):
        return
    from mmxattn.utils.checkpoints import load_model  # here, for it takes seconds to import
    try:
        load_model(config, checkpoint)
    except ValueError as error:
        raise SystemExit(str(error)) from error


def check_start(config: Config) -> None:
    """Exit with one sentence where a training is to start from a file that has no weight for the recipe's model.

    Where it has some, the others are new: another number of classes, a new part. What an address has is not looked at.

    Raises:
        SystemExit: there is no such file, it cannot be read, or nothing in it has the name of a weight of the model; a
            folder for a recipe that reads files; an address that does not answer.
    """
    checkpoint = config.get('load_from')
    if not checkpoint or config.get('resume'):
        return
    check_place(config, checkpoint)
    if not is_looked_at(checkpoint):
        return
    if not Path(checkpoint).is_file():
        raise SystemExit(f'There is no checkpoint {checkpoint}: give the path of a .pth file as load_from, or none.')
    from mmxattn.utils.config import build_model  # here, for it takes seconds to import
    try:
        weights = torch.load(checkpoint, map_location='cpu', weights_only=True)
    except (pickle.UnpicklingError, EOFError, RuntimeError) as error:
        raise SystemExit(str(unreadable(checkpoint, error))) from error
    weights = weights.get('state_dict', weights) if isinstance(weights, dict) else {}
    model = build_model(config)
    try:
        missing, _ = model.load_state_dict({key.removeprefix('module.'): x for key, x in weights.items()}, strict=False)
    except RuntimeError:
        return  # a name that both have, in another shape
    if {name for name, _ in model.named_parameters()} <= set(missing):
        raise SystemExit(f'load_from={checkpoint} has {len(weights)} entries, and none of them is a weight of the '
                         f'model of {config.filename}: give a checkpoint of a like model, or none.')


def check_place(config: Config, checkpoint: str) -> None:
    """Exit with one sentence where mmengine would not find a checkpoint: in a folder, or at an address.

    Raises:
        SystemExit: a folder, for a recipe whose strategy does not write folders; an address that does not answer.
    """
    if not is_first():
        return
    if checkpoint.startswith(('http://', 'https://')):
        check_address(checkpoint)
    elif Path(checkpoint).is_dir() and not in_shards(config):
        files = sorted(Path(checkpoint).glob('*.pth'), key=lambda file: file.stat().st_mtime)
        newest = newest_checkpoint(checkpoint) or (files[-1] if files else None)
        raise SystemExit(f'The checkpoint {checkpoint} is a folder: give ' + (
            f'a file in it; the newest is {newest}.' if newest else 'the path of a .pth file; it has none.'))


def check_address(address: str) -> None:
    """Exit with one sentence where an address does not answer; what torch keeps of it from before needs no network."""
    if (Path(torch.hub.get_dir()) / 'checkpoints' / Path(urlparse(address).path).name).is_file():
        return
    try:
        request = urllib.request.Request(address, headers={'User-Agent': 'torch.hub'})  # as torch will ask
        with urllib.request.urlopen(request, timeout=ANSWER_S):
            pass
    except (OSError, http.client.HTTPException, ValueError) as error:
        raise SystemExit(str(unreachable(address, error))) from error


def in_shards(config: Config) -> bool:
    """Whether a recipe's strategy writes folders, one file a process: DeepSpeed's, FSDP's and ColossalAI's do."""
    strategy = config.get('strategy') or {}
    kind = strategy.get('type', '') if isinstance(strategy, dict) else strategy
    return 'runner_type' in config and kind not in ('', 'SingleDeviceStrategy', 'DDPStrategy')


def is_first() -> bool:
    """Whether this is the first process of a run."""
    return os.environ.get('SLURM_PROCID', os.environ.get('LOCAL_RANK', '0')) == '0'


def is_looked_at(checkpoint: str) -> bool:
    """Whether a checkpoint is a file that can be read safely, and this is the first process of a run."""
    return is_first() and LOADS_WEIGHTS_ONLY and '://' not in checkpoint and not Path(checkpoint).is_dir()
