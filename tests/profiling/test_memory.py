import os

import torch

from mmxattn.profiling.memory import peak_memory

MIB = 2**20


def test_peak_memory_is_the_maximum_and_not_the_sum(capfd):
    def function():
        first = torch.ones(MIB // 4)  # 1 MiB of float32
        second = first.repeat(3)
        del first
        third = second[:MIB // 4].clone()  # 3 + 1 MiB in use, as before
        del second
        return third.sum().item()

    assert 4 * MIB <= peak_memory(function, 'cpu') < 4 * MIB + 4096
    os.write(2, b'restored')
    assert capfd.readouterr().err == 'restored'  # and no output of the profiler


def test_memory_in_use_before_is_excluded():
    before = torch.ones(4 * MIB)
    assert MIB <= peak_memory(lambda: before[:MIB // 4] + 1, 'cpu') < 2 * MIB


def test_function_without_allocations():
    assert peak_memory(lambda: None, 'cpu') == 0
