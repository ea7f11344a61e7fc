"""SCSA as PyTorch operators: ``mmxattn::scsa`` and ``mmxattn::scsa_backward``.

The dispatcher then handles autograd, torch.compile, torch.vmap, torch.func.grad and FLOP counters. Second derivatives
raise an error. Requires PyTorch 2.5.
"""
from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor
from torch.utils.flop_counter import register_flop_formula

from . import cpu, triton
from .params import kernel_sizes
from .triton.problem import Problem, saved_tensors

__all__ = ['SCSAFunction', 'scsa_op']

ARGS = 'Tensor[] params, int[] window, float gate_scale, float[] eps'
torch.library.define('mmxattn::scsa', f'(Tensor x, {ARGS}) -> (Tensor, Tensor)')
torch.library.define('mmxattn::scsa_backward', f'(Tensor grad, Tensor x, Tensor saved, {ARGS}) -> Tensor[]')
scsa_op, backward_op = torch.ops.mmxattn.scsa, torch.ops.mmxattn.scsa_backward


@torch.library.impl('mmxattn::scsa', 'CPU')
def _(x: Tensor, params: Sequence[Tensor], window: Sequence[int], gate_scale: float,
      eps: Sequence[float]) -> tuple[Tensor, Tensor]:
    return cpu.forward(x, params, (window[0], window[1]), gate_scale, eps)


@torch.library.impl('mmxattn::scsa', 'CUDA')
def _(x: Tensor, params: Sequence[Tensor], window: Sequence[int], gate_scale: float,
      eps: Sequence[float]) -> tuple[Tensor, Tensor]:
    return triton.forward(x, params, tuple(window), gate_scale, kernel_sizes(params), tuple(eps))


@torch.library.impl('mmxattn::scsa_backward', 'CPU')
def _(grad: Tensor, x: Tensor, saved: Tensor, params: Sequence[Tensor], window: Sequence[int], gate_scale: float,
      eps: Sequence[float]) -> list[Tensor]:
    with torch.autocast('cpu', enabled=False):
        grad_x, grad_params = cpu.backward(grad, x, saved, params, (window[0], window[1]), gate_scale, eps)
    return [grad_x, *grad_params]


@torch.library.impl('mmxattn::scsa_backward', 'CUDA')
def _(grad: Tensor, x: Tensor, saved: Tensor, params: Sequence[Tensor], window: Sequence[int], gate_scale: float,
      eps: Sequence[float]) -> list[Tensor]:
    grad_x, grad_params = triton.backward(grad, x, saved, params, tuple(window), gate_scale, kernel_sizes(params),
                                          tuple(eps))
    return [grad_x, *grad_params]


@torch.library.register_fake('mmxattn::scsa')
def _(x: Tensor, params: Sequence[Tensor], window: Sequence[int], gate_scale: float,
      eps: Sequence[float]) -> tuple[Tensor, Tensor]:
    if x.device.type == 'cpu':
        return torch.empty_like(x), x.new_empty(cpu.saved_numel(x.shape, (window[0], window[1])))
    sizes = saved_tensors(Problem(*x.shape, *window, kernel_sizes(params)))
    return torch.empty_like(x), x.new_empty(sum(sizes.values()), dtype=torch.promote_types(x.dtype, torch.float32))


@torch.library.register_fake('mmxattn::scsa_backward')
def _(grad: Tensor, x: Tensor, saved: Tensor, params: Sequence[Tensor], window: Sequence[int], gate_scale: float,
      eps: Sequence[float]) -> list[Tensor]:
    return [torch.empty_like(t) for t in (x, *params)]


class SCSAFunction(torch.autograd.Function):
    """SCSA with gradients, for eager mode.

    Unlike the formulas of ``register_autograd``, which torch.compile needs, it composes with nested torch.func
    transforms.
    """

    generate_vmap_rule = True

    @staticmethod
    def forward(x: Tensor, *args: Any) -> tuple[Tensor, Tensor]:
        (window, gate_scale, eps), params = args[:3], args[3:]
        return scsa_op(x, params, window, gate_scale, eps)

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple, output: tuple[Tensor, Tensor]) -> None:
        x, *ctx.options = inputs[:4]
        ctx.mark_non_differentiable(output[1])
        ctx.save_for_backward(x, output[1], *inputs[4:])

    @staticmethod
    def backward(ctx: Any, grad: Tensor, _: Tensor) -> tuple:
        x, saved, *params = ctx.saved_tensors
        grad_x, *grad_params = SCSABackwardFunction.apply(grad.contiguous(), x, saved, *ctx.options, *params)
        return grad_x, None, None, None, *grad_params


class SCSABackwardFunction(torch.autograd.Function):
    """The gradients of SCSA, which cannot be differentiated."""

    generate_vmap_rule = True

    @staticmethod
    def forward(grad: Tensor, x: Tensor, saved: Tensor, *args: Any) -> tuple[Tensor, ...]:
        (window, gate_scale, eps), params = args[:3], args[3:]
        return tuple(backward_op(grad, x, saved, params, window, gate_scale, eps))

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple, output: tuple) -> None:
        pass

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> None:
        _second_derivative(ctx, *grads)


def _setup_context(ctx: Any, inputs: tuple, output: tuple[Tensor, Tensor]) -> None:
    x, params, *options = inputs
    SCSAFunction.setup_context(ctx, (x, *options, *params), output)


def _backward(ctx: Any, grad: Tensor, _: Tensor) -> tuple:
    x, saved, *params = ctx.saved_tensors
    grad_x, *grad_params = backward_op(grad.contiguous(), x, saved, params, *ctx.options)
    return grad_x, grad_params, None, None, None


def _second_derivative(ctx: Any, *grads: Tensor) -> None:
    raise RuntimeError('mmxattn::scsa has no second derivative. Use mmxattn.layers.SCSA.forward_reference instead.')


torch.library.register_autograd('mmxattn::scsa', _backward, setup_context=_setup_context)
torch.library.register_autograd('mmxattn::scsa_backward', _second_derivative)


def _vmap_as_loop(op: Callable) -> Callable:
    """Return a batching rule that calls ``op`` once per example."""
    def rule(info: Any, in_dims: tuple, *args: Any) -> tuple:
        def example(arg: Any, dim: Any, i: int) -> Any:
            if isinstance(arg, (list, tuple)) and isinstance(dim, (list, tuple)):
                return [example(a, d, i) for a, d in zip(arg, dim)]
            return arg if dim is None or not isinstance(arg, Tensor) else arg.select(dim, i).contiguous()

        outputs = [op(*(example(arg, dim, i) for arg, dim in zip(args, in_dims))) for i in range(info.batch_size)]
        stacked = [torch.stack(output) for output in zip(*outputs)]
        return (stacked, [0] * len(stacked)) if isinstance(outputs[0], list) else (tuple(stacked), (0, ) * len(stacked))

    return rule


torch.library.register_vmap('mmxattn::scsa', _vmap_as_loop(scsa_op))
torch.library.register_vmap('mmxattn::scsa_backward', _vmap_as_loop(backward_op))


@register_flop_formula([scsa_op])
def scsa_flops(x_shape: Sequence[int], params_shapes: Sequence[Sequence[int]], window: Sequence[int], *args: Any,
               **kwargs: Any) -> int:
    """Count the convolutions, projections and matrix products of the reference form, two FLOPs per multiply-add."""
    batch, channels, height, width = x_shape
    sizes = [shape[2] for shape in params_shapes[:(len(params_shapes) - 9) // 2]]
    pixels = (height // window[0]) * (width // window[1])
    convs = (height + width) * sum(sizes) * channels // len(sizes)
    return 2 * batch * (convs + 3 * channels * pixels + 2 * channels**2 * pixels)


@register_flop_formula([backward_op])
def scsa_backward_flops(grad_shape: Sequence[int], x_shape: Sequence[int], saved_shape: Sequence[int],
                        params_shapes: Sequence[Sequence[int]], window: Sequence[int], *args: Any,
                        **kwargs: Any) -> int:
    """Count two products for each product in the forward pass."""
    return 2 * scsa_flops(x_shape, params_shapes, window)
