"""Compiled code in PyTorch's threads."""
import ctypes
import threading

import pytest

from mmxattn.ops.compiled import threads


@pytest.mark.skipif(threads.openmp_function('GOMP_parallel') is None,
                    reason='PyTorch is linked with another OpenMP runtime')
@pytest.mark.parametrize('number', [1, 2, 5])
def test_every_thread_calls_the_function_once(number):
    calls = []

    @ctypes.CFUNCTYPE(None, ctypes.c_void_p)
    def function(args):
        calls.append((args, threads.openmp_function('omp_get_thread_num')(), threading.get_ident()))

    threads.parallel(ctypes.cast(function, ctypes.c_void_p).value, 1234, number)
    assert {args for args, *_ in calls} == {1234}
    assert sorted(thread for _, thread, _ in calls) == list(range(number))
    assert len({identity for *_, identity in calls}) == number


def test_missing_function_is_none():
    assert threads.openmp_function('no_such_function') is None
