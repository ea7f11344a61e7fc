"""What functions that Numba compiles are made with: arithmetic, memory, threads, and how C calls them."""
import ctypes
import hashlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from numba import cfunc, from_dtype, njit, types
from numba.extending import intrinsic

__all__ = ['POWER', 'as_c', 'floats_at', 'loops', 'number_of_threads', 'thread_number', 'version_of',
           'whole_numbers_at']

# Sums in any order, and products contracted into them; but what is not finite stays what it is.
ARITHMETIC: dict[str, Any] = dict(fastmath={'reassoc', 'contract', 'nsz', 'arcp', 'afn'}, error_model='numpy')
loops = njit(**ARITHMETIC)

# of 2**x on [-1/2, 1/2], from x**6 on: the Chebyshev interpolant, to rounding
POWER = tuple(map(np.float32, (1.5461445e-4, 1.3400428e-3, 9.618057e-3, 5.550327e-2, 2.402265e-1, 6.931472e-1, 1)))

thread_number = types.ExternalFunction('omp_get_thread_num', types.int32())
number_of_threads = types.ExternalFunction('omp_get_num_threads', types.int32())


@intrinsic
def floats_at(typing: Any, address: Any) -> Any:
    """A pointer to float32."""
    return types.CPointer(types.float32)(types.intp), _to_pointer


@intrinsic
def whole_numbers_at(typing: Any, address: Any) -> Any:
    """A pointer to whole numbers."""
    return types.CPointer(types.intp)(types.intp), _to_pointer


def _to_pointer(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
    return builder.inttoptr(arguments[0], context.get_value_type(signature.return_type))


def as_c(function: Callable, told: type[ctypes.Structure], keep: bool) -> Any:
    """A function as C calls it.

    Args:
        function: of a pointer to what it is told; it returns nothing.
        told: what that is.
        keep: take it from disk where it is kept there, and keep it.

    Returns:
        Numba's C callback, with its ``address``.

    Raises:
        RuntimeError: it cannot be kept anywhere.
    """
    return cfunc(types.void(types.CPointer(from_dtype(np.dtype(told)))), cache=keep, **ARITHMETIC)(function)


def version_of(file: str) -> str:
    """A digest of all code in the folder of a file, and in this one.

    Numba compiles a function that it has kept anew when its own file changes, and not for what it takes from others.
    But what it holds in a closure counts too: let that be this.
    """
    paths = [path for folder in (file, __file__) for path in sorted(Path(folder).parent.glob('*.py'))]
    return hashlib.sha256(b''.join(path.read_bytes() for path in paths)).hexdigest()
