"""Passes over a map that is gated by row and by column: its means, its pooled form, its product with the gates.

As operators one after another, each would read the whole map from memory and write it back, and autograd would keep
what lies between them. Here a pass takes as many channels as a CPU's cache holds through all its operators before it
goes on to the next ones; only the map and the gates are kept for backward; and each pass hands the map on, so that
its gradient is one tensor that the passes add to, in turn, on the way back.

Under torch.compile and in exports, where a compiler fuses operators by itself, these are the plain operators.
"""
import torch
import torch.nn.functional as F
from torch import Tensor
from torch.autograd.function import once_differentiable

__all__ = ['axis_means', 'gate_map', 'gated_average_pool']

BLOCK = 2**17  # elements of a map: with what is made of them, about a core's second-level cache


def axis_means(x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Means over columns and over rows.

    Args:
        x: (B, C, H, W).

    Returns:
        The means (B, C, H, 1) and (B, C, 1, W), and ``x`` for the next pass.
    """
    if _is_traced():
        return (*_means(x), x)
    return _AxisMeans.apply(x)


def gated_average_pool(x: Tensor, rows: Tensor, columns: Tensor, window: tuple[int, int]) -> tuple[Tensor, Tensor]:
    """Average pooling of x * rows * columns in windows side by side; what no whole window covers is dropped.

    Args:
        x: (B, C, H, W).
        rows: (B, C, H, 1), of the same type.
        columns: (B, C, 1, W), of the same type.
        window: height h and width w in pixels, at most H and W.

    Returns:
        The pooled map (B, C, H // h, W // w), and ``x`` for the next pass.
    """
    if _is_traced():
        return F.avg_pool2d(x * rows * columns, window), x
    return _GatedAveragePool.apply(x, rows, columns, window)


def gate_map(x: Tensor, rows: Tensor, columns: Tensor) -> Tensor:
    """x * rows * columns: (B, C, H, W), (B, C, H, 1), (B, C, 1, W), of one type -> (B, C, H, W)."""
    return x * rows * columns if _is_traced() else _GateMap.apply(x, rows, columns)


def _is_traced() -> bool:
    return torch.compiler.is_compiling() or torch.jit.is_tracing()


def _wide(x: Tensor) -> torch.dtype:
    """The type to sum in: float32 at least, for sums in half precision overflow."""
    return torch.promote_types(x.dtype, torch.float32)


def _means(x: Tensor) -> tuple[Tensor, Tensor]:
    return tuple(x.mean(axis, keepdim=True, dtype=_wide(x)).to(x.dtype) for axis in (3, 2))


def _blocks(x: Tensor, *others: Tensor):
    """Pieces of tensors that share their first two axes, a blockful of channels at a time; (n, 1, ...) each.

    Where the map's memory is in another order, or not a CPU's, the only piece is all of it. Tensors that are to be
    written into have to be contiguous where ``x`` is.
    """
    if x.device.type != 'cpu' or not x.is_contiguous():
        yield x, *others
        return
    length = max(1, BLOCK // max(1, x.shape[2] * x.shape[3]))
    yield from zip(*(tensor.reshape(-1, 1, *tensor.shape[2:]).split(length) for tensor in (x, *others)))


def _windows(x: Tensor, axis: int, size: int) -> Tensor:
    """Split an axis into windows of a size, without what is left over: (..., N, ...) -> (..., N // size, size, ...)."""
    number = x.shape[axis] // size
    return x.narrow(axis, 0, number * size).unflatten(axis, (number, size))


class _AxisMeans(torch.autograd.Function):

    @staticmethod
    def forward(ctx, x):
        means = x.new_empty(*x.shape[:3], 1), x.new_empty(*x.shape[:2], 1, x.shape[3])
        for part, *out in _blocks(x, *means):
            for one, mean in zip(out, _means(part)):
                one.copy_(mean)
        return (*means, x)

    @staticmethod
    @once_differentiable
    def backward(ctx, grad_rows, grad_columns, grad_x):
        grad_rows, grad_columns = grad_rows / grad_x.shape[3], grad_columns / grad_x.shape[2]
        for part, r, c in _blocks(grad_x, grad_rows, grad_columns):
            part.add_(r).add_(c)
        return grad_x


class _GatedAveragePool(torch.autograd.Function):
    """Rows first: y, the sum of x * rows over a window's rows, is h times lower than x; the rest is done on that."""

    @staticmethod
    def forward(ctx, x, rows, columns, window):
        ctx.save_for_backward(x, rows, columns)
        ctx.window = height, width = window
        out = x.new_empty(*x.shape[:2], x.shape[2] // height, x.shape[3] // width)
        for part, r, c, o in _blocks(x, rows, columns, out):
            y = _windows(part * r, 2, height).sum(3, dtype=_wide(x))
            o.copy_(_windows(y * c, 3, width).sum(4).div_(height * width))
        return out, x

    @staticmethod
    @once_differentiable
    def backward(ctx, grad, grad_x):
        x, rows, columns = ctx.saved_tensors
        height, width = ctx.window
        grad_rows, grad_columns = torch.zeros_like(rows), torch.zeros_like(columns)
        covered = grad.shape[3] * width
        for part, r, c, g, of_x, of_r, of_c in _blocks(x, rows, columns, grad, grad_x, grad_rows, grad_columns):
            part, c, of_x = (tensor[..., :covered] for tensor in (part, c, of_x))
            g = (g.to(_wide(x)) / (height * width)).repeat_interleave(width, 3)  # of y * columns
            y = _windows(part * r, 2, height).sum(3, dtype=g.dtype)
            of_c[..., :covered] = (y * g).sum(2, keepdim=True)
            g = (g * c).to(x.dtype).unsqueeze(3)  # of y
            part, r, of_x, of_r = (_windows(tensor, 2, height) for tensor in (part, r, of_x, of_r))
            of_r.copy_((part * g).sum(4, keepdim=True, dtype=_wide(x)))
            of_x.addcmul_(g, r)
        return grad_x, grad_rows, grad_columns, None


class _GateMap(torch.autograd.Function):

    @staticmethod
    def forward(ctx, x, rows, columns):
        ctx.save_for_backward(x, rows, columns)
        out = torch.empty_like(x)
        for part, r, c, o in _blocks(x, rows, columns, out):
            torch.mul(part, r, out=o).mul_(c)
        return out

    @staticmethod
    @once_differentiable
    def backward(ctx, grad):
        x, rows, columns = ctx.saved_tensors
        grads = torch.empty_like(x), torch.empty_like(rows), torch.empty_like(columns)
        for part, r, c, g, of_x, of_r, of_c in _blocks(x, rows, columns, grad, *grads):
            product = part * g
            of_r.copy_((product * c).sum(3, keepdim=True, dtype=_wide(x)))
            of_c.copy_(product.mul_(r).sum(2, keepdim=True, dtype=_wide(x)))
            torch.mul(g, r, out=of_x).mul_(c)
        return grads
