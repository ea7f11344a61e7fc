"""Launch geometry of SCSA's Triton kernels: grids, tiles and warps for a shape.

The constants were tuned on an NVIDIA H200. This module does not import Triton.
"""
import math
from dataclasses import dataclass

from .problem import (
    NUM_CONVS,
    Problem,
    cdiv,
    next_power_of_2,
    param_grads,
    saved_tensors,
    workspace_bwd_tensors,
    workspace_tensors,
)

__all__ = ['KernelConfig', 'LaunchConfig', 'launch_config']

# Kernels that pass over maps (H, W): pixels per program, pixels per thread.
MAP_TILE = (1024, 16)
MAP_TILE_FEW = (8192, 32)  # for fewer maps than MANY_MAPS
MANY_MAPS = 512
SMALL_MAPS_TILE = 2048  # pixels per program that processes several whole maps
POOL_TILE = (4096, 32)

# Gates of rows and columns: elements are channels x positions.
AXIS_PER_THREAD = 8  # elements per thread
AXIS_BWD_TILE = 512  # elements per backward program

# One kernel for the means, the gates and the pooling.
FUSED_MIN_PROGRAMS = 64  # images x channel groups
FUSED_MAX_PIXELS = 2**16  # pixels of a channel group
FUSED_TILE = 32768  # pixels per tile
FUSED_WARPS = 16

# Channel attention.
MIN_DOT_PIXELS = 16  # pooled pixels from which tl.dot is used
MIN_DOT_SIDE = 16  # smallest side of an operand of tl.dot
DOT_OPERAND = 2048  # elements of an operand of tl.dot
DOT_TILE, DOT_BWD_TILE = (16, 64, 4), (16, 64, 8)  # BLOCK_I, BLOCK_J, warps
DOT_TILE_FEW = (16, 128, 8)  # forward, for fewer programs than FEW_PROGRAMS
FEW_PROGRAMS = 128
FMA_TILE, FMA_BWD_TILE = (32, 32, 4, 4), (32, 8, 4, 4)  # BLOCK_I, BLOCK_J, NUM_SLOTS, warps
PARTS_TILE = 1024  # parts of a pooled map that are merged at once


@dataclass(frozen=True)
class KernelConfig:
    """Configuration of one kernel.

    Attributes:
        kernel: Name of the kernel.
        grid: Number of programs along each dimension.
        num_warps: Warps per program.
        constants: Compile-time arguments that depend on the shape, by name.
    """
    kernel: str
    grid: tuple[int, ...]
    num_warps: int
    constants: dict[str, int]


@dataclass(frozen=True)
class LaunchConfig:
    """Configuration of all kernels for one shape.

    Attributes:
        sizes: Scalar arguments of the kernels, by name.
        saved: Number of elements of each tensor that forward saves for backward, by argument name.
        workspace: Number of elements of each temporary tensor of the forward pass, by argument name.
        workspace_bwd: Number of elements of each temporary tensor of the backward pass, by argument name.
        param_grads: Number of elements of each parameter gradient of one image, by argument name, in the order of the
            parameters.
        forward: Kernels of the forward pass, in order.
        backward: Kernels of the backward pass, in order. The last one computes the gradient of the input.
    """
    sizes: dict[str, int]
    saved: dict[str, int]
    workspace: dict[str, int]
    workspace_bwd: dict[str, int]
    param_grads: dict[str, int]
    forward: list[KernelConfig]
    backward: list[KernelConfig]


def launch_config(p: Problem) -> LaunchConfig:
    """Choose the kernels, their geometry and their temporary tensors for a shape."""
    smsa, num_parts = smsa_configs(p)
    attention, attention_bwd = attention_configs(p, num_parts)
    tile, num_warps = map_tile(p)
    grid = (cdiv(p.num_maps, tile['BLOCK_M']), )
    grid_2d = (*grid, cdiv(p.height, tile['BLOCK_H']))
    pooled_tile = dict(BLOCK_C=next_power_of_2(p.channels),
                       BLOCK_PH=min(next_power_of_2(p.pooled_h), max(1, tile['BLOCK_H'] // 8)))
    grads, use_dot = param_grads(p), uses_dot(p)
    return LaunchConfig(
        sizes=scalar_arguments(p, num_parts, sum(grads.values())),
        saved=saved_tensors(p),
        workspace=workspace_tensors(p, num_parts, use_dot),
        workspace_bwd=workspace_bwd_tensors(p, use_dot),
        param_grads=grads,
        forward=[*smsa, attention, KernelConfig('apply_gates_kernel', grid_2d, num_warps, tile)],
        backward=[
            KernelConfig('gate_grad_sums_kernel', grid, num_warps, tile),
            attention_bwd,
            KernelConfig('axis_logit_grads_kernel', grid, num_warps, {**tile, **pooled_tile}),
            axis_gates_bwd_config(p),
            KernelConfig('input_grad_kernel', grid_2d, num_warps, tile),
        ])


def map_tile(p: Problem) -> tuple[dict[str, int], int]:
    """Return the tile and warps of kernels over maps: several small maps of one image, or rows of a large one."""
    pixels, per_thread = MAP_TILE if p.num_maps >= MANY_MAPS else MAP_TILE_FEW
    block_w = next_power_of_2(p.width)
    block_h = min(next_power_of_2(p.height), max(1, pixels // block_w))
    block_m = 1
    while (block_h >= p.height and p.channels % (block_m * 2) == 0
           and block_m * 2 * block_h * block_w <= SMALL_MAPS_TILE):
        block_m *= 2
    tile = dict(BLOCK_M=block_m, BLOCK_H=block_h, BLOCK_W=block_w, VEC=vector_width(p))
    return tile, warps(block_m * block_h * block_w, per_thread)


def smsa_configs(p: Problem) -> tuple[list[KernelConfig], int]:
    """Return the kernels from the input to the pooled map, and the number of parts in which they pool an image."""
    block_c, block_l = next_power_of_2(p.group_size), next_power_of_2(max(p.height, p.width))
    axis_tile = dict(BLOCK_C=block_c, BLOCK_L=block_l)
    windows = dict(BLOCK_KH=next_power_of_2(p.window_h), BLOCK_KW=next_power_of_2(p.window_w),
                   BLOCK_PW=next_power_of_2(p.pooled_w))
    window_row = math.prod(windows.values())

    if p.batch * p.num_groups >= FUSED_MIN_PROGRAMS and p.group_size * p.height * p.width <= FUSED_MAX_PIXELS:
        block_w = next_power_of_2(p.width)
        block_h = min(next_power_of_2(p.height), max(1, FUSED_TILE // block_w))
        block_r = min(next_power_of_2(p.group_size * p.pooled_h), max(1, FUSED_TILE // window_row))
        tile = dict(BLOCK_M=min(block_c, max(1, FUSED_TILE // (block_h * block_w))), BLOCK_H=block_h, BLOCK_W=block_w,
                    VEC=vector_width(p), BLOCK_R=block_r, **axis_tile, **windows)
        fused = KernelConfig('fused_smsa_kernel', (p.batch, p.num_groups), FUSED_WARPS, tile)
        return [fused], p.num_groups * cdiv(p.group_size * p.pooled_h, block_r)

    tile, num_warps = map_tile(p)
    block_r = max(1, POOL_TILE[0] // window_row)
    num_parts = cdiv(p.channels * p.pooled_h, block_r)
    return [
        KernelConfig('axis_means_kernel', (cdiv(p.num_maps, tile['BLOCK_M']), ), num_warps, tile),
        KernelConfig('axis_gates_kernel', (p.batch, p.num_groups, 2), warps(block_c * block_l, AXIS_PER_THREAD),
                     axis_tile),
        KernelConfig('pool_kernel', (num_parts, p.batch), warps(window_row * block_r, POOL_TILE[1]),
                     dict(BLOCK_R=block_r, **windows)),
    ], num_parts


def axis_gates_bwd_config(p: Problem) -> KernelConfig:
    """Return the configuration of the backward of the row and column gates."""
    block_c, block_l = next_power_of_2(p.group_size), next_power_of_2(max(p.height, p.width))
    block_cb = min(block_c, max(1, AXIS_BWD_TILE // block_l))
    return KernelConfig(
        'axis_gates_bwd_kernel', (p.batch, p.num_groups, cdiv(p.group_size, block_cb)),
        warps(block_c * block_l, AXIS_PER_THREAD),
        dict(BLOCK_C=block_c, BLOCK_CB=block_cb, BLOCK_LH=next_power_of_2(p.height),
             BLOCK_LW=next_power_of_2(p.width)))


def uses_dot(p: Problem) -> bool:
    """Check whether the channel attention uses tl.dot."""
    return p.num_pixels >= MIN_DOT_PIXELS


def attention_configs(p: Problem, num_parts: int) -> tuple[KernelConfig, KernelConfig]:
    """Return the configurations of the channel attention, forward and backward."""
    if uses_dot(p):
        few = p.batch * cdiv(p.channels, DOT_TILE[0]) < FEW_PROGRAMS
        tile, num_warps = dot_tile(p, *(DOT_TILE_FEW if few else DOT_TILE))
        tile_bwd, num_warps_bwd = dot_tile(p, *DOT_BWD_TILE)
    else:
        tile, num_warps = fma_tile(p, *FMA_TILE)
        tile_bwd, num_warps_bwd = fma_tile(p, *FMA_BWD_TILE)
    block_parts = min(PARTS_TILE, next_power_of_2(num_parts))
    return (KernelConfig('channel_attention_kernel', (p.batch, cdiv(p.channels, tile['BLOCK_I'])), num_warps,
                         dict(tile, BLOCK_PARTS=block_parts)),
            KernelConfig('channel_attention_bwd_kernel', (p.batch, cdiv(p.channels, tile_bwd['BLOCK_I'])),
                         num_warps_bwd, tile_bwd))


def dot_tile(p: Problem, block_i: int, block_j: int, num_warps: int) -> tuple[dict[str, int], int]:
    """Return the tile and warps of a channel attention kernel that uses tl.dot."""
    block_i, block_j = (min(side, max(MIN_DOT_SIDE, next_power_of_2(p.channels))) for side in (block_i, block_j))
    block_n = max(MIN_DOT_SIDE, min(next_power_of_2(p.num_pixels), DOT_OPERAND // max(block_i, block_j)))
    return dict(USE_DOT=True, BLOCK_I=block_i, BLOCK_J=block_j, NUM_SLOTS=1, BLOCK_C=1, BLOCK_N=block_n), num_warps


def fma_tile(p: Problem, block_i: int, block_j: int, num_slots: int, num_warps: int) -> tuple[dict[str, int], int]:
    """Return the tile and warps of a channel attention kernel for few pixels."""
    return dict(USE_DOT=False, BLOCK_I=block_i, BLOCK_J=block_j, NUM_SLOTS=num_slots,
                BLOCK_C=next_power_of_2(p.channels), BLOCK_N=next_power_of_2(p.num_pixels)), num_warps


def scalar_arguments(p: Problem, num_parts: int, stride_grad_b: int) -> dict[str, int]:
    """Return the sizes and strides that kernels take, by argument name."""
    kernel_sizes = {f'kernel_size{i}': (*p.kernel_sizes, *[0] * NUM_CONVS)[i] for i in range(NUM_CONVS)}
    return dict(num_maps=p.num_maps, channels=p.channels, height=p.height, width=p.width, window_h=p.window_h,
                window_w=p.window_w, pooled_h=p.pooled_h, pooled_w=p.pooled_w, num_pixels=p.num_pixels,
                num_parts=num_parts, stride_grad_b=stride_grad_b, **kernel_sizes)


def vector_width(p: Problem) -> int:
    """Return the number of pixels that a thread can load at once; rows start at multiples of it."""
    return math.gcd(p.width, 4)


def warps(elements: int, per_thread: int) -> int:
    """Return the number of warps, of 32 threads each, for a tile."""
    return min(16, max(1, elements // (32 * per_thread)))
