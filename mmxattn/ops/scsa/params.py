"""The parameters of the SCSA operator."""
from collections.abc import Sequence
from typing import NamedTuple

from torch import Tensor

__all__ = ['Params', 'kernel_sizes', 'split_params']


class Params(NamedTuple):
    """Named parameters. Norms are pairs of weight and bias, projections the weights of q, k and v."""
    conv_weights: Sequence[Tensor]
    conv_biases: Sequence[Tensor]
    norm_h: Sequence[Tensor]
    norm_w: Sequence[Tensor]
    norm: Sequence[Tensor]
    projections: Sequence[Tensor]


def split_params(params: Sequence[Tensor]) -> Params:
    """Split a flat list of parameters into named parts."""
    groups = (len(params) - 9) // 2
    rest = params[2 * groups:]
    return Params(params[:groups], params[groups:2 * groups], rest[:2], rest[2:4], rest[4:6], rest[6:])


def kernel_sizes(params: Sequence[Tensor]) -> tuple[int, ...]:
    """Return the length of each group's convolution."""
    return tuple(weight.shape[2] for weight in params[:(len(params) - 9) // 2])
