"""A checkpoint's weights into a recipe's model, all of them or none."""

import pickle
from pathlib import Path

import torch
from mmengine.device import get_device
from mmengine.logging import MMLogger

from .config import build_model
from .errors import in_one_line

SHOWN = 3  # keys of a checkpoint that does not fit


def load_model(cfg, checkpoint):
    """Build a recipe's model with the weights of a checkpoint.

    Args:
        cfg (mmengine.config.Config): The recipe.
        checkpoint (str | Path): A file that training wrote, or a state dict.

    Returns:
        torch.nn.Module: In evaluation mode, on the GPU where there is one. Weights of the checkpoint that the model
        has no place for are left out, with a warning in the log.

    Raises:
        ValueError: There is no such file, it cannot be read or holds no weights, or weights of the model are missing
            in it or have another shape there.
    """
    if not Path(checkpoint).is_file():
        raise ValueError(f'There is no checkpoint {checkpoint}: give the path of a .pth file, or train {cfg.filename}.')
    model = build_model(cfg)
    missing, unexpected, other_shape = _load(model, _read(checkpoint))
    if missing or other_shape:
        raise ValueError(f'The checkpoint {checkpoint} does not fit the model of {cfg.filename}: '
                         f'{_keys(missing, "missing")}; {_keys(other_shape, "of another shape")}; '
                         f'{_keys(unexpected, "that the model has not")}. Give a checkpoint that this recipe wrote, '
                         f'or the recipe that wrote this one.')
    if unexpected:
        MMLogger.get_current_instance().warning(f'{checkpoint}: {_keys(unexpected, "left out")}.')
    return model.to(get_device())


def _read(checkpoint):
    """The tensors of a checkpoint by key."""
    try:
        content = torch.load(checkpoint, map_location='cpu', weights_only=True)
    except pickle.UnpicklingError as error:  # torch's own text recommends to switch its protection off
        raise ValueError(f'The checkpoint {checkpoint} cannot be read: it is no file of tensors, or would run code '
                         f'when loaded. Give one that training wrote.') from error
    except (RuntimeError, OSError, EOFError) as error:  # damaged
        raise ValueError(f'The checkpoint {checkpoint} cannot be read ({in_one_line(error)}): give one that training '
                         f'wrote.') from error
    weights = content.get('state_dict', content) if isinstance(content, dict) else {}
    weights = {key.removeprefix('module.'): value for key, value in weights.items() if torch.is_tensor(value)}
    if not weights:
        raise ValueError(f'The checkpoint {checkpoint} holds no weights: give one that training wrote.')
    return weights


def _load(model, weights):
    """Load what fits; returns the keys that are missing, unexpected and of another shape."""
    before = {key: value.shape for key, value in model.state_dict().items()}
    other_shape = [key for key in weights if key in before and weights[key].shape != before[key]]
    if other_shape:  # torch refuses these whatever it is told
        missing, unexpected = set(before) - set(weights), set(weights) - set(before)
        missing, unexpected = sorted(missing), sorted(unexpected)
    else:
        missing, unexpected = model.load_state_dict(weights, strict=False)
    missing = [key for key in missing if not key.endswith('num_batches_tracked')]  # older checkpoints have none
    other_shape = [f'{key} ({_size(weights[key].shape)}, not {_size(before[key])})' for key in other_shape]
    return missing, unexpected, other_shape


def _size(shape):
    return 'x'.join(map(str, shape)) or 'a number'


def _keys(keys, what):
    more = f' and {len(keys) - SHOWN} more' if len(keys) > SHOWN else ''
    return f'{len(keys)} keys {what}' + (f' ({", ".join(keys[:SHOWN])}{more})' if keys else '')
