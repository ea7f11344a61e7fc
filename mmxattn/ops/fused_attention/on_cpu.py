"""Softmax attention on a CPU: the loops of ``loops.py`` and ``gradient_loops.py``, in PyTorch's operators' threads."""
import ctypes
import functools
import math
from collections.abc import Iterator
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from ...utils.torch_compat import autocast_dtype
from ...utils.tracing import ceil_div, is_observed, needs_own_gradient
from ..compiled import in_threads, loaded
from .told import QUERIES, Told, ToldOfGradients

__all__ = ['attention', 'run']

LOOPS, GRADIENT_LOOPS = (f'mmxattn.ops.fused_attention.{name}' for name in ('loops', 'gradient_loops'))
CHANNELS = (16, 32, 48, 64)  # of a head; the operator is as fast with 64 where its BLAS knows the processor
A_THREAD = 2**19  # multiply-adds for each thread at least
TOGETHER = 4  # blocks of queries for which keys are fetched at once
SHARES = 4  # of the work for each thread at least, so that what is left over is little


def attention(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
    """``F.scaled_dot_product_attention``: softmax(q k^T / sqrt(d)) v.

    Args:
        q: queries (B, h, N, d).
        k, v: keys and values (B, h, M, d).

    Returns:
        (B, h, N, d).
    """
    out = run(q, k, v)
    return F.scaled_dot_product_attention(q, k, v) if out is None else out


def run(q: Tensor, k: Tensor, v: Tensor) -> Tensor | None:
    """The same where there are loops for it, else None: float32, where nothing looks on."""
    if not _has_loops(q, k, v) or not has_wide_registers():
        return None
    threads = min(torch.get_num_threads(), multiply_adds(q, k) // A_THREAD)
    if not threads or loaded(LOOPS) is None:
        return None
    return (_Attention.apply if needs_own_gradient(q, k, v) else _attend)(q, k, v, threads)


class _Attention(torch.autograd.Function):

    @staticmethod
    def forward(ctx: Any, q: Tensor, k: Tensor, v: Tensor, threads: int) -> Tensor:
        exponents = q.new_empty(q.shape[:3])
        out = _attend(q, k, v, threads, exponents)
        ctx.save_for_backward(q, k, v, out, exponents)
        ctx.threads = threads
        return out

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
        q, k, v, out, exponents = ctx.saved_tensors
        if torch.is_grad_enabled():  # create_graph=True
            return *_gradients_with_gradients(q, k, v, grad), None
        if grad.stride(3) != 1:
            grad = grad.contiguous()
        gradients = [_tokens_like(x) for x in (q, k, v)]
        told = ToldOfGradients(*_places(q, k, v, out, grad, *gradients), exponents.data_ptr(), *_sizes(q, k), _scale(q))
        in_threads(loaded(GRADIENT_LOOPS).address, ctypes.addressof(told), ctx.threads)
        return *gradients, None


def _gradients_with_gradients(q: Tensor, k: Tensor, v: Tensor, grad: Tensor) -> tuple[Tensor, ...]:
    """Gradients that can be differentiated again, which those of fused kernels cannot."""
    q, k, v = (x if x.requires_grad else x.detach().requires_grad_() for x in (q, k, v))
    out = (q @ k.transpose(2, 3) / math.sqrt(q.shape[3])).softmax(3) @ v
    return torch.autograd.grad(out, (q, k, v), grad, create_graph=True)


def _attend(q: Tensor, k: Tensor, v: Tensor, threads: int, exponents: Tensor | None = None) -> Tensor:
    """The output; and the exponents (B, h, N) by which gradients find the weights again, where there is a place."""
    blocks = q.shape[0] * q.shape[1] * ceil_div(q.shape[2], QUERIES)
    together = max(1, min(TOGETHER, blocks // (SHARES * threads)))
    out = _tokens_like(q)
    place = 0 if exponents is None else exponents.data_ptr()
    told = Told(*_places(q, k, v, out), place, *_sizes(q, k), together, _scale(q))
    in_threads(loaded(LOOPS).address, ctypes.addressof(told), threads)
    return out


def _tokens_like(x: Tensor) -> Tensor:
    """Memory for (B, h, N, d), of which the heads of a token lie side by side."""
    images, heads, tokens, channels = x.shape
    return x.new_empty(images, tokens, heads, channels).transpose(1, 2)


def _places(*tensors: Tensor) -> Iterator[int]:
    """Of each tensor where it begins, and the bytes from an image, a head and a token to the next."""
    for x in tensors:
        yield from (x.data_ptr(), *(stride * x.element_size() for stride in x.stride()[:3]))


def _sizes(q: Tensor, k: Tensor) -> tuple[int, ...]:
    return *q.shape[:3], k.shape[2], q.shape[3]


def _scale(q: Tensor) -> float:
    """By which scores are those of powers of two."""
    return math.log2(math.e) / math.sqrt(q.shape[3])


def multiply_adds(q: Tensor, k: Tensor) -> int:
    """Of both products."""
    return 2 * q.numel() * k.shape[2]


def _has_loops(q: Tensor, k: Tensor, v: Tensor) -> bool:
    """Whether the loops are for such tensors."""
    return (not any(is_observed(x) for x in (q, k, v)) and q.device.type == 'cpu' and q.shape[3] in CHANNELS
            and k.shape == v.shape and (*q.shape[:2], q.shape[3]) == (*k.shape[:2], k.shape[3])
            and all(x.dtype == torch.float32 and x.stride(3) == 1 for x in (q, k, v))
            and autocast_dtype('cpu') is None
            and torch.backends.cuda.flash_sdp_enabled())  # on a CPU too: whoever asks for another backend gets it


@functools.cache
def has_wide_registers() -> bool:
    """Whether a register holds sixteen numbers: a tile of sums then fits into those that there are."""
    return torch.backends.cpu.get_cpu_capability() == 'AVX512'
