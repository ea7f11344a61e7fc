"""Bytes counted by hand; how fast this machine is cannot fail a test."""

import pytest
import torch

from benchmarks.layer_benchmark import Rates, bytes_moved, copy_bandwidth, matmul_rate
from benchmarks.layer_benchmark import roofline as floor

A, B = torch.ones(4, 8, 16), torch.ones(4, 8, 16)
MAP = A.nbytes
GATE = torch.ones(4, 8, 1)


def test_a_sum_reads_two_and_writes_one():
    assert bytes_moved(lambda: A + B) == 3 * MAP


def test_a_tensor_given_twice_is_read_once():
    assert bytes_moved(lambda: A * A) == 2 * MAP


def test_a_mean_writes_little():
    assert bytes_moved(lambda: A.mean(2)) == MAP + GATE.nbytes


@pytest.mark.parametrize('gate', [GATE, GATE.expand(4, 8, 16)])
def test_a_broadcast_gate_is_as_small_as_it_is_in_memory(gate):
    assert bytes_moved(lambda: A * gate) == 2 * MAP + GATE.nbytes


def test_overlapping_windows_are_no_more_than_their_memory():
    windows = torch.arange(10.).unfold(0, 3, 1)  # (8, 3)
    assert bytes_moved(lambda: windows.clone()) == 10 * 4 + 8 * 3 * 4


@pytest.mark.parametrize('function', [
    lambda: A.transpose(0, 1), lambda: A.reshape(32, 16)[3:], lambda: A.detach(), lambda: torch.empty_like(A),
    lambda: A.new_empty(5), lambda: None])
def test_views_and_allocation_move_nothing(function):
    assert bytes_moved(function) == 0


def test_in_place_reads_and_writes_and_filling_only_writes():
    x = torch.ones(4, 8, 16)
    assert bytes_moved(lambda: x.add_(B)) == 3 * MAP
    assert bytes_moved(lambda: x.copy_(B)) == 2 * MAP
    assert bytes_moved(lambda: x.zero_()) == bytes_moved(lambda: torch.zeros_like(x)) == MAP


def test_the_backward_pass_counts():
    x, y = A.clone().requires_grad_(), B.clone().requires_grad_()
    out, gradient = x * y, torch.ones_like(A)
    # each factor's gradient: read the output's and the other factor, write
    assert bytes_moved(lambda: torch.autograd.grad(out, [x, y], gradient)) == 6 * MAP


def test_elements_count_with_their_size():
    half = A.half()
    assert bytes_moved(lambda: half + half.clone()) == (2 + 3) * MAP // 2


def test_the_floor_is_the_larger_of_two_times():
    rates = Rates(bytes_per_second=10, macs_per_second=100)
    assert floor(50, 100, rates) == 5
    assert floor(50, 900, rates) == 9


@pytest.mark.parametrize('dtype', [torch.float32, torch.bfloat16])
def test_rates_are_positive(dtype):
    assert copy_bandwidth('cpu', dtype, size=2**16, turns=2) > 0
    assert matmul_rate('cpu', dtype, side=16, turns=2) > 0
