"""Half precision for products of feature maps that would overflow float16.

A product of maps grows with a power of its input, and the largest float16 number is 65,504. CLA and linear attention
compute such products in float32 under autocast, and all layers saturate the result: a single infinite pixel would make
every weight NaN in training and the output of the next norm NaN in inference.
"""
from contextlib import AbstractContextManager, nullcontext

import torch
from torch import Tensor

from .torch_compat import autocast_dtype

__all__ = ['map_dtype', 'saturate', 'without_autocast']


def map_dtype(x: Tensor) -> torch.dtype:
    """Return the output dtype of a convolution of ``x``: the dtype of autocast if it is enabled, else that of ``x``."""
    return autocast_dtype(x.device.type) or x.dtype


def without_autocast(x: Tensor) -> AbstractContextManager:
    """Return a context without autocast on the device of ``x``."""
    if autocast_dtype(x.device.type) is None:
        return nullcontext()  # keeps the context out of exported graphs
    return torch.autocast(x.device.type, enabled=False)


def saturate(x: Tensor, dtype: torch.dtype) -> Tensor:
    """Convert ``x`` to ``dtype``, clamped in float16.

    The limit is a quarter of the float16 range, so that a pyramid can still add up a few saturated levels.
    """
    if dtype == torch.float16:
        limit = torch.finfo(dtype).max / 4
        x = x.clamp(-limit, limit)
    return x.to(dtype)
