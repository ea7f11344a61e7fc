"""SCSA in a few passes over its map, without PyTorch's operators: on a GPU as Triton's kernels."""
from .choice import fused_scsa, without_kernels

__all__ = ['fused_scsa', 'without_kernels']
