"""Read checkpoints without running code from them, and load them into models."""
import pickle
import urllib.error
from pathlib import Path
from typing import Any

import torch
from mmengine.config import Config
from mmengine.device import get_device
from mmengine.logging import MMLogger
from torch import Tensor, nn

from .config import build_model

__all__ = ['SAFE_BY_DEFAULT', 'load_model', 'read_checkpoint', 'read_weights', 'unreachable_error', 'unreadable_error']

# PyTorch >= 2.6 loads only tensors and plain containers by default.
SAFE_BY_DEFAULT = tuple(int(part) for part in torch.__version__.split('.')[:2]) >= (2, 6)
MAX_KEYS = 3  # number of keys in an error message


def read_checkpoint(path: str | Path, weights_only: bool = True, mmap: bool = False) -> Any:
    """Read a checkpoint on the CPU.

    Args:
        path: Checkpoint file.
        weights_only: Reject files that would run code. Before PyTorch 2.6, checkpoints of mmengine's training can only
            be read with ``weights_only=False``.
        mmap: Map the tensors into memory instead of reading them.

    Raises:
        ValueError: If the file is damaged or would run code.
        OSError: If there is no such file.
    """
    try:
        return torch.load(path, map_location='cpu', weights_only=weights_only, mmap=mmap)
    except (FileNotFoundError, IsADirectoryError, PermissionError):
        raise
    except (pickle.UnpicklingError, EOFError, OSError, RuntimeError) as error:  # OSError: some truncated files
        raise unreadable_error(path, error) from error


def read_weights(path: str | Path) -> dict[str, Tensor]:
    """Read the state dict of a checkpoint without the ``module.`` prefix of data parallel wrappers.

    Args:
        path: Checkpoint of a training run, or a bare state dict.

    Returns:
        The tensors by key. Empty if the file holds no state dict.

    Raises:
        ValueError: If there is no such file, it is damaged or it would run code.
    """
    if not Path(path).is_file():
        raise ValueError(f'There is no checkpoint {path}: give the path of a .pth file.')
    content = read_checkpoint(path)
    weights = content.get('state_dict', content) if isinstance(content, dict) else {}
    return {key.removeprefix('module.'): value for key, value in weights.items() if torch.is_tensor(value)}


def load_model(cfg: Config, checkpoint: str | Path) -> nn.Module:
    """Build the model of a config and load all its weights from a checkpoint.

    Weights that do not belong to the model are ignored with a warning.

    Args:
        cfg: Config of the model.
        checkpoint: Checkpoint of a training run, or a bare state dict.

    Returns:
        The model in evaluation mode, on the default device.

    Raises:
        ValueError: If the checkpoint is missing or cannot be read, or if weights of the model are missing in it or
            have another shape.
    """
    weights = read_weights(checkpoint)
    if not weights:
        raise ValueError(f'The checkpoint {checkpoint} contains no weights: give a checkpoint of a training run.')
    model = build_model(cfg)
    shapes = {key: value.shape for key, value in model.state_dict().items()}
    mismatched = {key for key, value in weights.items() if key in shapes and value.shape != shapes[key]}
    matching = {key: value for key, value in weights.items() if key not in mismatched}
    missing, unexpected = model.load_state_dict(matching, strict=False)
    # Checkpoints of old PyTorch versions have no num_batches_tracked.
    missing = [key for key in missing if key not in mismatched and not key.endswith('num_batches_tracked')]
    if missing or mismatched:
        differences = [f'{key} ({_size(weights[key])} instead of {_size(shapes[key])})' for key in sorted(mismatched)]
        raise ValueError(f'The checkpoint {checkpoint} does not fit the model of {cfg.filename}: '
                         f'{_keys(missing, "missing")}; {_keys(differences, "with another shape")}; '
                         f'{_keys(sorted(unexpected), "unexpected")}. Give a checkpoint of this config, or the config '
                         f'of this checkpoint.')
    if unexpected:
        MMLogger.get_current_instance().warning(f'{checkpoint}: {_keys(sorted(unexpected), "ignored")}.')
    return model.to(get_device())


def unreadable_error(path: str | Path, error: Exception) -> ValueError:
    """Return the error for a checkpoint that PyTorch cannot read. PyTorch's message suggests ``weights_only=False``."""
    reason = ('it is not a file of tensors, or it would run code when loaded'
              if isinstance(error, pickle.UnpicklingError) else 'it is truncated or damaged')
    return ValueError(f'The checkpoint {path} cannot be read: {reason}. Give a checkpoint of a training run.')


def unreachable_error(url: str, error: Exception) -> ConnectionError:
    """Return the error for a checkpoint URL that cannot be downloaded."""
    reason = (f'{error.code} {error.reason}' if isinstance(error, urllib.error.HTTPError) else
              getattr(error, 'reason', None) or error)
    return ConnectionError(f'The checkpoint {url} cannot be downloaded ({reason}): give another URL or the path of a '
                           f'file.')


def _size(shape: Tensor | torch.Size) -> str:
    return 'x'.join(map(str, getattr(shape, 'shape', shape))) or 'scalar'


def _keys(keys: list[str], what: str) -> str:
    more = f' and {len(keys) - MAX_KEYS} more' if len(keys) > MAX_KEYS else ''
    return f'{len(keys)} keys {what}' + (f' ({", ".join(keys[:MAX_KEYS])}{more})' if keys else '')
