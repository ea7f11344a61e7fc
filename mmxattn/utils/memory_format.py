"""Maps keep the order in memory that their host works in: a copy here is cheaper than one in each layer after it.

Maps and tokens are views of each other, taken while channels are last. ``x.flatten(2).transpose(1, 2)`` has the same
numbers, but of one image its gradient comes back with strides that fit both orders, and so do the maps that are made of
tokens that way; PyTorch's batch norm on a CPU takes them for the wrong one, and gives wrong gradients without a word.
"""
from collections.abc import Sequence

import torch
from torch import Tensor

from .tracing import is_traced

__all__ = ['in_format_of', 'to_map', 'to_tokens']


def to_tokens(x: Tensor) -> Tensor:
    """A map (B, C, H, W) as tokens (B, H*W, C), row by row."""
    return x.permute(0, 2, 3, 1).flatten(1, 2)


def to_map(tokens: Tensor, size: Sequence[int]) -> Tensor:
    """Tokens (B, H*W, C) as a map (B, C, H, W) of size (H, W)."""
    return tokens.unflatten(1, tuple(size)).permute(0, 3, 1, 2)


def in_format_of(x: Tensor, like: Tensor) -> Tensor:
    """A map (B, C, H, W), its channels last in memory where those of ``like`` are, and first otherwise.

    A compiler chooses orders itself.
    """
    if is_traced():
        return x
    channels_last = like.is_contiguous(memory_format=torch.channels_last) and not like.is_contiguous()
    return x.contiguous(memory_format=torch.channels_last if channels_last else torch.contiguous_format)
