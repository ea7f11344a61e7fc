"""Whether a compiler or an exporter looks on: it fuses operators by itself, and is given the plain ones."""
import torch

from .older_torch import is_compiling

__all__ = ['is_traced']


def is_traced() -> bool:
    """Whether operators are recorded (torch.compile, torch.export, torch.jit.trace), and not only carried out."""
    return is_compiling() or torch.jit.is_tracing()
