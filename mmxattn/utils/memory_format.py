"""Conversions between maps and tokens, and the memory format of maps.

Maps and tokens are views of each other in channels-last order. ``x.flatten(2).transpose(1, 2)`` gives the same values,
but the gradient of a single image then has strides that match both memory formats. PyTorch's CPU batch norm picks the
wrong format and silently returns wrong gradients.
"""
from collections.abc import Sequence

import torch
from torch import Tensor

from .tracing import is_traced

__all__ = ['match_memory_format', 'to_map', 'to_tokens']


def to_tokens(x: Tensor) -> Tensor:
    """Flatten a map (B, C, H, W) to tokens (B, H*W, C) in row-major order."""
    return x.permute(0, 2, 3, 1).flatten(1, 2)


def to_map(tokens: Tensor, size: Sequence[int]) -> Tensor:
    """Reshape tokens (B, H*W, C) to a map (B, C, H, W) of ``size=(H, W)``."""
    return tokens.unflatten(1, tuple(size)).permute(0, 3, 1, 2)


def match_memory_format(x: Tensor, like: Tensor) -> Tensor:
    """Convert a map to channels-last memory if ``like`` is channels-last, and to contiguous memory otherwise.

    If a layer returns maps in the format of its inputs, the following layers need no conversion.
    Compilers choose memory formats themselves, so traced tensors are returned unchanged.
    """
    if is_traced():
        return x
    channels_last = like.is_contiguous(memory_format=torch.channels_last) and not like.is_contiguous()
    return x.contiguous(memory_format=torch.channels_last if channels_last else torch.contiguous_format)
