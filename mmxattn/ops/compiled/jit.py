"""Building blocks of Numba kernels: compiler flags, vectorizable math, pointers and the C entry point."""
import ctypes
import hashlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from llvmlite import ir
from numba import carray, cfunc, from_dtype, njit, types
from numba.extending import intrinsic

__all__ = ['as_c_function', 'exp2', 'float_array', 'int_array', 'jit', 'maximum', 'num_threads', 'source_digest',
           'thread_num']

# Sums may be reordered and fused with products. NaN and infinity are still handled correctly.
OPTIONS: dict[str, Any] = dict(fastmath={'reassoc', 'contract', 'nsz', 'arcp', 'afn'}, error_model='numpy')
jit = njit(**OPTIONS)

# Chebyshev interpolant of 2**x on [-1/2, 1/2], exact to rounding in float32; coefficients of x**6 down to 1.
EXP2 = tuple(map(np.float32, (1.5461445e-4, 1.3400428e-3, 9.618057e-3, 5.550327e-2, 2.402265e-1, 6.931472e-1, 1)))

thread_num = types.ExternalFunction('omp_get_thread_num', types.int32())
num_threads = types.ExternalFunction('omp_get_num_threads', types.int32())


@jit
def exp2(x):
    """Compute 2**x within the range of normal float32. LLVM vectorizes it, unlike a call to the C library."""
    x = min(max(x, np.float32(-126)), np.float32(126))
    whole = np.floor(x + np.float32(0.5))
    rest = x - whole
    y = EXP2[0]
    y = y * rest + EXP2[1]
    y = y * rest + EXP2[2]
    y = y * rest + EXP2[3]
    y = y * rest + EXP2[4]
    y = y * rest + EXP2[5]
    y = y * rest + EXP2[6]
    exponent = (np.int32(whole) + np.int32(127)) << np.int32(23)
    return y * np.int32(exponent).view(np.float32)


@intrinsic
def _maxnum(typing: Any, a: Any, b: Any) -> Any:
    """Return the larger of two float32, or either if one is NaN. LLVM does not vectorize Python's max."""
    def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        float32 = ir.FloatType()
        function_type = ir.FunctionType(float32, (float32, float32))
        maxnum = builder.module.declare_intrinsic('llvm.maxnum', (float32, ), function_type)
        return builder.call(maxnum, args, fastmath=('nnan', 'nsz'))

    return types.float32(types.float32, types.float32), codegen


@jit
def maximum(x):
    """Return the largest element of a float32 array, or any value if one is NaN."""
    largest = x[0]
    for i in range(x.shape[0]):
        largest = _maxnum(largest, x[i])
    return largest


@intrinsic
def _float_pointer(typing: Any, address: Any) -> Any:
    return types.CPointer(types.float32)(types.intp), _to_pointer


@intrinsic
def _int_pointer(typing: Any, address: Any) -> Any:
    return types.CPointer(types.intp)(types.intp), _to_pointer


def _to_pointer(context: Any, builder: Any, signature: Any, args: Any) -> Any:
    return builder.inttoptr(args[0], context.get_value_type(signature.return_type))


@jit
def float_array(address, shape):
    """View memory as a contiguous float32 array."""
    return carray(_float_pointer(address), shape)


@jit
def int_array(address, shape):
    """View memory as a contiguous array of intp."""
    return carray(_int_pointer(address), shape)


def as_c_function(function: Callable, args: type[ctypes.Structure], cache: bool) -> Any:
    """Compile a Python function to a C function.

    Args:
        function: Function that takes a pointer to ``args`` and returns nothing.
        args: Structure type of the arguments.
        cache: Whether to cache the machine code on disk.

    Returns:
        Numba's C callback, which has an ``address``.

    Raises:
        RuntimeError: If ``cache`` is True and no directory is writable.
    """
    return cfunc(types.void(types.CPointer(from_dtype(np.dtype(args)))), cache=cache, **OPTIONS)(function)


def source_digest(file: str) -> str:
    """Hash the source of all modules in a file's folder and in this one.

    Numba's cache only detects changes to the function's own file. A kernel that closes over this digest is recompiled
    when any function that it calls changes.
    """
    paths = [path for folder in (file, __file__) for path in sorted(Path(folder).parent.glob('*.py'))]
    return hashlib.sha256(b''.join(path.read_bytes() for path in paths)).hexdigest()
