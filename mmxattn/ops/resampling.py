"""Bilinear resampling and average pooling as products of matrices, on a CPU: faster than PyTorch's operators there.

Both are linear, and go along rows and along columns apart: y = R x C, with matrices R and C that depend on sizes alone.
The gradient R^T g C^T is a product too, where PyTorch's operator for it takes ten times as long. What a product
costs grows with the map's sides, so that large maps are left to the operators.

What is not finite spreads to the rows and columns it lies in.
"""
import functools
from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ..utils.torch_compat import autocast_dtype
from ..utils.tracing import is_observed

__all__ = ['AveragePool', 'average_pool', 'resample']

LARGEST = 128  # rows and columns together of the coarse map; both ways take as long at 128 to 192


def resample(x: Tensor, size: Sequence[int], mode: str = 'bilinear', align_corners: bool | None = False) -> Tensor:
    """``F.interpolate``.

    Args:
        x: (B, C, h, w).
        size: (H, W).
        mode, align_corners: the operator's; what is not bilinear is left to it.

    Returns:
        (B, C, H, W).
    """
    if mode != 'bilinear' or not as_products(x, x.shape[2:]):
        return F.interpolate(x, size=size, mode=mode, align_corners=align_corners)
    rows, columns = (interpolation(old, new, align_corners, x.dtype) for old, new in zip(x.shape[2:], size))
    return torch.matmul(rows.t(), torch.matmul(x, columns))


def average_pool(x: Tensor, window: int) -> Tensor:
    """``F.avg_pool2d`` with windows that do not overlap, and that may hang over the border.

    Args:
        x: (B, C, H, W).
        window: side of a window in pixels.

    Returns:
        (B, C, ceil(H / window), ceil(W / window)).
    """
    height, width = x.shape[2:]
    if not as_products(x, (height // window, width // window)) or height % window:
        return F.avg_pool2d(x, window, ceil_mode=True)
    return torch.matmul(x.unflatten(2, (-1, window)).sum(3), pooling(width, window, x.dtype))


class AveragePool(nn.Module):
    """:func:`average_pool` as a module.

    Args:
        window: side of a window in pixels.
    """

    def __init__(self, window: int):
        super().__init__()
        self.window = window

    def extra_repr(self) -> str:
        return str(self.window)

    def forward(self, x: Tensor) -> Tensor:
        return average_pool(x, self.window)


def as_products(x: Tensor, coarse: Sequence[int]) -> bool:
    """Whether products are faster for a map, of which the coarser of its two sizes is given, and nothing looks on."""
    return (not is_observed(x) and x.device.type == 'cpu' and x.dtype in (torch.float32, torch.float64)
            and sum(coarse) <= LARGEST and x.is_contiguous() and x.numel() > 0 and autocast_dtype('cpu') is None)


@functools.lru_cache(maxsize=64)
def interpolation(length: int, new_length: int, align_corners: bool | None, dtype: torch.dtype) -> Tensor:
    """(length, new_length): what linear interpolation makes of each of the unit vectors."""
    with torch.inference_mode(False), torch.no_grad():  # what inference mode makes could not serve in training
        return F.interpolate(unit_vectors(length, dtype), new_length, mode='linear', align_corners=align_corners)[0]


@functools.lru_cache(maxsize=64)
def pooling(length: int, window: int, dtype: torch.dtype) -> Tensor:
    """(length, ceil(length / window)): what average pooling makes of each of the unit vectors, of so many rows' sum."""
    with torch.inference_mode(False), torch.no_grad():
        return F.avg_pool1d(unit_vectors(length, dtype), window, ceil_mode=True)[0] / window


def unit_vectors(length: int, dtype: torch.dtype) -> Tensor:
    """(1, length, length), as channels of a sequence."""
    return torch.eye(length, dtype=dtype, device='cpu')[None]
