"""Softmax attention, by loops that Numba compiles where these are faster than PyTorch's operator."""
from .on_cpu import attention

__all__ = ['attention']
