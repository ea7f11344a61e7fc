"""SCSA on a CPU: forward with the compiled loops of ``cpu_kernels.py``, backward in PyTorch."""
import ctypes
from collections.abc import Iterator, Sequence
from importlib.util import find_spec

import torch
from torch import Tensor

from ...utils.torch_compat import is_compiling
from ..compiled import load_kernel, openmp_function, parallel
from .gate_gradients import axis_logits_backward, channel_logits_backward
from .kernel_args import Int, KernelArgs, Stage
from .params import kernel_sizes, split_params

__all__ = ['backward', 'forward', 'is_supported', 'saved_numel']

KERNEL = 'mmxattn.ops.scsa.cpu_kernels'
CAN_LOAD_KERNEL = find_spec('numba') is not None and openmp_function('GOMP_parallel') is not None
MIN_ELEMENTS_PER_THREAD = 2**15  # as in PyTorch's operators
MIN_GROUPS_PER_THREAD = 4  # keeps the load balanced if the number of groups is not a multiple of the number of threads
BLOCK = 2**19  # elements of a map that backward processes at a time per thread: 2 MiB
# PyTorch's matrix products are faster than the attention loops if both are exceeded: multiply-adds per pixel of the
# map, and pixels of the pooled map. A window of 7 stays below the first up to 4900 channels.
MAX_ATTENTION_COST, MAX_POOLED_PIXELS = 100, 16


def is_supported(x: Tensor, params: Sequence[Tensor], window: tuple[int, int]) -> bool:
    """Check whether :func:`forward` can process float32 tensors of these shapes and is faster than PyTorch."""
    batch, channels, height, width = x.shape
    members = channels // len(split_params(params).conv_weights)
    if batch == 0 or channels == 1 or members * min(height, width) == 1:  # PyTorch raises for norms of one value
        return False
    if (channels > MAX_ATTENTION_COST * window[0] * window[1]
            and (height // window[0]) * (width // window[1]) > MAX_POOLED_PIXELS):
        return False
    return x.dtype == params[0].dtype == torch.float32 and _kernel_is_available()


def _kernel_is_available() -> bool:
    if is_compiling():  # torch.compile cannot trace the loading
        return CAN_LOAD_KERNEL
    return load_kernel(KERNEL) is not None


def saved_sizes(shape: Sequence[int], window: tuple[int, int]) -> list[int]:
    """Return the numbers of elements of mean_h, mean_w, gate_h, gate_w, pooled and gate_c."""
    batch, channels, height, width = shape
    pixels = (height // window[0]) * (width // window[1])
    return [batch * channels * n for n in (height, width, height, width, pixels, 1)]


def saved_numel(shape: Sequence[int], window: tuple[int, int]) -> int:
    """Return the size of the second output of :func:`forward`."""
    return sum(saved_sizes(shape, window))


def forward(x: Tensor, params: Sequence[Tensor], window: tuple[int, int], gate_scale: float,
            eps: Sequence[float]) -> tuple[Tensor, Tensor]:
    """Compute SCSA.

    Args:
        x: Contiguous float32 input of shape (B, C, H, W).
        params: Contiguous parameters, in the order of :class:`.params.Params`.
        window: Height and width of the pooling window.
        gate_scale: Factor of every gate.
        eps: Epsilons of norm_h, norm_w and norm.

    Returns:
        Output of shape (B, C, H, W), and a 1-D tensor that :func:`backward` needs.
    """
    batch, channels, height, width = x.shape
    sizes = kernel_sizes(params)
    groups = len(sizes)
    sizes_array, param_ptrs = (Int * groups)(*sizes), (Int * len(params))(*(param.data_ptr() for param in params))
    y, saved = torch.empty_like(x), x.new_empty(saved_numel(x.shape, window))
    saved_ptrs = [part.data_ptr() for part in saved.split(saved_sizes(x.shape, window))]
    args = KernelArgs(x.data_ptr(), y.data_ptr(), *saved_ptrs, ctypes.addressof(param_ptrs),
                      ctypes.addressof(sizes_array), batch, channels, height, width, groups,
                      height // window[0], width // window[1], *window, 0, gate_scale, *eps)
    threads = max(1, min(torch.get_num_threads(), x.numel() // MIN_ELEMENTS_PER_THREAD))
    kernel = load_kernel(KERNEL).address
    for stage in _stages(batch * groups, threads):
        args.stage = stage
        parallel(kernel, ctypes.addressof(args), threads)
    return y, saved


def _stages(num_groups: int, threads: int) -> tuple[int, ...]:
    balanced = num_groups % threads == 0 or num_groups >= MIN_GROUPS_PER_THREAD * threads
    return (Stage.SMSA, Stage.CHANNELS) if balanced else (Stage.MEANS, Stage.GATES, Stage.POOL, Stage.CHANNELS)


def backward(grad: Tensor, x: Tensor, saved: Tensor, params: Sequence[Tensor], window: tuple[int, int],
             gate_scale: float, eps: Sequence[float]) -> tuple[Tensor, list[Tensor]]:
    """Compute the gradients of SCSA.

    With y = x * a * b * g for gates a of rows, b of columns and g of channels, each a = s * sigmoid(z) has the gradient
    dL/dz = (1 - a / s) * sum(u * a * dL/d(u * a)), where u is the product of x and the other gates.

    Args:
        grad: Gradient of the output.
        x: Input of :func:`forward`.
        saved: Second output of :func:`forward`.
        params: As in :func:`forward`.
        window: As in :func:`forward`.
        gate_scale: As in :func:`forward`.
        eps: As in :func:`forward`.

    Returns:
        Gradient of ``x``, and the gradient of each parameter.
    """
    batch, channels, height, width = x.shape
    maps, named = batch * channels, split_params(params)
    mean_h, mean_w, gate_h, gate_w, pooled, gate_c = saved.split(saved_sizes(x.shape, window))
    mean_h, mean_w, gate_h, gate_w = (channels_first(t, batch, len(named.conv_weights), channels)
                                      for t in (mean_h, mean_w, gate_h, gate_w))
    a, b, g = gate_h.view(maps, height, 1), gate_w.view(maps, 1, width), gate_c.view(maps, 1, 1)
    x, grad = x.view(maps, height, width), grad.reshape(maps, height, width)

    # Channel gates: Eq. 12 down to the pooled map of Eq. 8.
    sum_c, grad_x = torch.empty_like(g), torch.empty_like(x)
    for x_, grad_, a_, b_, sum_, buffer in blocks(x, grad, a, b, sum_c, grad_x):
        torch.mul(x_, grad_, out=buffer)
        torch.matmul(torch.matmul(buffer, b_.mT).mT, a_, out=sum_)
    grad_logits = (sum_c * g * (1 - g / gate_scale)).view(batch, channels)
    grad_pooled, grads_c = channel_logits_backward(grad_logits, pooled.view(batch, channels, -1), named, eps[2])
    grad_pooled = grad_pooled.reshape(maps, height // window[0], width // window[1]) / (window[0] * window[1])

    # Row and column gates: gradients of the map come from the output and from the pooled map.
    sum_h, sum_w = torch.empty_like(a), torch.empty_like(b)
    for x_, grad_, a_, b_, g_, pooled_, out, sum_h_, sum_w_ in blocks(x, grad, a, b, g, grad_pooled, grad_x, sum_h,
                                                                       sum_w):
        torch.mul(grad_, g_, out=out)
        add_windows(out, pooled_, window)
        out.mul_(a_).mul_(b_)
        product = x_ * out
        torch.sum(product, 2, keepdim=True, out=sum_h_)
        torch.sum(product, 1, keepdim=True, out=sum_w_)
    grads_axes = [(total * (1 - gate / gate_scale)).view(batch, channels, -1)
                  for total, gate in ((sum_h, a), (sum_w, b))]
    grads_mean, grads_s = axis_logits_backward(grads_axes, (mean_h, mean_w), named, eps[:2])

    # Means: Eq. 1.
    grad_rows = grads_mean[0].reshape(maps, height, 1) / width
    grad_columns = grads_mean[1].reshape(maps, 1, width) / height
    for out, h, w in blocks(grad_x, grad_rows, grad_columns):
        out.add_(h).add_(w)
    return grad_x.view(batch, channels, height, width), [*grads_s, *grads_c]


def channels_first(sequences: Tensor, batch: int, groups: int, channels: int) -> Tensor:
    """Reorder the layout of the kernels, (B, groups, L, C / groups), to (B, C, L)."""
    return sequences.view(batch, groups, -1, channels // groups).transpose(2, 3).contiguous().view(batch, channels, -1)


def blocks(x: Tensor, *others: Tensor) -> Iterator[tuple[Tensor, ...]]:
    """Split tensors along their first axis so that a piece of ``x`` fits into the caches of all threads."""
    length = max(1, len(x) * BLOCK * torch.get_num_threads() // x.numel())
    return zip(*(tensor.split(length) for tensor in (x, *others)))


def add_windows(x: Tensor, values: Tensor, window: tuple[int, int]) -> None:
    """Add ``values`` (N, H', W') to the windows of ``x`` (N, H, W) in place."""
    (height, width), (down, across) = window, values.shape[1:]
    windows = x[:, :down * height].unflatten(1, (down, height))  # (N, H', h, W)
    windows[..., :across * width].add_(values.repeat_interleave(width, 2).unsqueeze(2))

