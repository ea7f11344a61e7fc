"""Device functions shared by SCSA's Triton kernels."""
import inspect
import math
from collections.abc import Callable
from typing import Any

import triton
import triton.language as tl
from triton.language.extra.cuda import gdc_wait

__all__ = ['LOG2E', 'gate', 'kernel', 'load_pair', 'map_block', 'pixel_ptrs', 'select_group', 'wait_for_inputs']

LOG2E = tl.constexpr(math.log2(math.e))  # GPUs have an instruction for 2**x, but not for e**x


def kernel(fn: Callable) -> Any:
    """Compile with ``triton.jit``, without specializing on the value or alignment of any argument.

    A compiled kernel then serves every image size that shares its power-of-two tiles.
    """
    arguments = inspect.signature(fn).parameters.values()
    return triton.jit(fn, do_not_specialize=[a.name for a in arguments if a.annotation is not tl.constexpr])


@triton.jit
def wait_for_inputs(USE_PDL: tl.constexpr):
    """Wait for the previous kernel.

    Programmatic dependent launch (PDL) starts a kernel before the previous one ends.
    """
    if USE_PDL:
        gdc_wait()


@triton.jit
def gate(logits, GATE_SCALE: tl.constexpr):
    """Return GATE_SCALE * sigmoid(logits)."""
    return GATE_SCALE / (1 + tl.exp(-logits))


@triton.jit
def map_block(num_maps, width, BLOCK_M: tl.constexpr, VEC: tl.constexpr):
    """Return the maps of this program, their mask, and the width as an explicit multiple of VEC, for Triton."""
    offs_m = tl.program_id(0) * BLOCK_M + tl.arange(0, BLOCK_M)
    return offs_m, offs_m < num_maps, width // VEC * VEC


@triton.jit
def pixel_ptrs(x_ptr, offs_m, offs_h, offs_w, height, width, VEC: tl.constexpr):
    """Return pointers (M, H, W) into maps (B * C, H, W). Only a map's base needs 64 bits; offsets inside it do not."""
    map_ptrs = x_ptr + offs_m.to(tl.int64) * (height * width)
    map_ptrs = tl.multiple_of(map_ptrs, [VEC * x_ptr.dtype.element_ty.primitive_bitwidth // 8])
    return map_ptrs[:, None, None] + (offs_h[None, :, None] * width + offs_w[None, None, :])


@triton.jit
def select_group(group, value0, value1, value2, value3):
    """Return the value of one channel group."""
    value = value0
    if group == 1:
        value = value1
    if group == 2:
        value = value2
    if group == 3:
        value = value3
    return value


@triton.jit
def load_pair(a_ptr, b_ptr, offs_c, mask_c, ACC_DTYPE: tl.constexpr):
    """Load two per-channel parameters."""
    a = tl.load(a_ptr + offs_c, mask=mask_c, other=0).to(ACC_DTYPE)
    b = tl.load(b_ptr + offs_c, mask=mask_c, other=0).to(ACC_DTYPE)
    return a, b
