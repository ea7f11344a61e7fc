"""Entry points of SCSA's Triton kernels."""
import functools
import math
from collections.abc import Sequence
from contextlib import AbstractContextManager, nullcontext

import torch
from torch import Tensor

from ..triton_launch import plan_of

__all__ = ['backward', 'forward', 'is_supported', 'within_limits']

MIN_CAPABILITY = (8, 0)  # Ampere
MIN_TRITON = (3, 6)  # compiled kernels accept all arguments by position, constants included


def is_supported(x: Tensor, params: Sequence[Tensor], window: tuple[int, int], kernel_sizes: tuple[int, ...]) -> bool:
    """Check whether the kernels can process these tensors on their device."""
    return (x.is_cuda and x.is_contiguous() and _supports_triton(x.device)
            and all(p.dtype == params[0].dtype and p.device == x.device and p.is_contiguous() for p in params)
            and within_limits(x.shape, window, kernel_sizes) and x.dtype != torch.float64)


def within_limits(shape: torch.Size, window: tuple[int, int], kernel_sizes: tuple[int, ...]) -> bool:
    """Check whether the kernels' tiles and grids can hold a map of this shape."""
    return plan_of(shape, torch.float32, torch.device('cpu'), torch.float32, window, 1, kernel_sizes, 1e-5, 1e-5, 1e-5) is not None


def forward(x: Tensor, params: Sequence[Tensor], window: tuple[int, int], gate_scale: float,
            kernel_sizes: tuple[int, ...], eps: tuple[float, float, float]) -> tuple[Tensor, Tensor]:
    """Compute SCSA; returns the output and one tensor that backward needs besides x and params."""
    plan = plan_of(x.shape, x.dtype, x.device, params[0].dtype, window, gate_scale, kernel_sizes, *eps)
    with _device_guard(x.device):
        x = _aligned(x)
        y = torch.empty_like(x)
        saved, work = x.new_empty(plan.kept, dtype=plan.wide), x.new_empty(plan.work, dtype=plan.wide)
        plan.forward(x, y, saved, work, params)
    return y, saved


def backward(grad: Tensor, x: Tensor, saved: Tensor, params: Sequence[Tensor], window: tuple[int, int],
             gate_scale: float, kernel_sizes: tuple[int, ...], eps: tuple[float, float, float],
             needs_x: bool = True) -> tuple[Tensor | None, list[Tensor]]:
    """Compute the gradients of x (None unless ``needs_x``) and of each parameter."""
    plan = plan_of(x.shape, x.dtype, x.device, params[0].dtype, window, gate_scale, kernel_sizes, *eps)
    with _device_guard(x.device):
        x, grad = _aligned(x), _aligned(grad.contiguous())
        grad_x = torch.empty_like(x) if needs_x else None
        work = x.new_empty(plan.work_backward, dtype=plan.wide)
        shares = x.new_empty(plan.shares, dtype=plan.wide)
        plan.backward(grad, x, saved, work, shares, grad_x, params)
        flat = shares.sum(0).to(params[0].dtype)
    return grad_x, [g.view(p.shape) for g, p in zip(flat.split([math.prod(p.shape) for p in params]), params)]


@functools.cache
def _supports_triton(device: torch.device) -> bool:
    if torch.version.cuda is None or torch.cuda.get_device_capability(device) < MIN_CAPABILITY:
        return False
    try:
        import triton
    except ImportError:
        return False
    return tuple(map(int, triton.__version__.split('.')[:2])) >= MIN_TRITON


def _device_guard(device: torch.device) -> AbstractContextManager:
    if device.type != 'cuda' or device.index == torch.cuda.current_device():
        return nullcontext()
    return torch.cuda.device(device)


def _aligned(x: Tensor) -> Tensor:
    return x.clone() if x.data_ptr() % 16 else x
