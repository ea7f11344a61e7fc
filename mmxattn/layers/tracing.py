"""Whether a compiler or an exporter looks on: it fuses operators by itself, and is given the plain ones."""
import torch

__all__ = ['is_traced']


def is_traced() -> bool:
    """Whether operators are recorded (torch.compile, torch.export, torch.jit.trace), and not only carried out."""
    return torch.compiler.is_compiling() or torch.jit.is_tracing()
