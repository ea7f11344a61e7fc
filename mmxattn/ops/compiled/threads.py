"""Compiled code in the threads that PyTorch's operators run in.

Threads of another pool would wait for cores on which PyTorch's, at the end of an operator, still spin for the next.
"""
import ctypes
import functools
from pathlib import Path
from typing import Any

import torch

__all__ = ['in_threads', 'openmp']

LIBRARY = Path(torch.__file__).parent / 'lib' / 'libtorch_cpu.so'


@functools.cache
def openmp(name: str) -> Any:
    """A function of the OpenMP that PyTorch is linked with; None where it is none that a library of GCC's would be."""
    try:
        return getattr(ctypes.CDLL(str(LIBRARY)), name)  # looked for in what the library needs, too
    except (OSError, AttributeError):
        return None


def in_threads(function: int, data: int, threads: int) -> None:
    """Call compiled code in several threads at once, and wait for all of them.

    Args:
        function: address of a C function that takes a pointer and returns nothing.
        data: the pointer.
        threads: how many, at most.
    """
    _parallel()(function, data, threads, 0)


@functools.cache
def _parallel() -> Any:
    """GOMP_parallel, with which GCC compiles ``#pragma omp parallel``; LLVM's and Intel's OpenMP have it too."""
    parallel = openmp('GOMP_parallel')
    parallel.argtypes = [ctypes.c_void_p, ctypes.c_void_p, ctypes.c_uint, ctypes.c_uint]
    parallel.restype = None
    return parallel
