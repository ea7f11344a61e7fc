"""Where SCSA is computed without PyTorch's operators, and where not."""
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from torch import Tensor

from ..tracing import is_traced
from . import on_gpu

if TYPE_CHECKING:
    from ..scsa import SCSA

__all__ = ['fused_scsa', 'without_kernels']

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
    if _switched_off or is_traced() or not on_gpu.runs_kernels(x.device):
        return None
    return on_gpu.run(layer, x)
