"""Where SCSA is computed without PyTorch's operators, and where not."""
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from torch import Tensor

from ...utils.tracing import is_observed
from . import cpu as on_cpu
from . import gpu as on_gpu

if TYPE_CHECKING:
    from ...layers.scsa import SCSA

__all__ = ['fused_scsa', 'without_kernels']

_switched_off = False


@contextmanager
def without_kernels() -> Iterator[None]:
    """A context in which layers compute in their plain form everywhere."""
    global _switched_off
    before, _switched_off = _switched_off, True
    try:
        yield
    finally:
        _switched_off = before


def fused_scsa(layer: 'SCSA', x: Tensor) -> Tensor | None:
    """The layer's output where it is computed without PyTorch's operators: on a GPU with its gradients.

    That is for the layer of the paper and not for its ablations; on a GPU with Triton, on a CPU with Numba and in
    inference. Compilers fuse operators by themselves, and what looks at operators gets to see them.

    Args:
        layer: whose arguments and parameters count.
        x: (B, C, H, W), checked.

    Returns:
        (B, C, H, W), or None where the plain form has to do.
    """
    if _switched_off or not layer.as_published or is_observed(x) or not x.is_contiguous():
        return None
    if x.is_cuda:
        return on_gpu.run(layer, x) if on_gpu.runs_kernels(x.device) else None
    return on_cpu.run(layer, x) if x.device.type == 'cpu' else None
