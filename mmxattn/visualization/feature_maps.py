"""What a part does to the feature maps: their activation before and after it, and FINE's modulation map.

The activation of a map at a place is the mean over its channels of the absolute value.
"""

from dataclasses import dataclass

import numpy as np
import torch

from ..layers import FINE
from ..layers.cla import CLADecoderBlock
from .hooks import evaluating, find_module, preprocess, watch

PARTS = tuple(f'mmxattn.layers.{name}' for name in ('cfsam', 'cla', 'fine', 'baselines', 'scsa'))


@dataclass(frozen=True)
class Activation:
    """Activation before and after a part, in numbers.

    Attributes:
        name: Dotted name of the part.
        level: Which of its output maps.
        shape: Height and width of the map.
        before: Mean over the map, before the part.
        after: Likewise, after it.
        change: Norm of the difference of the two maps (all channels) over the norm of the one before; None where
            they differ in channels.
    """

    name: str
    level: int
    shape: tuple
    before: float
    after: float
    change: float


def parts(model):
    """Where a model has parts of mmxattn.

    Args:
        model (torch.nn.Module): The model.

    Returns:
        list[str]: Dotted names of the outermost modules whose class is that of a paper's part or of a baseline, or
        descends from one: FINE in a FINEFPN, CFSAM in a CFSAMNeck, each SCSA plugin, each CLADecoderBlock in a
        CLASegformerHead.
    """
    found = []
    for name, module in model.named_modules():
        if isinstance(module, torch.nn.ModuleList):  # CLA's decoder: its blocks count
            continue
        is_part = any(kind.__module__.startswith(PARTS) for kind in type(module).__mro__)
        if is_part and not any(name.startswith(f'{outer}.') for outer in found):
            found.append(name)
    return found


def fine_modules(model):
    """Dotted names of the FINE modules of a model."""
    return [name for name, module in model.named_modules() if isinstance(module, FINE)]


def activation_maps(model, batch, names=None):
    """Activation before and after some modules, for one image.

    "Before" is the module's input map of the same size as the output (of several, the one at the same place in the
    list, else the first). CLA's block mixes embeddings by a convolution and adds what the attention finds: there
    "before" is that convolution's output, so that the two differ by the attention alone.

    Args:
        model (mmengine.model.BaseModel): A detector or a segmentor.
        batch (dict): A batch of a test data loader; its first image counts.
        names (list[str], optional): Dotted names. By default what :func:`parts` finds.

    Returns:
        tuple[list[Activation], list[tuple[numpy.ndarray, numpy.ndarray]]]: Numbers, and for each the activation
        (H, W) before and after.

    Raises:
        ValueError: No part is found, a name is wrong, or a module did not run or gives no map.
    """
    names = _names(model, names, 'part of mmxattn', parts)
    befores = {name: f'{name}.conv' for name in names if isinstance(find_module(model, name), CLADecoderBlock)}
    calls = run(model, batch, names + list(befores.values()))
    numbers, pictures = [], []
    for name in names:
        taken, given = _first_call(name, calls)
        if name in befores:
            _, taken = _first_call(befores[name], calls)
        for level, before, after in _pairs(name, taken, given):
            pictures.append((activation(before), activation(after)))
            numbers.append(Activation(name, level, tuple(after.shape[-2:]), float(pictures[-1][0].mean()),
                                      float(pictures[-1][1].mean()), _change(before, after)))
    return numbers, pictures


def modulation_maps(model, batch, names=None):
    """FINE's modulation map M, upsampled to the low map (Eq. 8), for one image.

    Args:
        model (mmengine.model.BaseModel): A model with FINE in it.
        batch (dict): A batch of a test data loader; its first image counts.
        names (list[str], optional): Dotted names of FINE modules. All by default.

    Returns:
        list[tuple[str, numpy.ndarray]]: Name, and the mean of M over channels with its sign, (H, W): what the low map
        is multiplied with on average, before the residual adds 1.

    Raises:
        ValueError: There is no FINE in the model, or one did not run.
    """
    names = _names(model, names, 'FINE', fine_modules)
    calls = run(model, batch, names)
    found = []
    for name in names:
        (low, high), _ = _first_call(name, calls)
        with torch.no_grad():
            modulation = find_module(model, name).modulation_map(low, high)
        found.append((name, modulation[0].mean(0).cpu().numpy()))
    return found


def run(model, batch, names):
    """Predict the first image of a batch and record modules, as :func:`mmxattn.visualization.hooks.watch` does."""
    image, samples = preprocess(model, dict(inputs=batch['inputs'][:1], data_samples=batch['data_samples'][:1]))
    with evaluating(model), torch.no_grad(), watch(model, names) as calls:
        model(image, samples, mode='predict')
    return calls


def activation(feature_map):
    """Mean over channels of the absolute value: (1, C, H, W) -> (H, W)."""
    return feature_map[0].abs().mean(0).float().cpu().numpy()


def _names(model, names, what, find):
    names = find(model) if names is None else list(names)
    if not names:
        raise ValueError(f'{type(model).__name__} has no {what} in it: name the modules to look at.')
    return names


def _first_call(name, calls):
    if not calls[name]:
        raise ValueError(f'{name} did not run when the model predicted.')
    return calls[name][0]  # of a module that several levels share, the finest's


def _pairs(name, before, after):
    """Level, and the maps before and after: of the same place in the lists, or of the same size."""
    pairs = []
    for level, feature_map in enumerate(after):
        candidates = before[level:level + 1] + before
        same = [candidate for candidate in candidates if candidate.shape[-2:] == feature_map.shape[-2:]]
        pairs += [(level, same[0], feature_map)] if same else []
    if not pairs:
        raise ValueError(f'{name} gives no map of the size of one that it takes: '
                         f'{[tuple(x.shape) for x in before]} -> {[tuple(x.shape) for x in after]}.')
    return pairs


def _change(before, after):
    if before.shape != after.shape:
        return None
    return float((after - before).norm() / before.norm().clamp_min(np.finfo(np.float32).tiny))
