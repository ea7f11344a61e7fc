"""SCSA on a CPU in inference: the loops of ``cpu_loops.py``, compiled by Numba, in PyTorch's own threads.

The numbers are those of the plain form in ``scsa.py`` but for rounding. With gradients the plain form has autograd
functions of its own, ``gated_maps.py``; so has a layer in training mode without gradients, for checkpointing goes on
from what it computes then, and has to find the same numbers again.
"""
import ctypes
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from ...utils.tracing import ceil_div, needs_own_gradient
from ..compiled import in_threads, loaded
from .kernel_args import EXCITE, GATES, MEANS, POOL, SQUEEZE, Address, Told
from .parameters import parameters_of

if TYPE_CHECKING:
    from ...layers.scsa import SCSA

__all__ = ['run']

A_THREAD = 2**15  # numbers for each thread at least, as in PyTorch's operators
EVEN_ENOUGH = 4  # channel groups for each thread, whatever is left over
# Of the attention for each pixel of the map; with more, and with more than these pixels in the pooled map, the plain
# form's products of matrices are faster. Windows of 7 have fewer than these up to 4900 channels.
MULTIPLY_ADDS, POOLED_PIXELS = 100, 16


def run(layer: 'SCSA', x: Tensor) -> Tensor | None:
    """The layer's output where there are loops for it: float32, in eval mode, where no gradient is wanted.

    Args:
        layer: as published; its arguments and parameters count.
        x: (B, C, H, W) on a CPU, checked and contiguous.

    Returns:
        (B, C, H, W), or None where the plain form has to do; where Numba is not installed too.
    """
    if layer.training or x.dtype != torch.float32 or not x.numel():
        return None
    batch, channels, height, width = x.shape
    groups = len(layer.kernel_sizes)
    if channels == 1 or channels // groups * min(height, width) == 1:  # a norm of one value raises
        return None
    window = layer.window(x)
    down, across = height // window[0], width // window[1]
    if channels > MULTIPLY_ADDS * window[0] * window[1] and down * across > POOLED_PIXELS:
        return None
    parameters = parameters_of(layer, x.device)
    if parameters is None or parameters[0].dtype != torch.float32 or needs_own_gradient(x, *parameters):
        return None
    loops = loaded('mmxattn.ops.scsa.cpu_kernels')
    if loops is None:
        return None

    maps = batch * channels
    in_place = layer.inplace and not x.requires_grad and not layer._forward_hooks  # which are told what was given
    y = x if in_place else torch.empty_like(x)
    work = x.new_empty(maps * (height + width + down * across))
    rows = work.data_ptr()
    columns = rows + maps * height * work.element_size()
    pooled = columns + maps * width * work.element_size()
    addresses = (Address * len(parameters))(*[parameter.data_ptr() for parameter in parameters])
    kernel_sizes = (Address * groups)(*layer.kernel_sizes)
    told = Told(x.data_ptr(), y.data_ptr(), rows, columns, pooled, ctypes.addressof(addresses),
                ctypes.addressof(kernel_sizes), batch, channels, height, width, groups, down, across, *window, SQUEEZE,
                layer.norm_h.eps, layer.norm_w.eps, layer.norm.eps, layer.limit)
    threads = min(torch.get_num_threads(), ceil_div(x.numel() + maps * channels, A_THREAD))
    for stage in _stages(batch * groups, threads):
        told.stage = stage
        in_threads(loops.address, ctypes.addressof(told), threads)
    return y


def _stages(groups: int, threads: int) -> tuple[int, ...]:
    """What is called one after another, for so many channel groups in all images."""
    even = groups % threads == 0 or groups >= EVEN_ENOUGH * threads
    return (SQUEEZE, EXCITE) if even else (MEANS, GATES, POOL, EXCITE)
