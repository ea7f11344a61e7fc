"""Compiled functions, where they are to be had."""
import ctypes
import functools
from importlib import import_module
from typing import Any

from .threads import openmp

__all__ = ['loaded']


@functools.cache
def loaded(module: str) -> Any:
    """A module's compiled function.

    Args:
        module: which is imported only now, for it needs Numba; its ``compiled(keep)`` compiles, or takes from disk
            what has been kept there.

    Returns:
        Numba's C callback, with its ``address``; None where there is no Numba, or where PyTorch's threads are not to be
        had.
    """
    try:
        from llvmlite.binding import add_symbol

        functions = {name: openmp(name) for name in ('GOMP_parallel', 'omp_get_thread_num', 'omp_get_num_threads')}
        if None in functions.values():
            return None
        for name, function in functions.items():  # compiled functions ask for two of them
            add_symbol(name, ctypes.cast(function, ctypes.c_void_p).value)
        compiled = import_module(module).compiled
    except ImportError:
        return None
    try:
        return compiled(keep=True)
    except RuntimeError:  # nowhere to keep them, neither beside the module nor in a home
        return compiled(keep=False)
