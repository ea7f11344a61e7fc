"""How FINE's low tokens attend to the high ones: the rows of Table 3 of its paper.

Each function takes queries (B, h, N_low, d), keys and values (B, h, N_high, d), all row by row, and the grids (H, W)
that the two kinds of token lie on, and returns (B, h, N_low, d).

Where the paper leaves a row open:
* window (7x7, M = 7): each low token attends to M^2 keys, as the row's O(H_low W_low M^2) has it, so the high tokens
  lie on the low grid (:class:`mmxattn.layers.FINE` repeats them onto it before they are projected). Grids that 7 does
  not divide are padded below and to the right, and what is padded is masked;
* area (A = 4): stripes of rows, as in YOLOv12, cut at the same fractions of the height in both maps; where the height
  does not divide, a stripe is a row higher than another. Maps of fewer rows have fewer stripes.

What FINE adds to RT-DETR at 640x640 is then, in G operations and in the table's order (vanilla, window, area, linear,
AATS): 17.96, 8.83, 9.60, 6.90, 1.17; published 18.0, 8.9, 10.0, 7.0, 1.2.
"""
import torch
import torch.nn.functional as F
from torch import Tensor

from ..ops.fused_attention import attention
from ..utils.precision import single_precision, without_autocast
from ..utils.tracing import ceil_div

__all__ = ['area_attention', 'linear_attention', 'softmax_attention', 'window_attention']

Grid = tuple[int, int]


def softmax_attention(q: Tensor, k: Tensor, v: Tensor, low_grid: Grid, high_grid: Grid) -> Tensor:
    """Every low token with every high one (Eq. 6)."""
    return attention(q, k, v)


def linear_attention(q: Tensor, k: Tensor, v: Tensor, low_grid: Grid, high_grid: Grid) -> Tensor:
    """SimA's: Q and K divided by their L1 norm over tokens instead of the softmax, then Q (K^T V)."""
    dtype = v.dtype
    with without_autocast(v):  # gradients to what is normalised are as much larger as the norms are
        q, k, v = (single_precision(x) for x in (q, k, v))
        q, k = (F.normalize(x, p=1, dim=2, eps=1e-6) for x in (q, k))
        return (q @ (k.transpose(2, 3) @ v)).to(dtype)


def area_attention(q: Tensor, k: Tensor, v: Tensor, low_grid: Grid, high_grid: Grid, areas: int = 4) -> Tensor:
    """Both maps cut into ``areas`` stripes of rows; each attends within itself."""
    areas = min(areas, low_grid[0], high_grid[0])
    low, high = ([height * i // areas * width for i in range(areas + 1)] for height, width in (low_grid, high_grid))
    return torch.cat([
        attention(q[:, :, low[i]:low[i + 1]], k[:, :, high[i]:high[i + 1]], v[:, :, high[i]:high[i + 1]])
        for i in range(areas)
    ], 2)


def window_attention(q: Tensor, k: Tensor, v: Tensor, low_grid: Grid, high_grid: Grid, window: int = 7) -> Tensor:
    """Windows of ``window`` x ``window`` tokens of one grid; each attends within itself.

    Raises:
        ValueError: where the two grids differ.
    """
    if low_grid != high_grid:
        raise ValueError(f'window_attention: low tokens lie on {tuple(low_grid)}, high ones on {tuple(high_grid)}; '
                         'bring the high map onto the low grid first.')
    q_windows, k_windows, v_windows = (to_windows(x, low_grid, window) for x in (q, k, v))  # (B*n, h, M*M, d)
    mask = None
    if low_grid[0] % window or low_grid[1] % window:
        inside = to_windows(q.new_ones(q.shape[0], 1, q.shape[2], 1), low_grid, window)
        mask = inside.transpose(2, 3) > 0  # (B*n, 1, 1, M*M)
    return from_windows(F.scaled_dot_product_attention(q_windows, k_windows, v_windows, mask), low_grid, window)


def to_windows(x: Tensor, grid: Grid, window: int) -> Tensor:
    """(B, h, H*W, d) -> (B*n, h, M*M, d) for n windows of side M, zeros where a window hangs over."""
    height, width = grid
    x = F.pad(x.unflatten(2, (height, width)), (0, 0, 0, -width % window, 0, -height % window))
    x = x.unflatten(3, (-1, window)).unflatten(2, (-1, window))  # (B, h, rows, M, columns, M, d)
    return x.permute(0, 2, 4, 1, 3, 5, 6).flatten(0, 2).flatten(2, 3)


def from_windows(x: Tensor, grid: Grid, window: int) -> Tensor:
    """The inverse of ``to_windows``, without what hung over."""
    rows, columns = (ceil_div(side, window) for side in grid)
    x = x.unflatten(2, (window, window)).unflatten(0, (-1, rows, columns))  # (B, rows, columns, h, M, M, d)
    x = x.permute(0, 3, 1, 4, 2, 5, 6).flatten(4, 5).flatten(2, 3)  # (B, h, rows*M, columns*M, d)
    return x[:, :, :grid[0], :grid[1]].flatten(2, 3)
