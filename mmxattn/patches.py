"""Fixes for upstream bugs, each with the condition for removing it."""
import errno
import functools
import pickle
import urllib.error
from pathlib import Path

import numpy as np
import torch
from mmengine.logging import HistoryBuffer
from mmengine.runner import CheckpointLoader
from mmengine.runner import checkpoint as mmengine_checkpoint

from .utils.checkpoints import SAFE_BY_DEFAULT, unreachable_error, unreadable_error
from .utils.toolboxes import installed

__all__ = ['apply']


def history_buffer_method(owner: type, name: str):
    """Replace ``getattr`` in a checkpoint. Only statistics of HistoryBuffer can be looked up."""
    if owner is not HistoryBuffer or name not in ('min', 'max', 'current', 'mean'):
        raise pickle.UnpicklingError(f'Checkpoints may only look up statistics of HistoryBuffer, got {owner!r}.{name}.')
    return getattr(HistoryBuffer, name)


def allow_checkpoint_types() -> None:
    """Let PyTorch load the logged scalars in mmengine's checkpoints.

    PyTorch >= 2.6 loads tensors and plain containers only, so ``mim test`` and ``--resume`` fail with an
    UnpicklingError on checkpoints written by mmengine <= 0.10.7 (open-mmlab/mmengine issue 1655). Only the types in
    these checkpoints are allowed. Remove when mmengine allows them itself.
    """
    reconstruct = np.empty(0).__reduce__()[0]
    scalar = np.float64(0).__reduce__()[0]
    dtypes = {type(np.dtype(kind)) for kind in ('f2', 'f4', 'f8', 'i4', 'i8', 'u4', 'u8', 'b1')}
    torch.serialization.add_safe_globals(
        [HistoryBuffer, reconstruct, scalar, np.ndarray, np.dtype, *dtypes,
         (history_buffer_method, 'builtins.getattr')])
    # NumPy 1 and 2 keep the two functions under different names, and a checkpoint may come from either.
    for package in ('numpy.core', 'numpy._core'):
        torch.serialization.add_safe_globals([(reconstruct, f'{package}.multiarray._reconstruct'),
                                              (scalar, f'{package}.multiarray.scalar')])


def load_weights_only() -> None:
    """Prevent mmengine from running code in a checkpoint.

    ``torch.hub``, which mmengine uses for URLs, disables ``weights_only`` by default. onedl-mmengine 0.10.9 allows any
    ``getattr`` and retries without ``weights_only`` when PyTorch rejects a file. Remove when neither is the case.
    """
    if hasattr(mmengine_checkpoint, 'load_url'):
        mmengine_checkpoint.load_url = functools.partial(mmengine_checkpoint.load_url, weights_only=True)
    if not hasattr(mmengine_checkpoint, '_safe_torch_load'):
        return
    torch.serialization.add_safe_globals([slice])  # also allowed by onedl-mmengine

    def _safe_torch_load(file, map_location=None, weights_only=True):
        return torch.load(file, map_location=map_location, weights_only=weights_only)

    mmengine_checkpoint._safe_torch_load = _safe_torch_load


def name_unreadable_checkpoints() -> None:
    """Add the path of the checkpoint to the error that mmengine raises if it cannot load a checkpoint.

    Patches the loader because backbones with their own loading code (Swin, ViT, PVT) also call it. Needed for
    mmengine <= 0.10.7. Remove when mmengine adds the path itself.
    """
    load = vars(CheckpointLoader)['load_checkpoint'].__func__

    @functools.wraps(load)
    def load_checkpoint(cls, filename, *args, **kwargs):
        try:
            return load(cls, filename, *args, **kwargs)
        except (pickle.UnpicklingError, EOFError) as error:
            raise unreadable_error(filename, error) from error
        except RuntimeError as error:
            if 'PytorchStreamReader' not in str(error):
                raise
            raise unreadable_error(filename, error) from error
        except (urllib.error.URLError, ConnectionError, TimeoutError) as error:
            raise unreachable_error(filename, error) from error
        except FileNotFoundError as error:
            problem = 'is a folder' if Path(filename).is_dir() else 'does not exist'
            raise FileNotFoundError(f'Checkpoint {filename} {problem}. Pass the path of a .pth file.') from error
        except OSError as error:
            if error.errno != errno.EINVAL:  # torch raises it for some truncated files
                raise
            raise unreadable_error(filename, error) from error

    CheckpointLoader.load_checkpoint = classmethod(load_checkpoint)


def add_loss_cls_to_ssd_head() -> None:
    """Add ``loss_cls``, which mmdet 3.3.0 to 3.5.1 reads from every head at inference, to SSDHead.

    See open-mmlab/mmdetection issue 11780. Remove when SSDHead sets the attribute.
    """
    from mmdet.models.dense_heads import SSDHead  # mmdet is optional
    init = SSDHead.__init__

    @functools.wraps(init)
    def __init__(self, *args, **kwargs):
        init(self, *args, **kwargs)
        if not hasattr(self, 'loss_cls'):
            self.loss_cls = None

    SSDHead.__init__ = __init__


def apply() -> None:
    """Apply the fixes that the installed versions need. Called once when mmxattn is imported."""
    if SAFE_BY_DEFAULT:
        allow_checkpoint_types()
        load_weights_only()
    name_unreadable_checkpoints()
    if installed('mmdet'):
        add_loss_cls_to_ssd_head()
