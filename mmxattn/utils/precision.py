"""Half precision: products of maps grow with a power of what enters, and float16 ends at 65,504.

Such products are computed in single precision, autocast or not, and what leaves them saturates instead of becoming
infinite: one infinite pixel makes every weight NaN in training, and the next norm NaN in inference.
"""
from contextlib import AbstractContextManager, nullcontext

import torch
from torch import Tensor

from .torch_compat import autocast_dtype

__all__ = ['map_dtype', 'saturate', 'single_precision', 'without_autocast']

SUMMANDS = 4  # saturated maps that may be added up, as a pyramid's levels are, before the sum is infinite


def map_dtype(x: Tensor) -> torch.dtype:
    """The type that a convolution of ``x`` would give here: autocast's, where that is on."""
    return autocast_dtype(x.device.type) or x.dtype


def without_autocast(x: Tensor) -> AbstractContextManager:
    """A context in which operators on the device of ``x`` keep the type of what they are given."""
    if autocast_dtype(x.device.type) is None:
        return nullcontext()  # and no context at all in an exported graph
    return torch.autocast(x.device.type, enabled=False)


def single_precision(x: Tensor) -> Tensor:
    """``x`` in single precision at least."""
    return x.to(torch.promote_types(x.dtype, torch.float32))


def saturate(x: Tensor, dtype: torch.dtype) -> Tensor:
    """``x`` in a type; where that is float16, within a quarter of its range."""
    if dtype == torch.float16:
        limit = torch.finfo(dtype).max / SUMMANDS
        x = x.clamp(-limit, limit)
    return x.to(dtype)
