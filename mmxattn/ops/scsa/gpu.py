"""SCSA on a GPU: three to five kernels of ``gpu_kernels.py`` forward and five backward, planned in ``gpu_plan.py``.

As operators one after another SCSA is about forty launches, most of them of next to nothing, and goes over its map
nine times. Here it goes over it as often as it must. The numbers are those of the plain form in ``scsa.py`` but for
rounding: everything between the map that comes in and the one that goes out is in float32 at least, autocast or not.
"""
import functools
from collections.abc import Sequence
from contextlib import AbstractContextManager, nullcontext
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor
from torch._utils import _unflatten_dense_tensors  # in C++, as DDP does it: seventeen views take longer than the sums
from torch.autograd.function import once_differentiable

from ...utils.tracing import needs_own_gradient
from .parameters import parameters_of
from .triton_launch import Plan, plan_of

if TYPE_CHECKING:
    from ...layers.scsa import SCSA

__all__ = ['run', 'runs_kernels']

OLDEST_GPU = (8, 0)  # compute capability: Ampere
OLDEST_TRITON = (3, 6)  # whose compiled kernels take all arguments in order, constants included


def run(layer: 'SCSA', x: Tensor) -> Tensor | None:
    """The layer's output, with its gradients, where there are kernels for it; Triton's interpreter takes a CPU's maps.

    Args:
        layer: as published; its arguments and parameters count.
        x: (B, C, H, W), checked and contiguous.

    Returns:
        (B, C, H, W), or None where the plain form has to do: other things stand in the place of its modules, or a
        program would have to hold too much.
    """
    parameters = parameters_of(layer, x.device)
    if parameters is None:
        return None
    plan = plan_of(x.shape, x.dtype, x.device, parameters[0].dtype, layer.window(x), layer.limit, layer.kernel_sizes,
                   layer.norm_h.eps, layer.norm_w.eps, layer.norm.eps)
    if plan is None:
        return None
    x = _aligned(x)
    with _on(x.device):
        if needs_own_gradient(x, *parameters):
            return _FusedSCSA.apply(x, plan, *parameters)
        return _forward(x, plan, parameters)[0]


@functools.cache
def runs_kernels(device: torch.device) -> bool:
    """Whether a GPU and Triton, which comes with PyTorch for CUDA on Linux, are new enough."""
    if torch.version.cuda is None or torch.cuda.get_device_capability(device) < OLDEST_GPU:
        return False
    try:
        import triton
    except ImportError:
        return False
    return tuple(map(int, triton.__version__.split('.')[:2])) >= OLDEST_TRITON


def _forward(x: Tensor, plan: Plan, parameters: Sequence[Tensor]) -> tuple[Tensor, Tensor]:
    """The output, and what backward needs beside x and the parameters."""
    y = torch.empty_like(x)
    kept, work = x.new_empty(plan.kept, dtype=plan.wide), x.new_empty(plan.work, dtype=plan.wide)
    plan.forward(x, y, kept, work, parameters)
    return y, kept


class _FusedSCSA(torch.autograd.Function):

    @staticmethod
    def forward(ctx: Any, x: Tensor, plan: Plan, *parameters: Tensor) -> Tensor:
        y, kept = _forward(x, plan, parameters)
        ctx.plan = plan
        ctx.save_for_backward(x, kept, *parameters)
        return y

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
        x, kept, *parameters = ctx.saved_tensors
        with _on(x.device):
            grad = _aligned(grad.contiguous())
            of_x, of_parameters = _backward(grad, x, ctx.plan, kept, parameters, ctx.needs_input_grad[0])
        return of_x, None, *of_parameters


def _backward(grad: Tensor, x: Tensor, plan: Plan, kept: Tensor, parameters: Sequence[Tensor],
              needs_map: bool) -> tuple[Tensor | None, Sequence[Tensor]]:
    """The gradients to x, where it is needed, and to the parameters."""
    of_x = torch.empty_like(x) if needs_map else None
    work = x.new_empty(plan.work_backward, dtype=plan.wide)
    shares = x.new_empty(plan.shares, dtype=plan.wide)
    plan.backward(grad, x, kept, work, shares, of_x, parameters)
    return of_x, _unflatten_dense_tensors(shares.sum(0).to(parameters[0].dtype), parameters)


def _on(device: torch.device) -> AbstractContextManager:
    """Triton launches on the current GPU."""
    if device.type != 'cuda' or device.index == torch.cuda.current_device():
        return nullcontext()
    return torch.cuda.device(device)


def _aligned(x: Tensor) -> Tensor:
    """A contiguous map, where several pixels can be loaded at once; a view of part of another may begin anywhere."""
    return x.clone() if x.data_ptr() % 16 else x
