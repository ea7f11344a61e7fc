"""Read OpenMMLab config files and build their models."""
import copy
import hashlib
import json
from pathlib import Path

from mmengine.config import Config
from mmengine.model import BaseModel, revert_sync_batchnorm
from mmengine.registry import MODELS, init_default_scope
from mmengine.runner import set_random_seed

from .quiet import quiet

__all__ = ['build_model', 'build_untrained_model', 'fingerprint', 'input_shape', 'load_config', 'test_dataset_cfg']


def load_config(path: str | Path, cfg_options: dict | None = None, seed: int | None = None) -> Config:
    """Load a config file and resolve its inheritance.

    Args:
        path: Path of the config file.
        cfg_options: Dotted keys and the values that override those of the file, as for ``--cfg-options``.
        seed: Training seed that overrides the one of the file.

    Returns:
        The resolved config.

    Raises:
        ValueError: If the file is missing, cannot be read, has no ``model``, or does not accept ``cfg_options``.
    """
    if not Path(path).is_file():
        raise ValueError(f'There is no config file {path}: give the path of an OpenMMLab config (.py). To list the '
                         f'configs of this package: mim search mmxattn')
    try:
        cfg = Config.fromfile(path)
    except Exception as error:  # a config is a program and can raise anything
        raise ValueError(f'The config {path} cannot be read ({type(error).__name__}: {error}): fix it, or install the '
                         f'toolbox that it inherits from.') from error
    try:
        cfg.merge_from_dict(cfg_options or {})
    except (KeyError, TypeError, IndexError) as error:
        raise ValueError(f'--cfg-options {cfg_options} do not match {path} ({type(error).__name__}: {error}): use keys '
                         f'that the config has.') from error
    if not isinstance(cfg.get('model'), dict):
        raise ValueError(f'The config {path} must define `model` as a dict, got {cfg.get("model")!r}: add it, or give '
                         f'another config.')
    if seed is not None:
        cfg.randomness = {**(cfg.get('randomness') or {}), 'seed': seed}
    return cfg


def build_model(cfg: Config) -> BaseModel:
    """Build the model of a config without downloading or initializing weights.

    Some layers leave parameters uninitialized; use :func:`build_untrained_model` where outputs matter.

    Args:
        cfg: Config of the model.

    Returns:
        The model in evaluation mode on the CPU, with SyncBN converted to BN.

    Raises:
        ValueError: If the model cannot be built.
    """
    init_default_scope(cfg.get('default_scope', 'mmengine'))
    try:
        model = MODELS.build(copy.deepcopy(cfg.model))  # some detectors modify their config
    except Exception as error:  # a component can raise anything
        raise ValueError(f'The model of {cfg.filename} cannot be built ({type(error).__name__}: {error}).') from error
    model = revert_sync_batchnorm(model)
    model.eval()  # not chained: mmdet's ResNet.eval() returns None
    return model


def build_untrained_model(cfg: Config) -> BaseModel:
    """Build the model of a config with random weights that are the same in every call.

    Pretrained weights are not downloaded. The weights are reproducible because the number of random detections, and
    with it the time of NMS, depends on them.

    Args:
        cfg: Config of the model.

    Returns:
        The model in evaluation mode on the CPU.

    Raises:
        ValueError: If the model cannot be built.
    """
    set_random_seed(0)
    model = build_model(cfg)
    for module in model.modules():
        if init_cfg := getattr(module, 'init_cfg', None):
            init_cfgs = [init_cfg] if isinstance(init_cfg, dict) else init_cfg
            module.init_cfg = [own for own in init_cfgs if own['type'] != 'Pretrained'] or None
    with quiet():  # mmengine logs several lines per parameter
        model.init_weights()
    return model


def input_shape(cfg: Config) -> tuple[int, int] | None:
    """Return the image size that a config is written for.

    This is the size of the data preprocessor if it has one (the training crop of segmentors), and otherwise the scale
    of the test pipeline.

    Args:
        cfg: Config of a detector or segmentor.

    Returns:
        Height and width in pixels, or None if the config does not resize images.
    """
    crop = (cfg.model.get('data_preprocessor') or {}).get('size')
    if crop is not None:
        return tuple(crop)
    for transform in test_dataset_cfg(cfg).get('pipeline') or cfg.get('test_pipeline', []):
        if transform['type'].endswith('Resize') and 'scale' in transform:
            width, height = transform['scale']
            return height, width
    return None


def test_dataset_cfg(cfg: Config) -> dict:
    """Return the config of the test dataset without its wrappers, or {} if there is none."""
    dataset = (cfg.get('test_dataloader') or cfg.get('val_dataloader') or {}).get('dataset', {})
    while 'dataset' in dataset or 'datasets' in dataset:
        dataset = dataset['dataset'] if 'dataset' in dataset else dataset['datasets'][0]
    return dataset


def fingerprint(cfg: Config) -> str:
    """Return eight hexadecimal digits that identify the resolved config."""
    text = json.dumps(cfg.to_dict(), sort_keys=True, default=repr)
    return hashlib.sha256(text.encode()).hexdigest()[:8]
