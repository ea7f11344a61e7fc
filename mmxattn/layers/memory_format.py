"""Maps keep the order in memory that their host works in: a copy here is cheaper than one in each layer after it."""
import torch
from torch import Tensor

from .tracing import is_traced

__all__ = ['in_format_of']


def in_format_of(x: Tensor, like: Tensor) -> Tensor:
    """A map (B, C, H, W), its channels last in memory where those of ``like`` are, and first otherwise.

    A compiler chooses orders itself.
    """
    if is_traced():
        return x
    channels_last = like.is_contiguous(memory_format=torch.channels_last) and not like.is_contiguous()
    return x.contiguous(memory_format=torch.channels_last if channels_last else torch.contiguous_format)
