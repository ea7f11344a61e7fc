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

BLOCK = 2**18  # elements of a map for each thread: with what is made of them, about a core's second-level cache


def axis_means(x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Means over columns and over rows.

    Args:
        x: (B, C, H, W).

    Returns:
        The means (B, C, H, 1) and (B, C, 1, W), and ``x`` for the next pass.
    """
    return _AxisMeans.apply(x) if _needs_own_gradient(x) else (*_means(x), x)


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
    if _needs_own_gradient(x, rows, columns):
        return _GatedAveragePool.apply(x, rows, columns, window)
    return _gated_average_pool(x, rows, columns, window), x


def gate_map(x: Tensor, rows: Tensor, columns: Tensor) -> Tensor:
    """x * rows * columns: (B, C, H, W), (B, C, H, 1), (B, C, 1, W), of one type -> (B, C, H, W)."""
    if _is_traced():
        return x * rows * columns
    return (_GateMap.apply if _needs_own_gradient(x, rows, columns) else _gate_map)(x, rows, columns)


def _is_traced() -> bool:
    return torch.compiler.is_compiling() or torch.jit.is_tracing()


def _needs_own_gradient(*tensors: Tensor) -> bool:
    return not _is_traced() and torch.is_grad_enabled() and any(tensor.requires_grad for tensor in tensors)


def _wide(x: Tensor) -> torch.dtype:
    """The type to sum in: float32 at least, for sums in half precision overflow."""
    return torch.promote_types(x.dtype, torch.float32)


def _blocks(x: Tensor, *others: Tensor):
    """Pieces of tensors that share their first two axes, a blockful of channels at a time; (n, 1, ...) each.

    Where the map is small, its memory in another order, or not a CPU's, the only piece is all of it. Tensors that are
    to be written into have to be contiguous where ``x`` is.
    """
    block = BLOCK * torch.get_num_threads()
    if x.device.type != 'cpu' or x.numel() <= block or not x.is_contiguous():
        yield x, *others
        return
    length = max(1, block // (x.shape[2] * x.shape[3]))
    yield from zip(*(tensor.reshape(-1, 1, *tensor.shape[2:]).split(length) for tensor in (x, *others)))


def _windows(x: Tensor, axis: int, size: int) -> Tensor:
    """Split an axis into windows of a size, without what is left over: (..., N, ...) -> (..., N // size, size, ...)."""
    number, left_over = divmod(x.shape[axis], size)
    return (x.narrow(axis, 0, number * size) if left_over else x).unflatten(axis, (number, size))


def _means(x: Tensor) -> tuple[Tensor, Tensor]:
    return tuple(x.mean(axis, keepdim=True, dtype=_wide(x)).to(x.dtype) for axis in (3, 2))


def _sum_of_rows(x: Tensor, rows: Tensor, height: int) -> Tensor:
    """y, the sum of x * rows over the rows of each window: (n, c, H // h, W)."""
    return _windows(x * rows, 2, height).sum(3, dtype=_wide(x))


def _gated_average_pool(x: Tensor, rows: Tensor, columns: Tensor, window: tuple[int, int]) -> Tensor:
    """Rows first: y is h times lower than x, and the rest is done on that."""
    height, width = window
    pieces = [_windows(_sum_of_rows(part, r, height) * c, 3, width).sum(4) for part, r, c in _blocks(x, rows, columns)]
    pooled = torch.cat(pieces) if len(pieces) > 1 else pieces[0]
    return pooled.div_(height * width).view(*x.shape[:2], *pooled.shape[-2:]).to(x.dtype)


def _gate_map(x: Tensor, rows: Tensor, columns: Tensor) -> Tensor:
    out = torch.empty_like(x)
    for part, r, c, o in _blocks(x, rows, columns, out):
        torch.mul(part, r, out=o).mul_(c)
    return out


class _AxisMeans(torch.autograd.Function):

    @staticmethod
    def forward(ctx, x):
        return (*_means(x), x)

    @staticmethod
    @once_differentiable
    def backward(ctx, grad_rows, grad_columns, grad_x):
        grad_rows, grad_columns = grad_rows / grad_x.shape[3], grad_columns / grad_x.shape[2]
        for part, r, c in _blocks(grad_x, grad_rows, grad_columns):
            part.add_(r).add_(c)
        return grad_x


class _GatedAveragePool(torch.autograd.Function):

    @staticmethod
    def forward(ctx, x, rows, columns, window):
        ctx.save_for_backward(x, rows, columns)
        ctx.window = window
        return _gated_average_pool(x, rows, columns, window), x

    @staticmethod
    @once_differentiable
    def backward(ctx, grad, grad_x):
        x, rows, columns = ctx.saved_tensors
        height, width = ctx.window
        grad_rows, grad_columns = torch.zeros_like(rows), torch.zeros_like(columns)
        covered = grad.shape[3] * width
        for part, r, c, g, of_x, of_r, of_c in _blocks(x, rows, columns, grad, grad_x, grad_rows, grad_columns):
            g = (g.to(_wide(x)) / (height * width)).repeat_interleave(width, 3)  # of y * columns
            of_c[..., :covered] = (_sum_of_rows(part, r, height)[..., :covered] * g).sum(2, keepdim=True)
            g = (g * c[..., :covered]).to(x.dtype).unsqueeze(3)  # of y
            part, r, of_x, of_r = (_windows(tensor, 2, height) for tensor in (part, r, of_x, of_r))
            of_r.copy_((part[..., :covered] * g).sum(4, keepdim=True, dtype=_wide(x)))
            of_x[..., :covered].addcmul_(g, r)
        return grad_x, grad_rows, grad_columns, None


class _GateMap(torch.autograd.Function):

    @staticmethod
    def forward(ctx, x, rows, columns):
        ctx.save_for_backward(x, rows, columns)
        return _gate_map(x, rows, columns)

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
