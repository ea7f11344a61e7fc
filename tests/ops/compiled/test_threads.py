"""Compiled code in PyTorch's threads."""
import ctypes
import threading

import pytest

from mmxattn.ops.compiled import threads


@pytest.mark.skipif(threads.openmp('GOMP_parallel') is None, reason='PyTorch is linked with another OpenMP')
@pytest.mark.parametrize('number', [1, 2, 5])
def test_each_thread_calls_it_once(number):
    seen = []

    @ctypes.CFUNCTYPE(None, ctypes.c_void_p)
    def function(data):
        seen.append((data, threads.openmp('omp_get_thread_num')(), threading.get_ident()))

    threads.in_threads(ctypes.cast(function, ctypes.c_void_p).value, 1234, number)
    assert {data for data, *_ in seen} == {1234}
    assert sorted(thread for _, thread, _ in seen) == list(range(number))
    assert len({identity for *_, identity in seen}) == number


def test_what_is_not_there():
    assert threads.openmp('no_such_function') is None
