"""Loops that Numba compiles for a CPU, in the threads that PyTorch's operators run in."""
from .loading import loaded
from .threads import in_threads

__all__ = ['in_threads', 'loaded']
