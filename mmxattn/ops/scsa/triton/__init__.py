"""SCSA as Triton kernels for NVIDIA GPUs: ``is_supported``, ``forward`` and ``backward`` on plain tensors."""
from .launch import backward, forward, is_supported, within_limits

__all__ = ['backward', 'forward', 'is_supported', 'within_limits']
