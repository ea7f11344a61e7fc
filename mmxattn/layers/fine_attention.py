"""The alternatives to FINE's global softmax attention (Table 3 of the paper).

Each function takes queries (B, h, N_low, d), keys and values (B, h, N_high, d) in row-major order and returns
(B, h, N_low, d).

Choices where the paper does not specify a row of the table:
* Window (7x7, M = 7): each low token attends to M^2 keys, as O(H_low W_low M^2) implies, so the high tokens lie on the
  low grid (:class:`mmxattn.layers.FINE` resizes the high map before the projections). Grids whose sides are not
  divisible by 7 are padded on the right and at the bottom, and the padding is masked.
* Area (A = 4): horizontal stripes as in YOLOv12, cut at the same fractions of the height in both maps. If the height is
  not divisible by A, stripes differ by one row. Maps with fewer than A rows have fewer stripes.

With these choices, FINE adds 17.96, 8.83, 9.60, 6.90 and 1.17 G operations to RT-DETR at 640x640, in the order of the
table (vanilla, window, area, linear, AATS). The published numbers are 18.0, 8.9, 10.0, 7.0 and 1.2.
"""
from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor

from ..utils.precision import without_autocast
from ..utils.tracing import ceil_div

__all__ = ['area_attention', 'linear_attention', 'window_attention']


def linear_attention(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
    """Compute Q (K^T V), with Q and K normalized by their L1 norms over tokens instead of a softmax (SimA)."""
    wide = torch.promote_types(v.dtype, torch.float32)  # the gradients of the norms overflow in half precision
    with without_autocast(v):
        q, k = (F.normalize(x.to(wide), p=1, dim=2, eps=1e-6) for x in (q, k))
        return (q @ (k.transpose(2, 3) @ v.to(wide))).to(v.dtype)


def area_attention(q: Tensor,
                   k: Tensor,
                   v: Tensor,
                   low_size: Sequence[int],
                   high_size: Sequence[int],
                   areas: int = 4) -> Tensor:
    """Attend within ``areas`` stripes of rows of two maps of sizes (H, W)."""
    areas = min(areas, low_size[0], high_size[0])
    low, high = ([height * i // areas * width for i in range(areas + 1)] for height, width in (low_size, high_size))
    return torch.cat([
        F.scaled_dot_product_attention(q[:, :, low[i]:low[i + 1]], k[:, :, high[i]:high[i + 1]],
                                       v[:, :, high[i]:high[i + 1]]) for i in range(areas)
    ], 2)


def window_attention(q: Tensor, k: Tensor, v: Tensor, size: Sequence[int], window: int = 7) -> Tensor:
    """Attend within windows of ``window`` x ``window`` tokens of one map of size (H, W)."""
    height, width = size
    mask = None
    if height % window or width % window:
        inside = to_windows(q.new_ones(q.shape[0], 1, q.shape[2], 1), size, window)
        mask = inside.transpose(2, 3) > 0  # (B*n, 1, 1, M*M)
    q, k, v = (to_windows(x, size, window) for x in (q, k, v))  # (B*n, h, M*M, d)
    return from_windows(F.scaled_dot_product_attention(q, k, v, mask), size, window)


def to_windows(x: Tensor, size: Sequence[int], window: int) -> Tensor:
    """Split a map into n zero-padded windows of side M: (B, h, H*W, d) -> (B*n, h, M*M, d)."""
    height, width = size
    x = F.pad(x.unflatten(2, (height, width)), (0, 0, 0, -width % window, 0, -height % window))
    x = x.unflatten(3, (-1, window)).unflatten(2, (-1, window))  # (B, h, rows, M, columns, M, d)
    return x.permute(0, 2, 4, 1, 3, 5, 6).flatten(0, 2).flatten(2, 3)


def from_windows(x: Tensor, size: Sequence[int], window: int) -> Tensor:
    """The inverse of :func:`to_windows`, without the padding."""
    rows, columns = (ceil_div(side, window) for side in size)
    x = x.unflatten(2, (window, window)).unflatten(0, (-1, rows, columns))  # (B, rows, columns, h, M, M, d)
    x = x.permute(0, 3, 1, 4, 2, 5, 6).flatten(4, 5).flatten(2, 3)  # (B, h, rows*M, columns*M, d)
    return x[:, :, :size[0], :size[1]].flatten(2, 3)
