"""SCSA in a few passes, without PyTorch's operators: on a GPU as Triton's kernels, on a CPU as Numba's loops."""
from .dispatch import fused_scsa, without_kernels

__all__ = ['fused_scsa', 'without_kernels']
