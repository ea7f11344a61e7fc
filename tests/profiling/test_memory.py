import os

import torch

from mmxattn.profiling.memory import peak_memory

MIB = 2**20


def test_the_worst_moment_counts_and_not_the_sum(capfd):
    def function():
        first = torch.ones(MIB // 4)  # 1 MiB of float32
        second = first.repeat(3)
        del first
        third = second[:MIB // 4].clone()  # 3 + 1 MiB are held, as before
        del second
        return third.sum().item()

    assert 4 * MIB <= peak_memory(function, 'cpu') < 4 * MIB + 4096
    os.write(2, b'still there')
    assert capfd.readouterr().err == 'still there'  # and nothing of the profiler's


def test_what_was_there_before_does_not_count():
    before = torch.ones(4 * MIB)
    assert MIB <= peak_memory(lambda: before[:MIB // 4] + 1, 'cpu') < 2 * MIB


def test_a_function_that_takes_nothing():
    assert peak_memory(lambda: None, 'cpu') == 0
