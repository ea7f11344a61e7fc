"""Passes over a map that is gated by row, by column and by channel: its means, its pooled form, the map itself.

As operators one after another, each would write a map to a new place in memory, and autograd would keep it. Here one
map is made and the gates are multiplied into it in place, those of columns and of channels at once; only the input and
the gates are kept for backward; and the gradient is one tensor that the passes work on in turn, each taking as many
channels as a CPU's caches hold through all its operators before it goes on to the next ones.

All rows of a window share the gates of its columns, so these can wait until the rows are summed:
    sum over i, j of x_ij * r_i * c_j = sum over j of c_j * (sum over i of x_ij * r_i).

Gates are limit * sigmoid(logits). The gradient to the logits z of a gate a, of rows say, needs no product of its own,
for with y = x * a * (the other gates) and a' = a * (1 - a / limit),
    dL/dz = (1 - a / limit) * sum over columns of y * dL/dy = (1 - a / limit) * sum over columns of x * dL/dx.

Under torch.compile and in exports, where a compiler fuses operators by itself, these are the plain operators.
"""
from collections.abc import Iterator
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.autograd.function import once_differentiable

from ...utils.tracing import is_traced, needs_own_gradient

__all__ = ['axis_means', 'gate_and_pool', 'gate_channels']

BLOCK = 2**19  # elements of a map for each thread: a few megabytes with what is made of them
LONG_ROW = 24  # pixels; in shorter ones PyTorch's sums over a few rows are slower than one more pass and its pooling


def axis_means(x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Means over columns and over rows.

    Args:
        x: (B, C, H, W).

    Returns:
        The means (B, C, H) and (B, C, W), and ``x`` for the next pass.
    """
    return _AxisMeans.apply(x) if needs_own_gradient(x) else (*_means(x), x)


def gate_and_pool(x: Tensor, rows: Tensor, columns: Tensor, window: tuple[int, int],
                  limit: float = 1) -> tuple[Tensor, Tensor]:
    """A map gated by row and by column, and its average pooling in windows side by side.

    What no whole window covers is not pooled.

    Args:
        x: (B, C, H, W).
        rows: logits (B, C, H), of the same type.
        columns: logits (B, C, W), of the same type.
        window: height h and width w in pixels, at most H and W.
        limit: the largest gate.

    Returns:
        A map (B, C, H, W) that is gated by row, and by column where these do not wait, so that it is for
        :func:`gate_channels` and nothing else; and the pooled one (B, C, H // h, W // w), gated by both.
    """
    if is_traced():
        rows, columns = _gates(rows, columns, limit)
        gated = x * rows * columns
        return gated, F.avg_pool2d(gated, window)
    if needs_own_gradient(x, rows, columns):
        return _GateAndPool.apply(x, rows, columns, window, limit)
    return _gate_and_pool(x, *_gates(rows, columns, limit), window)


def gate_channels(gated: Tensor, channels: Tensor, x: Tensor, rows: Tensor, columns: Tensor,
                  limit: float = 1) -> Tensor:
    """The map of :func:`gate_and_pool`, gated by row, column and channel; in place, but where a compiler looks on.

    Args:
        gated: (B, C, H, W), the first result.
        channels: logits (B, C), of the same type.
        x, rows, columns, limit: what it was made from.

    Returns:
        (B, C, H, W).
    """
    if is_traced():
        return gated * _gate(channels, limit)[:, :, None, None]
    if needs_own_gradient(gated, channels):
        return _GateChannels.apply(gated, channels, x.detach(), rows.detach(), columns.detach(), limit)
    return gated.mul_(_gates_left(x, _gate(channels, limit), columns, limit))


def _gate(logits: Tensor, limit: float) -> Tensor:
    return logits.sigmoid() if limit == 1 else logits.sigmoid() * limit


def _gates(rows: Tensor, columns: Tensor, limit: float) -> tuple[Tensor, Tensor]:
    """Logits (B, C, H) and (B, C, W) -> gates (B, C, H, 1) and (B, C, 1, W)."""
    return _gate(rows, limit).unsqueeze(3), _gate(columns, limit).unsqueeze(2)


def _columns_wait(x: Tensor) -> bool:
    """Whether a map is pooled before the gates of its columns are multiplied into it."""
    return x.shape[3] >= LONG_ROW


def _gates_left(x: Tensor, channels: Tensor, columns: Tensor, limit: float) -> Tensor:
    """What is left to multiply into a map: gates (B, C) of channels, and those that wait -> (B, C, 1, 1 or W)."""
    channels = channels[:, :, None, None]
    return channels * _gate(columns, limit).unsqueeze(2) if _columns_wait(x) else channels


def _wide(x: Tensor) -> torch.dtype:
    """The type to sum in: float32 at least, for sums in half precision overflow."""
    return x.dtype if x.dtype in (torch.float32, torch.float64) else torch.float32


def _blocks(x: Tensor, *others: Tensor) -> Iterator[tuple[Tensor, ...]]:
    """Pieces of tensors that share their first two axes, a blockful of channels at a time; (n, 1, ...) each.

    Where the map is small, its memory in another order, or not a CPU's, the only piece is all of it. Tensors that are
    to be written into have to be contiguous where ``x`` is.
    """
    block = BLOCK * torch.get_num_threads()
    if x.device.type != 'cpu' or x.numel() <= block or not x.is_contiguous():
        yield x, *others
        return
    maps = x.shape[0] * x.shape[1]
    length = -(-maps // -(-x.numel() // block))  # pieces of one length, but for the last
    yield from zip(*(tensor.reshape(maps, 1, *tensor.shape[2:]).split(length) for tensor in (x, *others)))


def _windows(x: Tensor, axis: int, size: int) -> Tensor:
    """Split an axis into windows of a size, without what is left over: (..., N, ...) -> (..., N // size, size, ...)."""
    number, left_over = divmod(x.shape[axis], size)
    return (x.narrow(axis, 0, number * size) if left_over else x).unflatten(axis, (number, size))


def _means(x: Tensor) -> tuple[Tensor, Tensor]:
    if _wide(x) == x.dtype:
        return x.mean(3), x.mean(2)
    return x.mean(3, dtype=_wide(x)).to(x.dtype), x.mean(2, dtype=_wide(x)).to(x.dtype)


def _gate_and_pool(x: Tensor, rows: Tensor, columns: Tensor, window: tuple[int, int]) -> tuple[Tensor, Tensor]:
    """``rows`` and ``columns`` are gates here."""
    height, width = window
    gated = x * rows
    if _columns_wait(x):
        pooled = _windows(gated, 2, height).sum(3, dtype=_wide(x)).mul_(columns)
        return gated, _windows(pooled, 3, width).sum(4).div_(height * width).to(x.dtype)
    gated.mul_(columns)
    return gated, gated.mean((2, 3), keepdim=True) if window == x.shape[2:] else F.avg_pool2d(gated, window)


class _AxisMeans(torch.autograd.Function):

    @staticmethod
    def forward(ctx: Any, x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        return (*_means(x), x.detach())  # of x itself autograd makes a view, with other strides for one image

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad_rows: Tensor, grad_columns: Tensor, grad: Tensor) -> Tensor:
        """``grad`` is _GateAndPool's own, and what the means add is added in its place."""
        grad_rows, grad_columns = (grad_rows / grad.shape[3]).unsqueeze(3), (grad_columns / grad.shape[2]).unsqueeze(2)
        for g, r, c in _blocks(grad, grad_rows, grad_columns):
            g.add_(r).add_(c)
        return grad


class _GateAndPool(torch.autograd.Function):

    @staticmethod
    def forward(ctx: Any, x: Tensor, rows: Tensor, columns: Tensor, window: tuple[int, int],
                limit: float) -> tuple[Tensor, Tensor]:
        rows, columns = _gates(rows, columns, limit)
        ctx.save_for_backward(x, rows, columns)
        ctx.window, ctx.limit = window, limit
        return _gate_and_pool(x, rows, columns, window)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor, grad_pooled: Tensor) -> tuple[Tensor | None, ...]:
        """``grad`` is _GateChannels' own, and becomes the gradient to x in its place."""
        x, rows, columns = ctx.saved_tensors
        height, width = ctx.window
        grad_pooled = grad_pooled / (height * width)
        covered = grad_pooled.shape[3] * width
        of_rows, of_columns = (torch.empty_like(gate, dtype=_wide(x)) for gate in (rows, columns))
        for part, r, c, pooled, g, of_r, of_c in _blocks(x, rows, columns, grad_pooled, grad, of_rows, of_columns):
            _windows(g, 2, height)[..., :covered].add_(pooled.repeat_interleave(width, 3).unsqueeze(3))
            g.mul_(r).mul_(c)
            product = part.to(_wide(x)) * g
            torch.sum(product, 3, keepdim=True, out=of_r)
            torch.sum(product, 2, keepdim=True, out=of_c)
        of_rows, of_columns = (of_gate.mul_(1 - gate / ctx.limit).to(x.dtype)
                               for of_gate, gate in ((of_rows, rows), (of_columns, columns)))
        return grad, of_rows.squeeze(3), of_columns.squeeze(2), None, None


class _GateChannels(torch.autograd.Function):

    @staticmethod
    def forward(ctx: Any, gated: Tensor, channels: Tensor, x: Tensor, rows: Tensor, columns: Tensor,
                limit: float) -> Tensor:
        channels = _gate(channels, limit)
        ctx.save_for_backward(channels, x, rows, columns)
        ctx.limit = limit
        ctx.mark_dirty(gated)
        return gated.mul_(_gates_left(x, channels, columns, limit))

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
        channels, x, rows, columns = ctx.saved_tensors
        channels = channels[:, :, None, None]
        rows, columns = _gates(rows, columns, ctx.limit)
        of_gated, of_rows = torch.empty_like(x), torch.empty_like(rows, dtype=_wide(x))
        for part, c, a, g, of_g, of_r in _blocks(x, columns, channels, grad, of_gated, of_rows):
            torch.mul(g, a, out=of_g)
            torch.sum((part.to(_wide(x)) * of_g).mul_(c), 3, keepdim=True, out=of_r)
        of_channels = of_rows.mul_(rows).sum(2, keepdim=True).mul_(1 - channels / ctx.limit).to(x.dtype)
        return of_gated, of_channels[:, :, 0, 0], None, None, None, None
