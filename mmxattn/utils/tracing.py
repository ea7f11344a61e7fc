"""Detect tracing and compilation, and compute sizes that can be exported."""
import torch

from .torch_compat import is_compiling

__all__ = ['ceil_div', 'is_traced']


def is_traced() -> bool:
    """Check whether operators are recorded by torch.compile, torch.export or torch.jit.trace."""
    return is_compiling() or torch.jit.is_tracing()


def ceil_div(a: int, b: int) -> int:
    """Return ``ceil(a / b)``. ``-(-a // b)`` would be wrong in ONNX, which rounds integer division toward zero."""
    return (a + b - 1) // b
