"""Launch geometry of SCSA's Triton kernels: grids, tiles and warps for a shape, and which shapes are supported.

The constants were tuned on an NVIDIA H200. This module does not import Triton.
"""
import functools
import math
from dataclasses import dataclass

__all__ = ['NUM_CONVS', 'KernelConfig', 'LaunchConfig', 'Problem', 'launch_config', 'within_limits']

NUM_CONVS = 4  # convolutions that a kernel has arguments for

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

# Limits of what fits in a grid or in the registers of a program.
MAX_BATCH = 2**16 - 1  # second dimension of a grid
MAX_CHANNELS = 2**12
MAX_WIDTH = 2048
MAX_KERNEL_SIZE = 31
MAX_GROUP = 2**14  # channels of a group x the longer side, each rounded up to a power of two
MAX_WINDOW_ROW = 2**14  # window height x width x windows per row, each rounded up to a power of two


@dataclass(frozen=True)
class Problem:
    """Sizes that determine the launch geometry."""
    batch: int
    channels: int
    height: int
    width: int
    window_h: int
    window_w: int
    kernel_sizes: tuple[int, ...]

    @property
    def num_maps(self) -> int:
        return self.batch * self.channels

    @property
    def num_groups(self) -> int:
        return len(self.kernel_sizes)

    @property
    def group_size(self) -> int:
        return self.channels // self.num_groups

    @property
    def pooled_h(self) -> int:
        return self.height // self.window_h

    @property
    def pooled_w(self) -> int:
        return self.width // self.window_w

    @property
    def num_pixels(self) -> int:
        return self.pooled_h * self.pooled_w


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
        saved: Elements of each tensor that forward saves for backward, by argument name.
        workspace: Elements of each temporary tensor of the forward pass, by argument name.
        workspace_bwd: Elements of each temporary tensor of the backward pass, by argument name.
        param_grads: Elements of each gradient of an image's parameters, by argument name, in the parameters' order.
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


@functools.lru_cache(1024)
def within_limits(shape: tuple[int, ...], window: tuple[int, int], kernel_sizes: tuple[int, ...]) -> bool:
    """Check whether the kernels can process a map.

    Args:
        shape: (B, C, H, W) of the map.
        window: Height and width of the pooling window.
        kernel_sizes: Length of each group's convolution.

    Returns:
        False if the map exceeds a limit of the kernels, is empty, or has group norms over a single value, for which
        PyTorch raises an error.
    """
    p = Problem(*shape, *window, kernel_sizes)
    longest = next_power_of_2(max(p.height, p.width))
    window_row = (p.window_h, p.window_w, p.pooled_w)
    return (0 < p.batch <= MAX_BATCH and 1 < p.channels <= MAX_CHANNELS and p.group_size * min(p.height, p.width) > 1
            and p.width <= MAX_WIDTH and p.num_groups <= NUM_CONVS and max(kernel_sizes) <= MAX_KERNEL_SIZE
            and next_power_of_2(p.group_size) * longest <= MAX_GROUP
            and math.prod(map(next_power_of_2, window_row)) <= MAX_WINDOW_ROW
            # offsets into all tensors but the maps are 32-bit; this bounds the largest of them
            and 16 * p.num_maps * (p.height + p.width) + 2 * p.num_maps * p.height * p.width < 2**31)


def launch_config(p: Problem) -> LaunchConfig:
    """Choose the kernels, their geometry and their temporary tensors for a shape."""
    smsa, num_parts = smsa_configs(p)
    forward_tile, backward_tile = attention_tiles(p)
    map_tile, map_warps = map_tile_of(p)
    map_grid = (cdiv(p.num_maps, map_tile['BLOCK_M']), )
    map_grid_2d = (*map_grid, cdiv(p.height, map_tile['BLOCK_H']))
    forward = [
        *smsa,
        KernelConfig('channel_attention_kernel', (p.batch, cdiv(p.channels, forward_tile['BLOCK_I'])),
                     forward_tile.pop('num_warps'),
                     dict(forward_tile, BLOCK_PARTS=min(PARTS_TILE, next_power_of_2(num_parts)))),
        KernelConfig('apply_gates_kernel', map_grid_2d, map_warps, map_tile),
    ]
    backward = [
        KernelConfig('gate_grad_sums_kernel', map_grid, map_warps, map_tile),
        KernelConfig('channel_attention_bwd_kernel', (p.batch, cdiv(p.channels, backward_tile['BLOCK_I'])),
                     backward_tile.pop('num_warps'), backward_tile),
        KernelConfig('axis_logit_grads_kernel', map_grid, map_warps,
                     dict(map_tile, BLOCK_C=next_power_of_2(p.channels),
                          BLOCK_PH=min(next_power_of_2(p.pooled_h), max(1, map_tile['BLOCK_H'] // 8)))),
        axis_gates_bwd_config(p),
        KernelConfig('input_grad_kernel', map_grid_2d, map_warps, map_tile),
    ]
    grads = param_grads(p)
    return LaunchConfig(sizes=scalar_arguments(p, num_parts, sum(grads.values())), saved=saved_tensors(p),
                        workspace=workspace_tensors(p, num_parts), workspace_bwd=workspace_bwd_tensors(p),
                        param_grads=grads, forward=forward, backward=backward)


def map_tile_of(p: Problem) -> tuple[dict[str, int], int]:
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

    map_tile, map_warps = map_tile_of(p)
    block_r = max(1, POOL_TILE[0] // window_row)
    num_parts = cdiv(p.channels * p.pooled_h, block_r)
    return [
        KernelConfig('axis_means_kernel', (cdiv(p.num_maps, map_tile['BLOCK_M']), ), map_warps, map_tile),
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


def attention_tiles(p: Problem) -> tuple[dict[str, int], dict[str, int]]:
    """Return the tiles of the channel attention, forward and backward."""
    if not uses_dot(p):
        names = ('BLOCK_I', 'BLOCK_J', 'NUM_SLOTS', 'num_warps')
        shared = dict(USE_DOT=False, BLOCK_C=next_power_of_2(p.channels), BLOCK_N=next_power_of_2(p.num_pixels))
        return dict(zip(names, FMA_TILE), **shared), dict(zip(names, FMA_BWD_TILE), **shared)
    few = p.batch * cdiv(p.channels, DOT_TILE[0]) < FEW_PROGRAMS
    return dot_tile(p, *(DOT_TILE_FEW if few else DOT_TILE)), dot_tile(p, *DOT_BWD_TILE)


def dot_tile(p: Problem, block_i: int, block_j: int, num_warps: int) -> dict[str, int]:
    """Return the tile of a channel attention kernel that uses tl.dot."""
    block_i, block_j = (min(side, max(MIN_DOT_SIDE, next_power_of_2(p.channels))) for side in (block_i, block_j))
    block_n = max(MIN_DOT_SIDE, min(next_power_of_2(p.num_pixels), DOT_OPERAND // max(block_i, block_j)))
    return dict(USE_DOT=True, BLOCK_I=block_i, BLOCK_J=block_j, NUM_SLOTS=1, BLOCK_C=1, BLOCK_N=block_n,
                num_warps=num_warps)


def scalar_arguments(p: Problem, num_parts: int, stride_grad_b: int) -> dict[str, int]:
    """Return the sizes and strides that kernels take, by argument name."""
    kernel_sizes = {f'kernel_size{i}': (*p.kernel_sizes, *[0] * NUM_CONVS)[i] for i in range(NUM_CONVS)}
    return dict(num_maps=p.num_maps, channels=p.channels, height=p.height, width=p.width, window_h=p.window_h,
                window_w=p.window_w, pooled_h=p.pooled_h, pooled_w=p.pooled_w, num_pixels=p.num_pixels,
                num_parts=num_parts, stride_grad_b=stride_grad_b, **kernel_sizes)


def saved_tensors(p: Problem) -> dict[str, int]:
    """Return the elements of each tensor saved for backward. None is as large as the map."""
    return dict(
        axis_xhat_ptr=p.num_maps * (p.height + p.width),
        pooled_ptr=p.num_maps * p.num_pixels,
        n_mean_ptr=p.num_maps,
        lse_ptr=p.num_maps,
        channel_logit_ptr=p.num_maps,
        pooled_stats_ptr=p.batch * 2,
        axis_std_ptr=p.batch * p.num_groups * 2)


def workspace_tensors(p: Problem, num_parts: int) -> dict[str, int]:
    """Return the elements of each temporary tensor of the forward pass."""
    return dict(
        normed_ptr=0 if uses_dot(p) else p.num_maps * (p.num_pixels + 1),
        axis_mean_ptr=p.num_maps * (p.height + p.width),
        axis_gate_ptr=p.num_maps * (p.height + p.width),
        part_stats_ptr=p.batch * num_parts * 3)


def workspace_bwd_tensors(p: Problem) -> dict[str, int]:
    """Return the elements of each temporary tensor of the backward pass."""
    axis = p.num_maps * (p.height + p.width)
    return dict(
        normed_ptr=0 if uses_dot(p) else p.num_maps * (p.num_pixels + 1),
        axis_mean_ptr=axis,
        axis_gate_ptr=axis,
        axis_sum_ptr=axis,
        grad_axis_logit_ptr=axis,
        grad_axis_mean_ptr=axis,
        grad_channel_logit_ptr=p.num_maps,
        grad_normed_ptr=p.num_maps * p.num_pixels,
        grad_pooled_ptr=p.num_maps * p.pooled_h * p.width)


def param_grads(p: Problem) -> dict[str, int]:
    """Return the elements of each gradient of the parameters, in their order."""
    names = ('conv_bias', 'norm_h_weight', 'norm_h_bias', 'norm_w_weight', 'norm_w_bias', 'norm_weight', 'norm_bias',
             'q', 'k', 'v')
    return dict(grad_conv_weight_ptr=p.group_size * sum(p.kernel_sizes),
                **{f'grad_{name}_ptr': p.channels for name in names})


def vector_width(p: Problem) -> int:
    """Return how many pixels a thread can load at once: rows start at multiples of it."""
    return math.gcd(p.width, 4)


def warps(elements: int, per_thread: int) -> int:
    """Return the number of warps, of 32 threads each, for a tile."""
    return min(16, max(1, elements // (32 * per_thread)))


def next_power_of_2(n: int) -> int:
    return 1 << (n - 1).bit_length()


def cdiv(a: int, b: int) -> int:
    return -(-a // b)
