"""How fast a layer could be at best on this machine, and how many bytes it moves.

No program is faster than the bytes that it has to move at the rate of a plain copy, or than its multiply-adds at the
rate of a plain matrix product. The floor is the larger of the two times. Maps that fit into a cache may move faster.
"""

import math
from dataclasses import dataclass

import torch
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from mmxattn.profiling import timing as speed

COPIED = 256 * 2**20  # bytes, well beyond any cache
SIDES = dict(cuda=8192, cpu=1024)  # of the square matrices, large enough for the full rate

aten = torch.ops.aten
ALLOCATE = {aten.empty, aten.empty_like, aten.empty_strided, aten.new_empty, aten.new_empty_strided}
OVERWRITE = {  # their first argument gives a shape, or a place to write to, and is not read
    aten.zeros_like, aten.ones_like, aten.full_like, aten.new_zeros, aten.new_ones, aten.new_full, aten.zero_,
    aten.fill_, aten.copy_,
}


@dataclass(frozen=True)
class Rates:
    """What a device does at best, in one number format.

    Attributes:
        bytes_per_second: Bytes read plus bytes written.
        macs_per_second: Multiply-adds, each counted once.
    """

    bytes_per_second: float
    macs_per_second: float


def rates(device, dtype):
    """Measure both rates.

    Args:
        device (str | torch.device): The device.
        dtype (torch.dtype): The number format.

    Returns:
        Rates: As they are now, with as many threads as PyTorch uses.
    """
    return Rates(copy_bandwidth(device, dtype), matmul_rate(device, dtype))


def copy_bandwidth(device, dtype, size=COPIED, turns=7):
    """Bytes per second of a copy within the device's memory, the best of several.

    Args:
        device (str | torch.device): The device.
        dtype (torch.dtype): The number format.
        size (int): Bytes to copy.
        turns (int): Copies.

    Returns:
        float: Bytes read plus bytes written, per second.
    """
    source = torch.ones(size // dtype.itemsize, dtype=dtype, device=device)
    target = torch.empty_like(source)
    return 2 * source.nbytes / _best(lambda: target.copy_(source), device, turns)


def matmul_rate(device, dtype, side=None, turns=7):
    """Multiply-adds per second of a product of two square matrices, the best of several.

    PyTorch lets convolutions in float32 use TF32 on a GPU and products not, unless it is told otherwise.

    Args:
        device (str | torch.device): The device.
        dtype (torch.dtype): The number format.
        side (int, optional): Rows and columns; by default enough for the device.
        turns (int): Products.

    Returns:
        float: Multiply-adds per second, each counted once.
    """
    side = side or SIDES[torch.device(device).type]
    left, right = (torch.randn(side, side, device=device).to(dtype) for _ in range(2))
    return side**3 / _best(lambda: left @ right, device, turns)


def _best(function, device, turns):
    seconds, = speed.interleave([function], turns, timer=speed.timer_for(device))
    return min(seconds)


def floor(necessary_bytes, macs, rates):
    """The least time that a computation can take.

    Args:
        necessary_bytes (int): Bytes that have to be read or written.
        macs (int): Multiply-adds, each counted once.
        rates (Rates): The device's.

    Returns:
        float: Seconds.
    """
    return max(necessary_bytes / rates.bytes_per_second, macs / rates.macs_per_second)


def bytes_moved(function):
    """Bytes of all tensors that the operators called in ``function()`` read and write.

    Each operator counts as if it were alone: what it finds in a cache, or leaves there for the next, counts as moved
    too. A tensor that an operator is given twice is read once; of an expanded one, what is in memory is read. Views
    and allocation move nothing. What happens within an operator is not seen.

    Args:
        function (Callable[[], object]): Called once; a backward pass within it is counted as well.

    Returns:
        int: Bytes.
    """
    with _Traffic() as traffic:
        function()
    return traffic.bytes


class _Traffic(TorchDispatchMode):
    """Add up the bytes while it is entered."""

    bytes = 0

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        kwargs = kwargs or {}
        result = func(*args, **kwargs)
        if func.overloadpacket not in ALLOCATE:
            self.bytes += sum(_touched(x) for x in _read_and_written(func, args, kwargs, result))
        return result


def _read_and_written(func, args, kwargs, result):
    given, returned = _tensors((args, kwargs)), _tensors(result)
    storages = {_storage(x) for x in given}
    made = [x for x in returned if _storage(x) not in storages]
    arguments = func._schema.arguments
    values = dict(zip((argument.name for argument in arguments), args), **kwargs)
    changed = _tensors([values.get(argument.name) for argument in arguments
                        if argument.alias_info is not None and argument.alias_info.is_write])
    if returned and not made and not changed:  # a view
        return []
    read = _tensors((args[1:], kwargs)) if func.overloadpacket in OVERWRITE else given
    return [*read, *made, *changed]


def _tensors(tree):
    """The different tensors in nested containers."""
    return list({id(leaf): leaf for leaf in tree_leaves(tree) if isinstance(leaf, torch.Tensor)}.values())


def _storage(x):
    return x.untyped_storage()._cdata


def _touched(x):
    """Bytes of a tensor in memory: along a stride of 0 there is one element, and windows may overlap."""
    elements = math.prod(size for size, stride in zip(x.shape, x.stride()) if stride or not size)
    return min(elements * x.element_size(), x.untyped_storage().nbytes())
