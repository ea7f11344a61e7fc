"""Workarounds for versions of PyTorch and of the toolboxes; each names its cause and when it can go."""
import functools
import pickle
import urllib.error
from pathlib import Path

import numpy as np
import torch
from mmengine.logging import HistoryBuffer, print_log
from mmengine.model import Sequential

from .utils.toolboxes import installed

__all__ = ['LOADS_WEIGHTS_ONLY', 'apply', 'unreachable', 'unreadable']

# PyTorch >= 2.6 loads tensors and plain containers only, unless told otherwise.
LOADS_WEIGHTS_ONLY = tuple(int(part) for part in torch.__version__.split('.')[:2]) >= (2, 6)


def history_buffer_method(owner: type, name: str):
    """What a checkpoint's ``getattr`` may do: name one of HistoryBuffer's own statistics, and nothing else."""
    if owner is not HistoryBuffer or name not in ('min', 'max', 'current', 'mean'):
        raise pickle.UnpicklingError(f'The checkpoint asks for {owner!r}.{name}; only the statistics of '
                                     "mmengine's HistoryBuffer are allowed.")
    return getattr(HistoryBuffer, name)


def allow_checkpoint_types() -> None:
    """Let PyTorch load the checkpoints that mmengine's training writes.

    PyTorch >= 2.6 loads tensors and plain containers only, unless told otherwise; mmengine <= 0.10.7 stores its logged
    scalars beside them, so ``mim test`` and ``--resume`` end in an UnpicklingError. The protection stays on, and just
    these types pass. Goes when mmengine allows them itself.
    """
    if not LOADS_WEIGHTS_ONLY:
        return  # it restricts nothing by default, and 2.4 takes no names for what is allowed
    reconstruct = np.empty(0).__reduce__()[0]
    scalar = np.float64(0).__reduce__()[0]
    dtypes = {type(np.dtype(kind)) for kind in ('f2', 'f4', 'f8', 'i4', 'i8', 'u4', 'u8', 'b1')}
    torch.serialization.add_safe_globals(
        [HistoryBuffer, reconstruct, scalar, np.ndarray, np.dtype, *dtypes,
         (history_buffer_method, 'builtins.getattr')])
    # NumPy 1 and 2 keep the two functions under different names, and a checkpoint may come from either
    for package in ('numpy.core', 'numpy._core'):
        torch.serialization.add_safe_globals([(reconstruct, f'{package}.multiarray._reconstruct'),
                                              (scalar, f'{package}.multiarray.scalar')])


def keep_the_protection_on() -> None:
    """Keep mmengine from running what is in a checkpoint.

    ``torch.hub``, by which mmengine loads an address, has the protection off by default. And onedl-mmengine 0.10.9 lets
    any ``getattr`` pass, and loads once more without protection whatever PyTorch has refused. Goes when neither does.
    """
    from mmengine.runner import checkpoint
    if not LOADS_WEIGHTS_ONLY:
        return
    if hasattr(checkpoint, 'load_url'):
        checkpoint.load_url = functools.partial(checkpoint.load_url, weights_only=True)
    if not hasattr(checkpoint, '_safe_torch_load'):
        return
    torch.serialization.add_safe_globals([slice])  # its own list has it beside what is allowed above

    def _safe_torch_load(file, map_location=None, weights_only=True):
        return torch.load(file, map_location=map_location, weights_only=weights_only)

    checkpoint._safe_torch_load = _safe_torch_load


def unreadable(path, error: Exception) -> ValueError:
    """What to say of a checkpoint that torch cannot read; its own text recommends to switch the protection off."""
    why = ('it is no file of tensors, or would run code when it is loaded' if isinstance(error, pickle.UnpicklingError)
           else 'it is cut short or damaged')
    return ValueError(f'The checkpoint {path} cannot be read: {why}. Give one that training wrote.')


def unreachable(address, error: Exception) -> ConnectionError:
    """What to say of a checkpoint whose address does not give it; it is an OSError, as what urllib raises is."""
    why = f'{error.code} {error.reason}' if isinstance(error, urllib.error.HTTPError) else getattr(
        error, 'reason', None) or error
    return ConnectionError(f'The checkpoint {address} cannot be fetched ({why}): give an address that answers, or the '
                           'path of a file.')


def name_unreadable_checkpoints() -> None:
    """Let mmengine say which checkpoint cannot be read, and what to do. Goes when mmengine names the file itself.

    In its loader, which the backbones that load by themselves (Swin, ViT, PVT) call too.
    """
    from mmengine.runner import CheckpointLoader
    load = vars(CheckpointLoader)['load_checkpoint'].__func__

    @functools.wraps(load)
    def load_checkpoint(cls, filename, *args, **kwargs):
        try:
            return load(cls, filename, *args, **kwargs)
        except (pickle.UnpicklingError, EOFError) as error:
            raise unreadable(filename, error) from error
        except RuntimeError as error:
            if 'PytorchStreamReader' not in str(error):
                raise
            raise unreadable(filename, error) from error
        except (urllib.error.URLError, ConnectionError, TimeoutError) as error:
            raise unreachable(filename, error) from error
        except FileNotFoundError as error:
            what = 'is a folder' if Path(filename).is_dir() else 'is not there'
            raise FileNotFoundError(f'The checkpoint {filename} {what}: give the path of a .pth file.') from error

    CheckpointLoader.load_checkpoint = classmethod(load_checkpoint)


def give_ssd_head_its_loss_cls() -> None:
    """Let SSD predict: mmdet 3.3.0 to 3.5.1 ask the head for a ``loss_cls``, and SSDHead has none.

    open-mmlab/mmdetection issue 11780. Goes when SSDHead sets it.
    """
    from mmdet.models.dense_heads import SSDHead
    build = SSDHead.__init__

    @functools.wraps(build)
    def __init__(self, *args, **kwargs):
        build(self, *args, **kwargs)
        if not hasattr(self, 'loss_cls'):
            self.loss_cls = None

    SSDHead.__init__ = __init__


def keep_new_parts_training(backbone: type) -> None:
    """Keep a backbone's ``frozen_stages`` off this package's plugins: it is for pretrained weights, and they have none.

    Left alone, a stock recipe with ``frozen_stages=1`` would keep the first stage's plugins at their random start for
    ever. ``freezable=True`` in a plugin's cfg gives the host its way. Stays as long as hosts freeze by stage.

    Args:
        backbone: a class with mmengine's custom of a method ``_freeze_stages``; one without is left as it is. A class
            may be given again.
    """
    from .models.plugins.plugin import Plugin
    freeze = getattr(backbone, '_freeze_stages', None)
    if freeze is None or getattr(freeze, 'spares_new_parts', False):
        return

    @functools.wraps(freeze)
    def _freeze_stages(self):
        parts = [part for part in self.modules() if isinstance(part, Plugin) and not part.freezable]
        before = [(part, part.training, [p for p in part.parameters() if p.requires_grad]) for part in parts]
        freeze(self)
        spared = []
        for part, training, parameters in before:
            if not all(p.requires_grad for p in parameters):
                part.train(training).requires_grad_(False)
                for parameter in parameters:
                    parameter.requires_grad = True
                spared.append(type(part).__name__)
        if spared and not getattr(self, '_told_of_new_parts', False):
            self._told_of_new_parts = True
            which = ' and '.join(f'{spared.count(name)} {name}' for name in sorted(set(spared)))
            print_log(f'frozen_stages={self.frozen_stages} freezes pretrained weights; the {which} plugins in there '
                      'are new and go on training (freezable=True in their cfg freezes them too).', 'current')

    _freeze_stages.spares_new_parts = True
    backbone._freeze_stages = _freeze_stages


def load_stock_neck_into_chain() -> None:
    """Load the checkpoint of a recipe with one neck into a recipe where a neck of ours stands after it.

    mmengine builds a list of necks as a Sequential, where ``neck.x`` is called ``neck.0.x``. Goes when mmengine has a
    way to map the keys of ``load_from``.
    """
    from .models.necks.cfam_neck import CFAMNeck
    from .models.necks.cfsam_neck import CFSAMNeck
    from .models.necks.per_level_neck import PerLevelNeck
    load = Sequential._load_from_state_dict

    @functools.wraps(load)
    def _load_from_state_dict(self, state_dict, prefix, *args, **kwargs):
        own = [key for key in state_dict if key.startswith(prefix)]
        chained = len(self) == 2 and isinstance(self[1], (CFAMNeck, CFSAMNeck, PerLevelNeck))
        if chained and not any(key[len(prefix):].split('.')[0] in ('0', '1') for key in own):
            for key in own:
                state_dict[f'{prefix}0.{key[len(prefix):]}'] = state_dict.pop(key)
        return load(self, state_dict, prefix, *args, **kwargs)

    Sequential._load_from_state_dict = _load_from_state_dict


def apply() -> None:
    """Apply every workaround that the installed versions need. Called once, when mmxattn is imported."""
    from .models.plugins.resnet_plugins import prepare_plugins
    allow_checkpoint_types()
    keep_the_protection_on()
    name_unreadable_checkpoints()
    load_stock_neck_into_chain()
    if installed('mmdet'):
        from mmdet.models.backbones import ResNet as DetResNet
        give_ssd_head_its_loss_cls()
        keep_new_parts_training(DetResNet)
        prepare_plugins(DetResNet)
    if installed('mmseg'):
        from mmseg.models.backbones import ResNet as SegResNet
        keep_new_parts_training(SegResNet)
        prepare_plugins(SegResNet)
