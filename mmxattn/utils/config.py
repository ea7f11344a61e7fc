"""A recipe is an OpenMMLab config file: reading one, building its model, its input size, its fingerprint."""

import copy
import hashlib
import json
from pathlib import Path

from mmengine.config import Config
from mmengine.model import revert_sync_batchnorm
from mmengine.registry import MODELS, init_default_scope
from mmengine.runner import set_random_seed


def load_recipe(path, options=None, seed=None):
    """Read a config file.

    Args:
        path (str | Path): The config file.
        options (dict, optional): Dotted keys and the values that replace the file's, as in ``--cfg-options``.
        seed (int, optional): The seed to train with, in place of the file's own.

    Returns:
        mmengine.config.Config: The config after inheritance.

    Raises:
        ValueError: The file is missing, cannot be read, or describes no model.
    """
    path = Path(path)
    if not path.is_file():
        raise ValueError(f'There is no config file {path}: give the path of an OpenMMLab config (a .py file).')
    try:
        cfg = Config.fromfile(path)
        cfg.merge_from_dict(options or {})
    except Exception as error:  # a config is a program: anything may go wrong in it
        raise ValueError(f'The config {path} cannot be read ({type(error).__name__}: {error}): mend it, or see '
                         f'that the toolbox it inherits from is installed.') from error
    if 'model' not in cfg:
        raise ValueError(f'The config {path} has no `model`, only {sorted(cfg)}: give one that can be trained.')
    if seed is not None:
        cfg.randomness = {**cfg.get('randomness', {}), 'seed': seed}
    return cfg


def build_model(cfg):
    """Build the model of a recipe for its structure: nothing is downloaded, and a layer may leave weights unset.

    Args:
        cfg (mmengine.config.Config): The recipe.

    Returns:
        torch.nn.Module: The model in evaluation mode, on the CPU, SyncBN turned into BN. Where its outputs matter, use
        :func:`untrained_model`.

    Raises:
        ValueError: The recipe's model cannot be built.
    """
    init_default_scope(cfg.get('default_scope', 'mmengine'))
    try:
        model = MODELS.build(copy.deepcopy(cfg.model))  # a copy, for some detectors write into their config
    except Exception as error:  # whatever a component makes of its arguments
        raise ValueError(f'The model of {cfg.filename} cannot be built ({type(error).__name__}: {error}).') from error
    model = revert_sync_batchnorm(model)
    model.eval()  # not chained: mmdet's ResNet.eval() returns None
    return model


def untrained_model(cfg):
    """Build the model of a recipe at its random start, the same at each call; nothing is downloaded.

    How many boxes it gives decides how long their suppression takes, so two copies have to give the same.

    Args:
        cfg (mmengine.config.Config): The recipe; pretrained weights that it names are left out.

    Returns:
        torch.nn.Module: The model in evaluation mode, on the CPU.

    Raises:
        ValueError: The recipe's model cannot be built.
    """
    set_random_seed(0)
    model = build_model(cfg)
    for module in model.modules():
        if starts := getattr(module, 'init_cfg', None):
            starts = [starts] if isinstance(starts, dict) else starts
            module.init_cfg = [start for start in starts if start['type'] != 'Pretrained'] or None
    model.init_weights()
    return model


def input_shape(cfg):
    """The image size that a recipe tells.

    The training crop where the preprocessor pads to one (segmentation), else the scale of the test pipeline.

    Args:
        cfg (mmengine.config.Config): The recipe.

    Returns:
        tuple[int, int]: Height and width in pixels; None where the recipe takes images as they are.
    """
    crop = cfg.model.get('data_preprocessor', {}).get('size')
    if crop is not None:
        return tuple(crop)
    for transform in test_dataset(cfg).get('pipeline') or cfg.get('test_pipeline', []):
        if transform['type'].endswith('Resize') and 'scale' in transform:
            width, height = transform['scale']
            return height, width
    return None


def test_dataset(cfg):
    """The config of the data set that a recipe tests on, without the wrappers around it; {} where there is none."""
    dataset = (cfg.get('test_dataloader') or cfg.get('val_dataloader') or {}).get('dataset', {})
    while 'dataset' in dataset or 'datasets' in dataset:
        dataset = dataset['dataset'] if 'dataset' in dataset else dataset['datasets'][0]
    return dataset


def fingerprint(cfg):
    """Eight hexadecimal digits that change whenever the resolved config does."""
    text = json.dumps(cfg.to_dict(), sort_keys=True, default=repr)
    return hashlib.sha256(text.encode()).hexdigest()[:8]
