"""Softmax attention on a CPU in inference: the loops of ``loops.py``, in the threads of PyTorch's operators."""
import ctypes
import functools
import math

import torch
import torch.nn.functional as F
from torch import Tensor

from ..compiled import in_threads, loaded
from ..older_torch import autocast_dtype
from ..tracing import ceil_div, is_observed, needs_own_gradient
from .told import QUERIES, Told

__all__ = ['attention', 'run']

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
    """The same where there are loops for it, else None: float32, where no gradient is wanted and nothing looks on."""
    if not _has_loops(q, k, v) or not has_wide_registers():
        return None
    images, heads, queries, channels = q.shape
    keys = k.shape[2]
    multiply_adds = 2 * images * heads * queries * keys * channels
    threads = min(torch.get_num_threads(), multiply_adds // A_THREAD)
    loops = loaded('mmxattn.layers.fused_attention.loops') if threads else None
    if loops is None:
        return None
    blocks = images * heads * ceil_div(queries, QUERIES)
    together = max(1, min(TOGETHER, blocks // (SHARES * threads)))
    out = q.new_empty(images, queries, heads, channels).transpose(1, 2)
    places = [place for x in (q, k, v, out)
              for place in (x.data_ptr(), *(stride * x.element_size() for stride in x.stride()[:3]))]
    told = Told(*places, images, heads, queries, keys, channels, together, math.log2(math.e) / math.sqrt(channels))
    in_threads(loops.address, ctypes.addressof(told), threads)
    return out


def _has_loops(q: Tensor, k: Tensor, v: Tensor) -> bool:
    """Whether the loops are for such tensors."""
    return (not any(is_observed(x) for x in (q, k, v)) and q.device.type == 'cpu' and q.shape[3] in CHANNELS
            and k.shape == v.shape and (*q.shape[:2], q.shape[3]) == (*k.shape[:2], k.shape[3])
            and all(x.dtype == torch.float32 and x.stride(3) == 1 for x in (q, k, v))
            and not needs_own_gradient(q, k, v) and autocast_dtype('cpu') is None
            and torch.backends.cuda.flash_sdp_enabled())  # on a CPU too: whoever asks for another backend gets it


@functools.cache
def has_wide_registers() -> bool:
    """Whether a register holds sixteen numbers: a tile of sums then fits into those that there are."""
    return torch.backends.cpu.get_cpu_capability() == 'AVX512'
