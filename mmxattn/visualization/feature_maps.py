"""Effect of attention modules on feature maps: activation before and after, and FINE's modulation map.

The activation at a position is the mean over channels of the absolute value.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from mmengine.model import BaseModel
from torch import Tensor, nn

from ..layers import FINE
from ..layers.cla import CLADecoderBlock
from .hooks import Calls, eval_mode, first_image, get_module, preprocess, record_feature_maps

PACKAGES = tuple(f'mmxattn.layers.{name}' for name in ('cfsam', 'cla', 'fine', 'baselines', 'scsa'))


@dataclass(frozen=True)
class Activation:
    """Activation before and after a module.

    Attributes:
        name: Dotted name of the module.
        level: Index of the output map.
        shape: Height and width of the map.
        before: Mean activation before the module.
        after: Mean activation after the module.
        change: Norm of the difference (all channels) over the norm before, or None if the channels differ.
    """

    name: str
    level: int
    shape: tuple[int, int]
    before: float
    after: float
    change: float | None


def attention_modules(model: nn.Module) -> list[str]:
    """Find the attention modules of this package in a model.

    Returns:
        Dotted names of the outermost modules that are instances of a paper's layer or of a baseline: FINE in a
        FINEFPN, CFSAM in a CFSAMNeck, each SCSA plugin, each CLADecoderBlock in a CLASegformerHead.
    """
    found: list[str] = []
    for name, module in model.named_modules():
        if isinstance(module, nn.ModuleList):  # the blocks of CLA's decoder count, not their container
            continue
        is_attention = any(base.__module__.startswith(PACKAGES) for base in type(module).__mro__)
        if is_attention and not any(name.startswith(f'{outer}.') for outer in found):
            found.append(name)
    return found


def fine_modules(model: nn.Module) -> list[str]:
    """Find the FINE modules of a model."""
    return [name for name, module in model.named_modules() if isinstance(module, FINE)]


def activation_maps(
    model: BaseModel,
    batch: dict,
    names: Sequence[str] | None = None,
) -> tuple[list[Activation], list[tuple[np.ndarray, np.ndarray]]]:
    """Compute the activation before and after modules, for one image.

    "Before" is the input map with the size of the output: the one with the same index if there are several, otherwise
    the first. A CLADecoderBlock adds CLA's output to that of a convolution. There, "before" is the output of the
    convolution, so that the difference is the attention alone.

    Args:
        model: Detector or segmentor.
        batch: Batch of a test data loader. The first image is used.
        names: Dotted names. Default: :func:`attention_modules`.

    Returns:
        Statistics, and for each the activation (H, W) before and after.

    Raises:
        ValueError: If no module is found, a name is unknown, or a module is not called or returns no feature map.
    """
    names = _module_names(model, names, 'an attention module of mmxattn', attention_modules)
    before_names = {name: f'{name}.conv' for name in names if isinstance(get_module(model, name), CLADecoderBlock)}
    calls = record_prediction(model, batch, [*names, *before_names.values()])
    statistics, pictures = [], []
    for name in names:
        inputs, outputs = _first_call(name, calls)
        if name in before_names:
            _, inputs = _first_call(before_names[name], calls)
        for level, before, after in _match_sizes(name, inputs, outputs):
            pictures.append((activation(before), activation(after)))
            statistics.append(Activation(name, level, tuple(after.shape[-2:]), float(pictures[-1][0].mean()),
                                         float(pictures[-1][1].mean()), _relative_change(before, after)))
    return statistics, pictures


def modulation_maps(model: BaseModel, batch: dict, names: Sequence[str] | None = None) -> list[tuple[str, np.ndarray]]:
    """Compute FINE's modulation map M, upsampled to the low map (Eq. 8), for one image.

    Args:
        model: Model with FINE modules.
        batch: Batch of a test data loader. The first image is used.
        names: Dotted names of FINE modules. Default: all.

    Returns:
        Name and signed mean of M over channels (H, W), the average factor of the low map before the residual adds 1.

    Raises:
        ValueError: If there is no FINE module, or one is not called.
    """
    names = _module_names(model, names, 'a FINE module', fine_modules)
    calls = record_prediction(model, batch, names)
    found = []
    for name in names:
        fine = get_module(model, name)
        if not isinstance(fine, FINE):
            raise ValueError(f'{name} must be a FINE module, got {type(fine).__name__}.')
        (low, high), _ = _first_call(name, calls)
        with torch.no_grad():
            modulation = fine.modulation_map(low, high)
        found.append((name, modulation[0].mean(0).cpu().numpy()))
    return found


def record_prediction(model: BaseModel, batch: dict, names: Sequence[str]) -> Calls:
    """Predict the first image of a batch and record modules, see :func:`.hooks.record_feature_maps`."""
    image, samples = preprocess(model, first_image(batch))
    with eval_mode(model), torch.no_grad(), record_feature_maps(model, names) as calls:
        model(image, samples, mode='predict')
    return calls


def activation(feature_map: Tensor) -> np.ndarray:
    """Average the absolute value over channels: (1, C, H, W) -> (H, W)."""
    return feature_map[0].abs().mean(0).float().cpu().numpy()


def _module_names(model, names, kind, find: Callable) -> list[str]:
    names = find(model) if names is None else list(names)
    if not names:
        raise ValueError(f'{type(model).__name__} must contain {kind}. Use another model, or pass names.')
    return names


def _first_call(name, calls):
    if not calls[name]:
        raise ValueError(f'{name} must be called when the model predicts, but it is not. Use another module.')
    return calls[name][0]  # for modules shared by several levels, the finest one


def _match_sizes(name, inputs, outputs):
    """Return level, input map and output map for each output with the size of an input."""
    matches = []
    for level, after in enumerate(outputs):
        candidates = inputs[level:level + 1] + inputs
        before = next((x for x in candidates if x.shape[-2:] == after.shape[-2:]), None)
        if before is not None:
            matches.append((level, before, after))
    if not matches:
        raise ValueError(f'{name} must return a map with the size of one of its inputs, got '
                         f'{[tuple(x.shape) for x in inputs]} -> {[tuple(x.shape) for x in outputs]}. Use another '
                         f'module.')
    return matches


def _relative_change(before, after):
    if before.shape != after.shape:
        return None
    return float((after - before).norm() / before.norm().clamp_min(np.finfo(np.float32).tiny))
