"""SCSA as one operator: Triton kernels on a GPU, loops compiled by Numba on a CPU.

Composed of PyTorch operators, SCSA takes about forty kernel launches and reads its input nine times.
"""
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.autograd import forward_ad

from ...utils.torch_compat import is_compiling, is_exporting
from . import cpu, triton
from .params import kernel_sizes

__all__ = ['is_supported', 'scsa']

HAS_LIBRARY = hasattr(torch.library, 'register_vmap')  # PyTorch >= 2.5
if HAS_LIBRARY:
    from .registration import SCSAFunction, scsa_op


def scsa(x: Tensor, params: Sequence[Tensor], window: tuple[int, int], gate_scale: float,
         eps: Sequence[float]) -> Tensor:
    """Compute SCSA. First derivatives are supported.

    Call it only if :func:`is_supported` returns True for the same arguments.

    Args:
        x: Input of shape (B, C, H, W).
        params: Weights (C / groups, 1, k) of each group's convolution, biases (C / groups,) of each group; weight and
            bias (C,) of norm_h, norm_w and norm; weights (C, 1, 1, 1) of q, k and v.
        window: Height and width of the pooling window.
        gate_scale: Factor of every gate, which is ``gate_scale * sigmoid``.
        eps: Epsilons of norm_h, norm_w and norm.

    Returns:
        Tensor of shape (B, C, H, W).
    """
    if is_compiling():
        return scsa_op(x, params, window, gate_scale, eps)[0]
    return SCSAFunction.apply(x, window, gate_scale, eps, *params)[0]


def is_supported(x: Tensor, params: Sequence[Any], window: tuple[int, int], *args: Any) -> bool:
    """Check whether :func:`scsa` can process these arguments.

    Args:
        x: Input of shape (B, C, H, W).
        params: Parameters as in :func:`scsa`.
        window: Height and width of the pooling window.
        *args: Other arguments of :func:`scsa`, which are ignored.

    Returns:
        False for exports, forward-mode AD, tensor subclasses, tensors that are not contiguous, dtypes, devices and
        sizes without a kernel, and PyTorch before 2.5.
    """
    if not HAS_LIBRARY or torch.jit.is_tracing() or is_exporting():
        return False
    tensors = (x, *params)
    if not all(type(t) in (Tensor, nn.Parameter) and t.device == x.device and t.is_contiguous() for t in tensors):
        return False
    if any(p.dtype != params[0].dtype for p in params) or any(map(_has_tangent, tensors)):
        return False
    if x.is_cuda:
        return triton.is_supported(x, params, window, kernel_sizes(params))
    return x.device.type == 'cpu' and cpu.is_supported(x, params, window)


def _has_tangent(x: Tensor) -> bool:
    """Check for forward-mode AD."""
    try:
        return forward_ad.unpack_dual(x).tangent is not None
    except RuntimeError:  # vmap inside jvp does not support unpack_dual
        return True
