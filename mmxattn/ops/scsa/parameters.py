"""What is read of a layer where its modules are not called."""
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from ...layers.group_norm import GroupNorm

if TYPE_CHECKING:
    from ...layers.scsa import SCSA

__all__ = ['parameters_of']

PLAIN = (nn.Parameter, Tensor)  # and not a tensor that is spread over processes, say
KINDS = {nn.Conv1d, GroupNorm, nn.Conv2d}  # of modules, whose work is done in their place


def parameters_of(layer: 'SCSA', device: torch.device) -> list[Tensor] | None:
    """The convolutions' weights and biases, the norms' of rows, of columns and of the image, and the scales' weights.

    None where there is something else in their place, which has to be called, or to be told that it is elsewhere; or
    where one does not lie in memory as its shape says.
    """
    modules: dict[str, Any] = layer._modules  # by attributes it takes half of the time of the launches
    inner = [modules[name] for name in layer.conv_names]
    groups = len(inner)
    inner += [modules[name] for name in ('norm_h', 'norm_w', 'norm', 'q', 'k', 'v')]
    if {*map(type, inner)} != KINDS:
        return None
    weights = [module._parameters.get('weight') for module in inner]  # None where it is pruned: no parameter any more
    biases = [module._parameters.get('bias') for module in inner]
    parameters = weights[:groups] + biases[:groups]
    for weight, bias in zip(weights[groups:-3], biases[groups:-3]):
        parameters += weight, bias
    parameters += weights[-3:]
    for parameter in parameters:
        if (type(parameter) not in PLAIN or parameter.dtype != parameters[0].dtype or parameter.device != device
                or not parameter.is_contiguous()):
            return None
    return parameters
