"""Roofline model: lower bound of a layer's time on this machine, and the bytes that its operators move.

A layer takes at least as long as a plain copy of the bytes it must move, and as a plain matrix product with as many
multiply-adds. Maps that fit into a cache may move faster than the bound.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from mmxattn.profiling import timing

COPY_BYTES = 256 * 2**20  # much larger than any cache
MATRIX_SIDE = dict(cuda=8192, cpu=1024)  # large enough for the full rate

aten = torch.ops.aten
ALLOCATIONS = {aten.empty, aten.empty_like, aten.empty_strided, aten.new_empty, aten.new_empty_strided}
OVERWRITES = {  # the first argument is a template or a destination, and is not read
    aten.zeros_like, aten.ones_like, aten.full_like, aten.new_zeros, aten.new_ones, aten.new_full, aten.zero_,
    aten.fill_, aten.copy_,
}


@dataclass(frozen=True)
class PeakRates:
    """Peak rates of a device for one dtype.

    Attributes:
        bytes_per_second: Bytes read plus bytes written.
        macs_per_second: Multiply-adds, each counted once.
    """

    bytes_per_second: float
    macs_per_second: float


def measure_peak_rates(device: str | torch.device, dtype: torch.dtype) -> PeakRates:
    """Measure the peak rates with the current number of threads."""
    return PeakRates(memory_bandwidth(device, dtype), matmul_rate(device, dtype))


def memory_bandwidth(device: str | torch.device, dtype: torch.dtype, size: int = COPY_BYTES, turns: int = 7) -> float:
    """Measure the bandwidth of a copy within the memory of a device.

    Args:
        device: Device.
        dtype: Data type.
        size: Bytes to copy.
        turns: Number of copies. The fastest counts.

    Returns:
        Bytes read plus bytes written, per second.
    """
    source = torch.ones(size // dtype.itemsize, dtype=dtype, device=device)
    target = torch.empty_like(source)
    return 2 * source.nbytes / _min_time(lambda: target.copy_(source), device, turns)


def matmul_rate(device: str | torch.device, dtype: torch.dtype, side: int | None = None, turns: int = 7) -> float:
    """Measure the rate of a product of two square matrices.

    By default, PyTorch allows TF32 on a GPU for convolutions in float32, but not for matrix products.

    Args:
        device: Device.
        dtype: Data type.
        side: Rows and columns. Default: ``MATRIX_SIDE``.
        turns: Number of products. The fastest counts.

    Returns:
        Multiply-adds per second, each counted once.
    """
    side = side or MATRIX_SIDE[torch.device(device).type]
    left, right = (torch.randn(side, side, device=device).to(dtype) for _ in range(2))
    return side**3 / _min_time(lambda: left @ right, device, turns)


def _min_time(function, device, turns):
    seconds, = timing.interleave([function], turns, timer=timing.timer_for(device))
    return min(seconds)


def roofline_time(min_bytes: int, macs: int, peak: PeakRates) -> float:
    """Compute the lower bound of a computation's time.

    Args:
        min_bytes: Bytes that must be read or written.
        macs: Multiply-adds, each counted once.
        peak: Peak rates of the device.

    Returns:
        Seconds.
    """
    return max(min_bytes / peak.bytes_per_second, macs / peak.macs_per_second)


def bytes_moved(function: Callable[[], object]) -> int | None:
    """Add up the bytes that the operators called by a function read and write.

    Each operator counts as if it ran alone, without caches. A tensor that is passed to an operator twice is read once,
    and of an expanded tensor only the elements in memory are read. Views and allocations move nothing.

    Args:
        function: Function to call once. A backward pass inside it is counted too.

    Returns:
        Bytes, or None if an operator from outside PyTorch is called, whose memory traffic is unknown.
    """
    with _TrafficCounter() as counter:
        function()
    return counter.bytes if counter.is_complete else None


class _TrafficCounter(TorchDispatchMode):

    def __init__(self):
        super().__init__()
        self.bytes, self.is_complete = 0, True

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        kwargs = kwargs or {}
        result = func(*args, **kwargs)
        self.is_complete &= func.namespace in ('aten', 'prim')
        if func.overloadpacket not in ALLOCATIONS:
            self.bytes += sum(_bytes_in_memory(x) for x in _read_and_written(func, args, kwargs, result))
        return result


def _read_and_written(func, args, kwargs, result):
    inputs, outputs = _tensors((args, kwargs)), _tensors(result)
    storages = {x.untyped_storage().data_ptr() for x in inputs}
    new = [x for x in outputs if x.untyped_storage().data_ptr() not in storages]
    parameters = func._schema.arguments
    values = dict(zip((parameter.name for parameter in parameters), args), **kwargs)
    modified = _tensors([values.get(parameter.name) for parameter in parameters
                         if parameter.alias_info is not None and parameter.alias_info.is_write])
    if outputs and not new and not modified:  # a view
        return []
    read = _tensors((args[1:], kwargs)) if func.overloadpacket in OVERWRITES else inputs
    return [*read, *new, *modified]


def _tensors(tree) -> list[Tensor]:
    """Distinct tensors in nested containers."""
    return list({id(leaf): leaf for leaf in tree_leaves(tree) if isinstance(leaf, Tensor)}.values())


def _bytes_in_memory(x):
    """Bytes that a tensor occupies: expanded dimensions count once, and windows may overlap."""
    elements = math.prod(size for size, stride in zip(x.shape, x.stride()) if stride or not size)
    return min(elements * x.element_size(), x.untyped_storage().nbytes())
