"""Run functions compiled by Numba in the threads of PyTorch's operators."""
from .loading import load_kernel
from .threads import parallel

__all__ = ['load_kernel', 'parallel']
