"""Compile a Numba kernel, or report that it cannot run here."""
import ctypes
import functools
from importlib import import_module
from typing import Any

from .threads import openmp_function

__all__ = ['load_kernel']


@functools.cache
def load_kernel(module: str) -> Any:
    """Import a module and compile its kernel.

    Args:
        module: Dotted name of a module with a function ``compile_kernel(cache)``. It is imported here because it
            requires Numba.

    Returns:
        Numba's C callback, whose ``address`` is a C function, or None if Numba or GCC's OpenMP runtime is missing.
    """
    try:
        from llvmlite.binding import add_symbol

        functions = {name: openmp_function(name) for name in ('omp_get_thread_num', 'omp_get_num_threads')}
        if None in functions.values() or openmp_function('GOMP_parallel') is None:
            return None
        for name, function in functions.items():
            add_symbol(name, ctypes.cast(function, ctypes.c_void_p).value)  # kernels call them
        compile_kernel = import_module(module).compile_kernel
    except ImportError:
        return None
    try:
        return compile_kernel(cache=True)
    except (RuntimeError, EOFError):  # no writable cache directory, or a truncated cache file
        return compile_kernel(cache=False)
