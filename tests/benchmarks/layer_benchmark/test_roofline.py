"""Memory traffic of simple operators, and the roofline."""

import pytest
import torch

from benchmarks.layer_benchmark import PeakRates, bytes_moved, matmul_rate, memory_bandwidth, roofline_time

A, B = torch.ones(4, 8, 16), torch.ones(4, 8, 16)
MAP = A.nbytes
GATE = torch.ones(4, 8, 1)


def test_sum_reads_two_tensors_and_writes_one():
    assert bytes_moved(lambda: A + B) == 3 * MAP


def test_repeated_argument_is_read_once():
    assert bytes_moved(lambda: A * A) == 2 * MAP


def test_mean_writes_its_result_only():
    assert bytes_moved(lambda: A.mean(2)) == MAP + GATE.nbytes


@pytest.mark.parametrize('gate', [GATE, GATE.expand(4, 8, 16)])
def test_expanded_tensor_counts_its_memory(gate):
    assert bytes_moved(lambda: A * gate) == 2 * MAP + GATE.nbytes


def test_overlapping_windows_count_their_memory():
    windows = torch.arange(10.).unfold(0, 3, 1)  # (8, 3)
    assert bytes_moved(lambda: windows.clone()) == 10 * 4 + 8 * 3 * 4


@pytest.mark.parametrize('function', [
    lambda: A.transpose(0, 1), lambda: A.reshape(32, 16)[3:], lambda: A.detach(), lambda: torch.empty_like(A),
    lambda: A.new_empty(5), lambda: None])
def test_views_and_allocation_move_nothing(function):
    assert bytes_moved(function) == 0


def test_inplace_operators_count_reads_and_writes():
    x = torch.ones(4, 8, 16)
    assert bytes_moved(lambda: x.add_(B)) == 3 * MAP
    assert bytes_moved(lambda: x.copy_(B)) == 2 * MAP
    assert bytes_moved(lambda: x.zero_()) == bytes_moved(lambda: torch.zeros_like(x)) == MAP


def test_backward_pass_is_included():
    x, y = A.clone().requires_grad_(), B.clone().requires_grad_()
    out, gradient = x * y, torch.ones_like(A)
    # gradient of each factor: read the gradient of the output and the other factor, write
    assert bytes_moved(lambda: torch.autograd.grad(out, [x, y], gradient)) == 6 * MAP


def test_bytes_depend_on_the_element_size():
    half = A.half()
    assert bytes_moved(lambda: half + half.clone()) == (2 + 3) * MAP // 2


def test_custom_operators_have_unknown_traffic():
    @torch.library.custom_op('mmxattn_test::double', mutates_args=())
    def double(x: torch.Tensor) -> torch.Tensor:
        return 2 * x

    assert bytes_moved(lambda: double(A)) is None


def test_roofline_is_the_larger_of_two_times():
    peak = PeakRates(bytes_per_second=10, macs_per_second=100)
    assert roofline_time(50, 100, peak) == 5
    assert roofline_time(50, 900, peak) == 9


@pytest.mark.parametrize('dtype', [torch.float32, torch.bfloat16])
def test_measured_rates_are_positive(dtype):
    assert memory_bandwidth('cpu', dtype, size=2**16, turns=2) > 0
    assert matmul_rate('cpu', dtype, side=16, turns=2) > 0
