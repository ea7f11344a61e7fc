"""Run compiled code in the OpenMP threads of PyTorch's operators.

The threads of another pool would compete with PyTorch's threads, which spin for a while after each operator.
"""
import ctypes
import functools
from pathlib import Path
from typing import Any

import torch

__all__ = ['openmp_function', 'parallel']

LIBRARY = Path(torch.__file__).parent / 'lib' / 'libtorch_cpu.so'


@functools.cache
def openmp_function(name: str) -> Any:
    """Return a function of the OpenMP runtime that PyTorch is linked with, or None if it does not exist."""
    try:
        return getattr(ctypes.CDLL(str(LIBRARY)), name)  # also searches the libraries that this one depends on
    except (OSError, AttributeError):
        return None


def parallel(function: int, args: int, num_threads: int) -> None:
    """Call a C function once in each of several threads, and wait for all of them.

    Args:
        function: Address of a C function that takes one pointer and returns nothing.
        args: Pointer to pass to the function.
        num_threads: Maximum number of threads.
    """
    _gomp_parallel()(function, args, num_threads, 0)


@functools.cache
def _gomp_parallel() -> Any:
    """Return the function to which GCC compiles ``#pragma omp parallel``. LLVM's and Intel's OpenMP also have it."""
    function = openmp_function('GOMP_parallel')
    function.argtypes = [ctypes.c_void_p, ctypes.c_void_p, ctypes.c_uint, ctypes.c_uint]
    function.restype = None
    return function
