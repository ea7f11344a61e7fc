"""SCSA on a GPU: the kernels of ``scsa_kernels.py`` in turn, five of them forward and five backward.

As operators one after another SCSA is about forty launches, most of them of next to nothing, and goes over its map
nine times. Here it goes over it as often as it must. The numbers are those of the plain form in ``scsa.py`` but for
rounding: everything between the map that comes in and the one that goes out is in float32 at least, autocast or not.
"""
import functools
import math
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn
from torch._utils import _unflatten_dense_tensors  # in C++, as DDP does it: seventeen views take longer than the sums
from torch.autograd.function import once_differentiable

from .group_norm import GroupNorm
from .tracing import ceil_div, is_traced

if TYPE_CHECKING:
    from .scsa import SCSA

__all__ = ['fused_scsa', 'run', 'without_kernels']

OLDEST_GPU = (8, 0)  # compute capability: Ampere
OLDEST_TRITON = (3, 6)  # whose compiled kernels take all arguments in order, constants included

# How much a program takes and how much each of its threads, as an H200 is fastest.
TILE, OF_FEW = (1024, 16), (8192, 32)  # pixels of a map: where there are MANY maps, and where there are not
MANY = 512
TOGETHER = 2048  # pixels of several small maps
BANDS, A_THREAD = 2048, 16  # pixels of rows of windows
LINES_A_THREAD = 8  # of a channel group's rows or columns
SHARE = 512  # of those, to one program
BY_PIXEL, BY_PRODUCT = (16, 64, 4), (16, 128, 8)  # channels that ask, that are asked at once, and warps
PRODUCT = 16  # pixels, from which on D is a product of matrices
FACTOR = 2048  # numbers in one factor of that
IMAGE = 4096  # lanes that go over a pooled image for its mean
UNSTAGED = 1  # copies to shared memory in advance cost more than they bring

# What programs hold at once, at most.
LARGEST_WIDTH = 2048
LARGEST_GROUP = 2**14  # channels of a group, times rows or columns
LARGEST_BAND = 2**14  # pixels in a row of windows
LARGEST_CHANNELS = 2**12
LONGEST_KERNEL = 31
GROUPS = 4  # of channels

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
    convs = [getattr(layer, name) for name in layer.conv_names]
    norms, scales = (layer.norm_h, layer.norm_w, layer.norm), (layer.q, layer.k, layer.v)
    if {*map(type, convs), *map(type, norms), *map(type, scales)} != {nn.Conv1d, GroupNorm, nn.Conv2d}:
        return None  # somebody has put something else in their place, which has to be called
    parameters = [conv.weight for conv in convs] + [conv.bias for conv in convs]
    for norm in norms:
        parameters += norm.weight, norm.bias
    parameters += [scale.weight for scale in scales]
    plan = _plan(x.shape, x.dtype, x.device, tuple(parameter.dtype for parameter in parameters), layer.window(x),
                 layer.limit, layer.kernel_sizes, tuple(norm.eps for norm in norms))
    if plan is None:
        return None
    x = _aligned(x)
    with _on(x.device):
        if torch.is_grad_enabled() and (x.requires_grad or any(parameter.requires_grad for parameter in parameters)):
            return _FusedSCSA.apply(x, plan, *parameters)
        return _forward(x, plan, parameters)[0]


@functools.cache
def _kernels() -> Any:
    from . import scsa_kernels
    return scsa_kernels


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


@functools.lru_cache(1024)
def _plan(shape: torch.Size, dtype: torch.dtype, device: torch.device, parameter_dtypes: tuple[torch.dtype, ...],
          window: tuple[int, int], limit: int, kernel_sizes: tuple[int, ...],
          eps: tuple[float, ...]) -> '_Plan | None':
    """How to launch, for one type of everything on one device; None where a program would have to hold too much."""
    batch, channels, height, width = shape
    groups = len(kernel_sizes)
    members = channels // groups
    if (batch == 0 or len(set(parameter_dtypes)) > 1 or device.type == 'cuda' and dtype == torch.float64
            or members * min(height, width) == 1 or channels == 1  # a norm of one value raises
            or groups > GROUPS or max(kernel_sizes) > LONGEST_KERNEL
            or width > LARGEST_WIDTH or channels > LARGEST_CHANNELS
            or _power(members) * _power(max(height, width)) > LARGEST_GROUP
            or _power(window[0]) * _power(window[1]) * _power(width // window[1]) > LARGEST_BAND
            or 16 * batch * channels * (height + width) + 2 * shape.numel() >= 2**31):  # more than all of ``work``
        return None
    return _Plan(shape, dtype, window, limit, kernel_sizes, eps)


class _Launch:
    """A kernel with its grid and what is compiled in.

    Triton finds out at each launch which of its kernels the arguments are for, which takes longer than to launch it.
    Here all launches are for the same one: no size and no address is compiled in, and a plan is for one type of
    everything on one device.
    """

    def __init__(self, kernel: Any, grid: Sequence[int], warps: int, **constants: Any):
        self.kernel, self.grid, self.warps, self.constants = kernel, (*grid, 1, 1)[:3], warps, constants
        self.in_order = [constants[name] for name in kernel.arg_names if name in constants]
        self.launch: Any = None  # of what is compiled, once it is

    def __call__(self, *arguments: Any) -> None:
        if self.launch is not None:
            self.launch(*arguments, *self.in_order)
            return
        compiled = self.kernel[self.grid](*arguments, **self.constants, num_warps=self.warps, num_stages=UNSTAGED)
        if compiled is not None:  # Triton's interpreter compiles nothing
            self.launch = compiled[self.grid]


class _Plan:
    """How maps of a size are dealt out to programs: the launches, and the arguments that are the same each time."""

    def __init__(self, shape: torch.Size, dtype: torch.dtype, window: tuple[int, int], limit: int,
                 kernel_sizes: tuple[int, ...], eps: tuple[float, ...]):
        kernels = _kernels()
        batch, channels, height, width = shape
        groups, members = len(kernel_sizes), channels // len(kernel_sizes)
        windows = height // window[0], width // window[1]
        pixels = windows[0] * windows[1]
        maps, lines = batch * channels, batch * channels * (height + width)
        stats = 2 + 2 * groups

        self.wide = torch.promote_types(dtype, torch.float32)
        self.groups = groups
        self.kept = lines + maps * (pixels + 3) + batch * stats  # numbers
        self.work = 2 * lines
        self.work_backward = 5 * lines + maps * (1 + pixels + windows[0] * width)
        self.shares = batch, members * sum(kernel_sizes) + 10 * channels
        self.map = maps, height, width
        self.maps = maps, channels, height, width
        self.attention = maps, channels, height, width, pixels
        self.windows = *windows, *window
        self.kernel_sizes = *kernel_sizes, *(0, ) * (GROUPS - groups)

        wide = dict(WIDE=getattr(kernels.tl, str(self.wide).removeprefix('torch.')))
        gates, of_groups = dict(LIMIT=limit), dict(GROUPS=groups, STATS=stats)
        self._plan_maps(kernels, maps, channels, height, width, windows[0], wide, gates, of_groups)

        group, longest = _power(members), _power(max(height, width))
        share = min(group, max(1, SHARE // longest))
        held, warps = dict(wide, **of_groups, TAPS=max(kernel_sizes), BC=group), _warps(group * longest, LINES_A_THREAD)
        self.gates = _Launch(kernels.gates, (batch, groups, 2), warps, **held, **gates, BL=longest, EPS_H=eps[0],
                             EPS_W=eps[1])
        self.gates_backward = _Launch(kernels.gates_backward, (batch, groups, ceil_div(members, share)), warps, **held,
                                      BS=share, BR=_power(height), BL=_power(width))

        sides = dict(KH=_power(window[0]), KW=_power(window[1]), BA=_power(windows[1]))
        band = math.prod(sides.values())
        together = max(1, BANDS // band)
        self.pool = _Launch(kernels.pool, (ceil_div(maps * windows[0], together), ), _warps(band * together, A_THREAD),
                            **wide, **sides, BP=together)

        asking, asked, warps = BY_PIXEL if pixels < PRODUCT else BY_PRODUCT
        asked = min(asked, max(16, _power(channels)))  # a product of matrices takes 16 at least
        at_once = 1 if pixels < PRODUCT else min(_power(pixels), max(16, FACTOR // asked))
        attention = dict(wide, STATS=stats, SCALE=channels**-0.5, BI=asking, BJ=asked, BN=at_once)
        programs = batch, ceil_div(channels, asking)
        self.attend = _Launch(kernels.attend, programs, warps, **attention, EPS=eps[2],
                              BF=min(IMAGE, _power(channels * pixels)))
        self.attend_backward = _Launch(kernels.attend_backward, programs, warps, **attention, GROUPS=groups)

    def _plan_maps(self, kernels: Any, maps: int, channels: int, height: int, width: int, bands: int,
                   wide: dict[str, Any], gates: dict[str, Any], of_groups: dict[str, Any]) -> None:
        """What goes over maps: a program takes several small ones of one image, or goes down a large one."""
        tile, a_thread = TILE if maps >= MANY else OF_FEW
        columns = _power(width)
        rows = min(_power(height), max(1, tile // columns))
        together = 1
        while rows >= height and channels % (together * 2) == 0 and together * 2 * rows * columns <= TOGETHER:
            together *= 2
        warps = _warps(together * rows * columns, a_thread)
        programs, tiles = ceil_div(maps, together), ceil_div(height, rows)
        held = dict(wide, M=together, BH=rows, BW=columns, V=math.gcd(width, 4))
        self.map_means = _Launch(kernels.map_means, (programs, ), warps, **held)
        self.gate = _Launch(kernels.gate, (programs, tiles), warps, **held, **gates)
        self.map_sums = _Launch(kernels.map_sums, (programs, ), warps, **held, **gates)
        self.gate_gradients = _Launch(kernels.gate_gradients, (programs, ), warps, **held, **gates, **of_groups,
                                      BC=_power(channels), BD=min(_power(bands), max(1, rows // 8)))
        self.add_gradients = _Launch(kernels.add_gradients, (programs, tiles), warps, **held, **gates)


def _forward(x: Tensor, plan: _Plan, parameters: Sequence[Tensor]) -> tuple[Tensor, Tensor]:
    """The output, and what backward needs beside x and the parameters."""
    convs, norms, attention = _sorted(parameters, plan.groups)
    y = torch.empty_like(x)
    kept, work = x.new_empty(plan.kept, dtype=plan.wide), x.new_empty(plan.work, dtype=plan.wide)
    plan.map_means(x, work, *plan.map)
    plan.gates(kept, work, *convs, *norms, *plan.attention, *plan.kernel_sizes)
    plan.pool(x, kept, work, *plan.map, *plan.windows)
    plan.attend(kept, *attention, *plan.attention)
    plan.gate(x, kept, work, y, *plan.map, plan.attention[-1])
    return y, kept


class _FusedSCSA(torch.autograd.Function):

    @staticmethod
    def forward(ctx: Any, x: Tensor, plan: _Plan, *parameters: Tensor) -> Tensor:
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


def _backward(grad: Tensor, x: Tensor, plan: _Plan, kept: Tensor, parameters: Sequence[Tensor],
              needs_map: bool) -> tuple[Tensor | None, Sequence[Tensor]]:
    """The gradients to x, where it is needed, and to the parameters."""
    convs, norms, attention = _sorted(parameters, plan.groups)
    of_x = torch.empty_like(x) if needs_map else None
    work = x.new_empty(plan.work_backward, dtype=plan.wide)
    shares = x.new_empty(plan.shares, dtype=plan.wide)
    plan.map_sums(x, grad, kept, work, *norms, *plan.attention)
    plan.attend_backward(kept, work, shares, *attention, *plan.attention, *plan.kernel_sizes)
    plan.gate_gradients(x, kept, work, shares, attention[0], *plan.maps, *plan.windows, *plan.kernel_sizes)
    plan.gates_backward(kept, work, shares, *convs[:GROUPS], norms[0], norms[2], *plan.attention, *plan.kernel_sizes)
    if of_x is not None:
        plan.add_gradients(grad, kept, work, of_x, *plan.map, *plan.windows[:3])
    return of_x, _unflatten_dense_tensors(shares.sum(0).to(parameters[0].dtype), parameters)


def _sorted(parameters: Sequence[Tensor], groups: int) -> tuple[Sequence[Tensor], Sequence[Tensor], Sequence[Tensor]]:
    """The convolutions' weights and biases, as many as a kernel takes of each; the norms'; what the attention has."""
    weights, biases = parameters[:groups], parameters[groups:2 * groups]
    missing = GROUPS - groups
    convs = [*weights, *weights[:1] * missing, *biases, *biases[:1] * missing]
    return convs, parameters[2 * groups:-5], parameters[-5:]


def _on(device: torch.device) -> AbstractContextManager:
    """Triton launches on the current GPU."""
    return torch.cuda.device(device) if device.type == 'cuda' else nullcontext()


def _aligned(x: Tensor) -> Tensor:
    """A contiguous map, where several pixels can be loaded at once; a view of part of another may begin anywhere."""
    return x.clone() if x.data_ptr() % 16 else x


def _power(number: int) -> int:
    """The smallest power of two that holds a number."""
    return 1 << (number - 1).bit_length()


def _warps(numbers: int, a_thread: int) -> int:
    """Of 32 threads each."""
    return min(16, max(1, numbers // (32 * a_thread)))
