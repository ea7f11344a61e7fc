"""SCSA on a GPU: three to five kernels of ``scsa_kernels.py`` forward and five backward, planned in ``scsa_plan.py``.

As operators one after another SCSA is about forty launches, most of them of next to nothing, and goes over its map
nine times. Here it goes over it as often as it must. The numbers are those of the plain form in ``scsa.py`` but for
rounding: everything between the map that comes in and the one that goes out is in float32 at least, autocast or not.
"""
import functools
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn
from torch._utils import _unflatten_dense_tensors  # in C++, as DDP does it: seventeen views take longer than the sums
from torch.autograd.function import once_differentiable

from .group_norm import GroupNorm
from .scsa_plan import Plan, plan_of
from .tracing import is_traced, needs_own_gradient

if TYPE_CHECKING:
    from .scsa import SCSA

__all__ = ['fused_scsa', 'run', 'without_kernels']

OLDEST_GPU = (8, 0)  # compute capability: Ampere
OLDEST_TRITON = (3, 6)  # whose compiled kernels take all arguments in order, constants included

KINDS = {nn.Conv1d, GroupNorm, nn.Conv2d}  # of modules, whose work the kernels do

_switched_off = False


@contextmanager
def without_kernels() -> Iterator[None]:
    """A context in which layers compute in their plain form on a GPU too: what counts operators sees those only."""
    global _switched_off
    before, _switched_off = _switched_off, True
    try:
        yield
    finally:
        _switched_off = before


def fused_scsa(layer: 'SCSA', x: Tensor) -> Tensor | None:
    """The layer's output, with its gradients, where there are kernels for it.

    They are for maps on a GPU, with Triton, for the layer of the paper and not for its ablations, and for sizes that
    programs hold. Compilers have kernels of their own.

    Args:
        layer: whose arguments and parameters count.
        x: (B, C, H, W), checked.

    Returns:
        (B, C, H, W), or None where the plain form has to do.
    """
    if not (x.is_cuda and layer.as_published and x.is_contiguous()):
        return None
    if _switched_off or is_traced() or not _runs_kernels(x.device):
        return None
    return run(layer, x)


def run(layer: 'SCSA', x: Tensor) -> Tensor | None:
    """:func:`fused_scsa`, wherever Triton runs; its interpreter takes maps on a CPU."""
    parameters = _parameters(layer, x.device)
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


def _parameters(layer: 'SCSA', device: torch.device) -> list[Tensor] | None:
    """The convolutions' weights and biases, the norms', and the scales' weights.

    None where there is something else in their place, which has to be called, or to be told that it is elsewhere.
    """
    modules: dict[str, Any] = layer._modules  # by attributes it takes half of the time of the launches
    inner = [modules[name] for name in layer.conv_names]
    groups = len(inner)
    inner += [modules[name] for name in ('norm_h', 'norm_w', 'norm', 'q', 'k', 'v')]
    if {*map(type, inner)} != KINDS:
        return None
    weights = [module._parameters.get('weight') for module in inner]  # None where it is pruned: no parameter any more
    biases = [module._parameters.get('bias') for module in inner]
    parameters = weights[:groups] + biases[:groups]
    for weight, bias in zip(weights[groups:-3], biases[groups:-3]):
        parameters += weight, bias
    parameters += weights[-3:]
    for parameter in parameters:
        if parameter is None or parameter.dtype != parameters[0].dtype or parameter.device != device:
            return None
    return parameters


@functools.cache
def _runs_kernels(device: torch.device) -> bool:
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
