"""What the tools are given: recipes, folders and checkpoints that cannot be used are told before any work begins."""
import os
import pickle
import tempfile
from pathlib import Path

import torch
from mmengine.config import Config

from mmxattn.compat import LOADS_WEIGHTS_ONLY, unreadable

__all__ = ['check_checkpoint', 'check_start', 'check_work_dir', 'read_config']


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

    mmengine loads what fits and only logs the rest: a test of random weights would look like a result. Addresses and
    folders are not looked at. Below PyTorch 2.6 no file is, for mmengine's cannot be read without running what is in
    them.

    Raises:
        SystemExit: there is no such file, it cannot be read, or its weights are another model's.
    """
    if not is_looked_at(checkpoint):
        return
    from mmxattn.analysis.weights import load_model  # here, for it takes seconds to import
    try:
        load_model(config, checkpoint)
    except ValueError as error:
        raise SystemExit(str(error)) from error


def check_start(config: Config) -> None:
    """Exit with one sentence where a training is to start from a file that has no weight for the recipe's model.

    Where it has some, the others are new: another number of classes, a new part. Addresses are not looked at.

    Raises:
        SystemExit: there is no such file, it cannot be read, or nothing in it has the name of a weight of the model.
    """
    checkpoint = config.get('load_from')
    if not checkpoint or config.get('resume') or not is_looked_at(checkpoint):
        return
    if not Path(checkpoint).is_file():
        raise SystemExit(f'There is no checkpoint {checkpoint}: give the path of a .pth file as load_from, or none.')
    from mmxattn.analysis.recipe import build_model  # here, for it takes seconds to import
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


def is_looked_at(checkpoint: str) -> bool:
    """Whether a checkpoint is a file that can be read safely, and this is the first process of a run."""
    first = os.environ.get('SLURM_PROCID', os.environ.get('LOCAL_RANK', '0')) == '0'
    return first and LOADS_WEIGHTS_ONLY and '://' not in checkpoint and not Path(checkpoint).is_dir()
