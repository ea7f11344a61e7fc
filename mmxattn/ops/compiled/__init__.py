"""Run functions compiled by Numba in the threads of PyTorch's operators."""
from .loading import load_kernel
from .threads import openmp_function, parallel

__all__ = ['load_kernel', 'openmp_function', 'parallel']
