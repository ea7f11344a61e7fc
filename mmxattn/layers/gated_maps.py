"""Passes over a map that is gated by row, by column and by channel: its means, its pooled form, the map itself.

As operators one after another, each would write a map to a new place in memory, and autograd would keep it. Here one
map is made and the gates are multiplied into it in place; only the input and the gates are kept for backward; and the
gradient is one tensor that the passes work on in turn, each taking as many channels as a CPU's caches hold through all
its operators before it goes on to the next ones.

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

from .tracing import is_traced

__all__ = ['axis_means', 'gate_and_pool', 'gate_channels']

BLOCK = 2**19  # elements of a map for each thread: a few megabytes with what is made of them
LONG_ROW = 24  # pixels; in shorter rows PyTorch's sums over a few of them are slower than its pooling


def axis_means(x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Means over columns and over rows.

    Args:
        x: (B, C, H, W).

    Returns:
        The means (B, C, H) and (B, C, W), and ``x`` for the next pass.
    """
    return _AxisMeans.apply(x) if _needs_own_gradient(x) else (*_means(x), x)


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
        The gated map (B, C, H, W), which is for :func:`gate_channels` and nothing else, and the pooled one
        (B, C, H // h, W // w).
    """
    if is_traced():
        rows, columns = _gates(rows, columns, limit)
        gated = x * rows * columns
        return gated, F.avg_pool2d(gated, window)
    if _needs_own_gradient(x, rows, columns):
        return _GateAndPool.apply(x, rows, columns, window, limit)
    return _gate_and_pool(x, *_gates(rows, columns, limit), window)


def gate_channels(gated: Tensor, channels: Tensor, x: Tensor, rows: Tensor, columns: Tensor,
                  limit: float = 1) -> Tensor:
    """The gated map of :func:`gate_and_pool` times a gate a channel; in place, but where a compiler looks on.

    Args:
        gated: (B, C, H, W).
        channels: logits (B, C), of the same type.
        x, rows, columns, limit: what ``gated`` was made from.

    Returns:
        (B, C, H, W).
    """
    if is_traced():
        return gated * _gate(channels, limit)[:, :, None, None]
    if _needs_own_gradient(gated, channels):
        return _GateChannels.apply(gated, channels, x.detach(), rows.detach(), columns.detach(), limit)
    return gated.mul_(_gate(channels, limit)[:, :, None, None])


def _needs_own_gradient(*tensors: Tensor) -> bool:
    return torch.is_grad_enabled() and any(tensor.requires_grad for tensor in tensors) and not is_traced()


def _gate(logits: Tensor, limit: float) -> Tensor:
    return logits.sigmoid() if limit == 1 else logits.sigmoid() * limit


def _gates(rows: Tensor, columns: Tensor, limit: float) -> tuple[Tensor, Tensor]:
    """Logits (B, C, H) and (B, C, W) -> gates (B, C, H, 1) and (B, C, 1, W)."""
    return _gate(rows, limit).unsqueeze(3), _gate(columns, limit).unsqueeze(2)


def _wide(x: Tensor) -> torch.dtype:
    """The type to sum in: float32 at least, for sums in half precision overflow."""
    return torch.promote_types(x.dtype, torch.float32)


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
    by_row, by_column = (x.mean(axis, dtype=_wide(x)).to(x.dtype) for axis in (3, 2))
    return by_row, by_column


def _average_pool(x: Tensor, window: tuple[int, int]) -> Tensor:
    """F.avg_pool2d; on a CPU in sums, where those are faster than its loop over each window."""
    height, width = window
    if x.device.type != 'cpu' or x.dtype != _wide(x) or not x.is_contiguous():
        return F.avg_pool2d(x, window)
    if window == x.shape[2:]:
        return x.mean((2, 3), keepdim=True)
    if x.shape[3] < LONG_ROW:
        return F.avg_pool2d(x, window)
    return _windows(_windows(x, 2, height).sum(3), 3, width).sum(4).div_(height * width)


def _gate_and_pool(x: Tensor, rows: Tensor, columns: Tensor, window: tuple[int, int]) -> tuple[Tensor, Tensor]:
    """``rows`` and ``columns`` are gates here."""
    gated = (x * rows).mul_(columns)
    return gated, _average_pool(gated, window)


class _AxisMeans(torch.autograd.Function):

    @staticmethod
    def forward(ctx: Any, x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        return (*_means(x), x)

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
        channels = _gate(channels, limit)[:, :, None, None]
        ctx.save_for_backward(channels, x, rows, columns)
        ctx.limit = limit
        ctx.mark_dirty(gated)
        return gated.mul_(channels)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
        channels, x, rows, columns = ctx.saved_tensors
        rows, columns = _gates(rows, columns, ctx.limit)
        of_gated, of_rows = torch.empty_like(x), torch.empty_like(rows, dtype=_wide(x))
        for part, c, a, g, of_g, of_r in _blocks(x, columns, channels, grad, of_gated, of_rows):
            torch.mul(g, a, out=of_g)
            torch.sum((part.to(_wide(x)) * of_g).mul_(c), 3, keepdim=True, out=of_r)
        of_channels = of_rows.mul_(rows).sum(2, keepdim=True).mul_(1 - channels / ctx.limit).to(x.dtype)
        return of_gated, of_channels[:, :, 0, 0], None, None, None, None
