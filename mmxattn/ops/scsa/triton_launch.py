"""How SCSA on a GPU is dealt out to the kernels of ``gpu_kernels.py``: which, in what order, how much to a program."""
import functools
import math
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from ...utils.tracing import ceil_div

__all__ = ['Launch', 'Plan', 'plan_of']

EARLY_GPU = (9, 0)  # from Hopper on a launch need not wait for the kernel ahead to end; what is launched waits

# How much a program takes and how much each of its threads, as an H200 is fastest.
TILE, OF_FEW = (1024, 16), (8192, 32)  # pixels of a map: where there are MANY maps, and where there are not
MANY = 512
TOGETHER = 2048  # pixels of several small maps
BANDS, A_THREAD = 4096, 32  # pixels of rows of windows
LINES_A_THREAD = 8  # of a channel group's rows or columns
SHARE = 512  # of those, to one program
GROUP, FEWEST = 2**16, 64  # a program squeezes a channel group of at most these pixels, where there are as many groups
SQUEEZED, SQUEEZING = 32768, 16  # pixels of it at once, and warps
PRODUCT = 16  # pooled pixels, from which on the attention is by products of matrices, below it by pixel
BY_PIXEL, BACK_BY_PIXEL = (32, 32, 4, 4), (32, 8, 4, 4)  # channels, those that each looks at at once, slots, and warps
BY_PRODUCT, BACK_BY_PRODUCT = (16, 64, 4), (16, 64, 8)  # channels, those that each looks at at once, and warps
BY_FEW, PROGRAMS = (16, 128, 8), 128  # the same, where there are fewer programs than these
FACTOR = 2048  # numbers in one factor of such a product
PARTS = 1024  # lanes that go over the parts of a pooled image for its mean
UNSTAGED = 1  # copies to shared memory in advance cost more than they bring

# What programs hold at once and grids take, at most.
LARGEST_BATCH = 2**16 - 1  # as a grid's second side
LARGEST_WIDTH = 2048
LARGEST_GROUP = 2**14  # channels of a group, times rows or columns
LARGEST_BAND = 2**14  # pixels in a row of windows
LARGEST_CHANNELS = 2**12
LONGEST_KERNEL = 31
GROUPS = 4  # of channels


@functools.lru_cache(1024)
def plan_of(shape: torch.Size, dtype: torch.dtype, device: torch.device, parameter_dtype: torch.dtype,
            window: tuple[int, int], limit: int, kernel_sizes: tuple[int, ...], *eps: float) -> 'Plan | None':
    """How to launch, for one type of everything on one device; None where a program would have to hold too much."""
    batch, channels, height, width = shape
    groups = len(kernel_sizes)
    members = channels // groups
    if (not 0 < batch <= LARGEST_BATCH or device.type == 'cuda' and dtype == torch.float64
            or members * min(height, width) == 1 or channels == 1  # a norm of one value raises
            or groups > GROUPS or max(kernel_sizes) > LONGEST_KERNEL
            or width > LARGEST_WIDTH or channels > LARGEST_CHANNELS
            or _power(members) * _power(max(height, width)) > LARGEST_GROUP
            or _power(window[0]) * _power(window[1]) * _power(width // window[1]) > LARGEST_BAND
            or 16 * batch * channels * (height + width) + 2 * shape.numel() >= 2**31):  # more than all of ``work``
        return None
    early = device.type == 'cuda' and torch.cuda.get_device_capability(device) >= EARLY_GPU
    return Plan(shape, dtype, early, window, limit, kernel_sizes, eps)


class Launch:
    """A kernel with its grid and what is compiled in.

    Triton finds out at each launch which of its kernels the arguments are for, which takes longer than to launch it.
    Here all launches are for the same one: no size and no address is compiled in, and a plan is for one type of
    everything on one device.
    """

    def __init__(self, kernel: Any, grid: Sequence[int], warps: int, **constants: Any):
        self.kernel, self.grid, self.constants = kernel, (*grid, 1, 1)[:3], constants
        self.options = dict(num_warps=warps, num_stages=UNSTAGED, launch_pdl=constants['EARLY'])
        self.in_order = [constants[name] for name in kernel.arg_names if name in constants]
        self.launch: Any = None  # of what is compiled, once it is

    def __call__(self, *arguments: Any) -> None:
        if self.launch is not None:
            self.launch(*arguments, *self.in_order)
            return
        compiled = self.kernel[self.grid](*arguments, **self.constants, **self.options)
        if compiled is not None:  # Triton's interpreter compiles nothing
            self.launch = compiled[self.grid]


class Plan:
    """How maps of a size are dealt out to programs: the launches, and the arguments that are the same each time."""

    def __init__(self, shape: torch.Size, dtype: torch.dtype, early: bool, window: tuple[int, int], limit: int,
                 kernel_sizes: tuple[int, ...], eps: tuple[float, ...]):
        kernels = _kernels()
        batch, channels, height, width = shape
        self.batch, self.channels, self.height, self.width = batch, channels, height, width
        self.groups, self.members = len(kernel_sizes), channels // len(kernel_sizes)
        self.window, (self.down, self.across) = window, (height // window[0], width // window[1])
        self.pixels = self.down * self.across

        # arguments of kernels
        self.maps = batch * channels
        self.map = self.maps, height, width
        self.image = self.maps, channels, height, width
        self.windows = self.down, self.across, *window
        self.kernel_sizes = *kernel_sizes, *(0, ) * (GROUPS - self.groups)

        # numbers to allocate
        lines, stats = self.maps * (height + width), 2 + 2 * self.groups
        self.wide = torch.promote_types(dtype, torch.float32)
        self.kept = lines + self.maps * (self.pixels + 3) + batch * stats
        self.work = 2 * lines
        self.work_backward = 5 * lines + self.maps * (1 + self.pixels + self.down * width)
        self.shares = batch, self.members * sum(kernel_sizes) + 10 * channels

        # constants of kernels
        self.always = dict(WIDE=getattr(kernels.tl, str(self.wide).removeprefix('torch.')), EARLY=early)
        self.gating, self.of_groups = dict(LIMIT=limit), dict(GROUPS=self.groups, STATS=stats)
        self._plan_maps(kernels)
        self._plan_gates(kernels, max(kernel_sizes), eps[:2])
        self._plan_attention(kernels, eps[2])

    def _plan_maps(self, kernels: Any) -> None:
        """What goes over maps: a program takes several small ones of one image, or goes down a large one."""
        tile, a_thread = TILE if self.maps >= MANY else OF_FEW
        columns = _power(self.width)
        rows = min(_power(self.height), max(1, tile // columns))
        together = 1
        while (rows >= self.height and self.channels % (together * 2) == 0
               and together * 2 * rows * columns <= TOGETHER):
            together *= 2
        warps = _warps(together * rows * columns, a_thread)
        programs, tiles = ceil_div(self.maps, together), ceil_div(self.height, rows)
        held = dict(self.always, M=together, BH=rows, BW=columns, V=math.gcd(self.width, 4))
        self.map_means = Launch(kernels.map_means, (programs, ), warps, **held)
        self.gate = Launch(kernels.gate, (programs, tiles), warps, **held, **self.gating)
        self.map_sums = Launch(kernels.map_sums, (programs, ), warps, **held, **self.gating)
        self.gate_gradients = Launch(kernels.gate_gradients, (programs, ), warps, **held, **self.gating,
                                      **self.of_groups, BC=_power(self.channels),
                                      BD=min(_power(self.down), max(1, rows // 8)))
        self.add_gradients = Launch(kernels.add_gradients, (programs, tiles), warps, **held, **self.gating)

    def _plan_gates(self, kernels: Any, longest_kernel: int, eps: tuple[float, ...]) -> None:
        """What makes gates of rows and columns of a channel group, and what pools: one after another, or as one."""
        members, height, width = self.members, self.height, self.width
        group, longest = _power(members), _power(max(height, width))
        warps, share = _warps(group * longest, LINES_A_THREAD), min(group, max(1, SHARE // longest))
        held = dict(self.always, **self.of_groups, TAPS=longest_kernel, BC=group)
        norms = dict(held, **self.gating, EPS_H=eps[0], EPS_W=eps[1], BL=longest)
        self.gates = Launch(kernels.gates, (self.batch, self.groups, 2), warps, **norms)
        self.gates_backward = Launch(kernels.gates_backward, (self.batch, self.groups, ceil_div(members, share)),
                                      warps, **held, BS=share, BR=_power(height), BL=_power(width))

        sides = dict(KH=_power(self.window[0]), KW=_power(self.window[1]), BA=_power(self.across))
        band = math.prod(sides.values())
        self.squeeze: Launch | None = None
        if self.batch * self.groups >= FEWEST and members * height * width <= GROUP:
            together = min(_power(members * self.down), max(1, SQUEEZED // band))
            self.parts = self.groups * ceil_div(members * self.down, together)
            rows = min(_power(height), max(1, SQUEEZED // _power(width)))
            self.squeeze = Launch(kernels.squeeze, (self.batch, self.groups), SQUEEZING, **norms, **sides,
                                   BP=together, M=min(group, max(1, SQUEEZED // (rows * _power(width)))), BH=rows,
                                   BW=_power(width), V=math.gcd(width, 4))
        else:
            together = max(1, BANDS // band)
            self.parts = ceil_div(self.channels * self.down, together)
            self.pool = Launch(kernels.pool, (self.parts, self.batch), _warps(band * together, A_THREAD),
                                **self.always, **sides, BP=together)
        self.work += 3 * self.batch * self.parts

    def _plan_attention(self, kernels: Any, eps: float) -> None:
        """What makes the channels' gates."""
        few = self.batch * ceil_div(self.channels, BY_PRODUCT[0]) < PROGRAMS
        forward = self._attention(BY_PIXEL, BY_FEW if few else BY_PRODUCT)
        backward = self._attention(BACK_BY_PIXEL, BACK_BY_PRODUCT)
        held = dict(self.always, STATS=self.of_groups['STATS'], SCALE=self.channels**-0.5)
        self.attend = Launch(kernels.attend, (self.batch, ceil_div(self.channels, forward['BI'])), **held, **forward,
                              EPS=eps, BF=min(PARTS, _power(self.parts)))
        self.attend_backward = Launch(kernels.attend_backward, (self.batch, ceil_div(self.channels, backward['BI'])),
                                       **held, **backward, GROUPS=self.groups)
        if self.pixels < PRODUCT:
            self.work += self.maps * (self.pixels + 1)
            self.work_backward += self.maps * (self.pixels + 1)

    def _attention(self, by_pixel: tuple[int, int, int, int], by_product: tuple[int, int, int]) -> dict[str, int]:
        """How it is dealt out. Sides of products of matrices are 16 at least."""
        if self.pixels < PRODUCT:
            asking, asked, slots, warps = by_pixel
            return dict(warps=warps, BI=asking, BJ=asked, BS=slots, BC=_power(self.channels), BN=_power(self.pixels))
        asking, asked = (min(side, max(16, _power(self.channels))) for side in by_product[:2])
        at_once = max(16, min(_power(self.pixels), FACTOR // max(asking, asked)))
        return dict(warps=by_product[2], BI=asking, BJ=asked, BS=0, BC=1, BN=at_once)

    def forward(self, x: Tensor, y: Tensor, kept: Tensor, work: Tensor, parameters: Sequence[Tensor]) -> None:
        """Launch what makes the output."""
        told = _told((x, y, kept, work, *parameters), self.gate)
        x, y, kept, work = told[:4]
        convs, norms, attention = self._sorted(told[4:])
        if self.squeeze is not None:
            self.squeeze(x, kept, work, *convs, *norms, *self.image, *self.windows, self.parts, *self.kernel_sizes)
        else:
            self.map_means(x, work, *self.map)
            self.gates(kept, work, *convs, *norms, *self.image, self.pixels, *self.kernel_sizes)
            self.pool(x, kept, work, *self.image, *self.windows, self.parts)
        self.attend(kept, work, *attention, *self.image, self.pixels, self.parts)
        self.gate(x, kept, work, y, *self.map, self.pixels)

    def backward(self, grad: Tensor, x: Tensor, kept: Tensor, work: Tensor, shares: Tensor, of_x: Tensor | None,
                 parameters: Sequence[Tensor]) -> None:
        """Launch what makes the gradients: to x, where they are wanted, and each image's share in the parameters'."""
        last = self.gates_backward if of_x is None else self.add_gradients
        told = _told((grad, x, kept, work, shares, x if of_x is None else of_x, *parameters), last)
        grad, x, kept, work, shares, to_x = told[:6]
        convs, norms, attention = self._sorted(told[6:])
        self.map_sums(x, grad, kept, work, *norms, *self.image, self.pixels)
        self.attend_backward(kept, work, shares, *attention, *self.image, self.down, self.across, *self.kernel_sizes)
        self.gate_gradients(x, kept, work, shares, attention[0], *self.image, *self.windows, *self.kernel_sizes)
        self.gates_backward(kept, work, shares, *convs[:GROUPS], norms[0], norms[2], *self.image, self.pixels,
                            *self.kernel_sizes)
        if of_x is not None:
            self.add_gradients(grad, kept, work, to_x, *self.map, *self.windows[:3])

    def _sorted(self, parameters: Sequence) -> tuple[Sequence, Sequence, Sequence]:
        """The convolutions' weights and biases, as many as a kernel takes of each; the norms'; the attention's."""
        groups, missing = self.groups, GROUPS - self.groups
        weights, biases = parameters[:groups], parameters[groups:2 * groups]
        convs = [*weights, *weights[:1] * missing, *biases, *biases[:1] * missing]
        return convs, parameters[2 * groups:-5], parameters[-5:]


def _told(tensors: Sequence[Tensor], last: Launch) -> list:
    """What launches are told of tensors: once the last is compiled only where they are, which takes half as long."""
    return [tensor.data_ptr() for tensor in tensors] if last.launch is not None else list(tensors)


@functools.cache
def _kernels() -> Any:
    from . import triton_kernels as gpu_kernels
    return gpu_kernels


def _power(number: int) -> int:
    """The smallest power of two that holds a number."""
    return 1 << (number - 1).bit_length()


def _warps(numbers: int, a_thread: int) -> int:
    """Of 32 threads each."""
    return min(16, max(1, numbers // (32 * a_thread)))
