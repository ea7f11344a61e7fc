import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.utils._python_dispatch import TorchDispatchMode

from mmxattn.ops import resampling
from mmxattn.ops.resampling import AveragePool, average_pool, resample

SIDES = st.integers(1, 20)


class Operators(TorchDispatchMode):
    """Takes down what operators are called."""

    def __init__(self):
        super().__init__()
        self.names = []

    def __torch_dispatch__(self, function, types, args=(), kwargs=None):
        self.names.append(function.__name__)
        return function(*args, **(kwargs or {}))


def with_gradient(function, x):
    """What a function makes of x, and the gradient of a sum with weights."""
    x = x.clone().requires_grad_()
    y = function(x)
    weights = torch.linspace(-1, 1, y.numel(), dtype=y.dtype).view_as(y)
    return y, torch.autograd.grad((y * weights).sum(), x)[0], y.grad_fn.name()


@given(st.integers(1, 2), st.integers(1, 3), SIDES, SIDES, SIDES, SIDES, st.booleans())
@settings(max_examples=50, deadline=None)
def test_is_bilinear_interpolation(batch, channels, height, width, new_height, new_width, align_corners):
    torch.manual_seed(0)
    x, size = torch.randn(batch, channels, height, width, dtype=torch.double), (new_height, new_width)
    y, gradient, name = with_gradient(lambda x: resample(x, size, align_corners=align_corners), x)
    right, right_gradient, _ = with_gradient(
        lambda x: F.interpolate(x, size=size, mode='bilinear', align_corners=align_corners), x)
    assert 'Upsample' not in name
    assert torch.allclose(y, right, atol=1e-12) and torch.allclose(gradient, right_gradient, atol=1e-12)


@given(st.integers(1, 2), st.integers(1, 3), SIDES, SIDES, st.integers(1, 5))
@settings(max_examples=50, deadline=None)
def test_is_average_pooling(batch, channels, height, width, window):
    torch.manual_seed(0)
    x = torch.randn(batch, channels, height, width, dtype=torch.double)
    y, gradient, name = with_gradient(lambda x: average_pool(x, window), x)
    right, right_gradient, _ = with_gradient(lambda x: F.avg_pool2d(x, window, ceil_mode=True), x)
    assert ('AvgPool' in name) == (height % window > 0)
    assert torch.allclose(y, right, atol=1e-12) and torch.allclose(gradient, right_gradient, atol=1e-12)
    assert torch.equal(AveragePool(window)(x), y)


@pytest.mark.parametrize('size', [(8, 10), (9, 11), (16, 20), (25, 33), (100, 168)])
def test_what_is_constant_stays_what_it_is(size):
    """Weights sum to one without rounding, so that a start as the identity is one to the bit."""
    assert torch.equal(resample(torch.ones(1, 2, 8, 10), size), torch.ones(1, 2, *size))


@pytest.mark.parametrize('mode', ['nearest', 'bicubic'])
def test_other_modes_are_the_operators(mode):
    x, corners = torch.randn(1, 2, 5, 6), None if mode == 'nearest' else False
    assert torch.equal(resample(x, (7, 8), mode, corners), F.interpolate(x, (7, 8), mode=mode, align_corners=corners))


@pytest.mark.parametrize('x', [
    torch.randn(1, 2, 70, 60), torch.randn(1, 2, 6, 8).bfloat16(), torch.randn(0, 2, 6, 8),
    torch.randn(1, 8, 6, 6).contiguous(memory_format=torch.channels_last)
], ids=['large', 'half', 'empty', 'channels last'])
def test_what_is_left_to_the_operators(x):
    size = (2 * x.shape[2], 2 * x.shape[3])
    right = F.interpolate(x, size=size, mode='bilinear', align_corners=False)
    y = resample(x, size)
    assert torch.equal(y, right) and y.stride() == right.stride() and y.dtype == x.dtype
    fine = torch.zeros_like(right).copy_(right)
    pooled, right = average_pool(fine, 2), F.avg_pool2d(fine, 2)
    assert torch.equal(pooled, right) and pooled.stride() == right.stride() and pooled.dtype == x.dtype


def test_who_looks_at_operators_sees_those_of_the_published_form():
    x = torch.randn(1, 2, 6, 8)
    with Operators() as seen:
        average_pool(resample(x, (12, 16)), 2)
    assert [name.split('.')[0] for name in seen.names] == ['upsample_bilinear2d', 'avg_pool2d']


def test_autocast_does_not_round():
    x = torch.randn(1, 2, 6, 8)
    with torch.autocast('cpu'):
        assert resample(x, (12, 16)).dtype == average_pool(x, 2).dtype == torch.float32


def test_matrices_made_in_inference_serve_in_training():
    resampling.interpolation.cache_clear()
    resampling.pooling.cache_clear()
    x = torch.randn(1, 2, 6, 8)
    with torch.inference_mode():
        y, pooled = resample(x, (12, 16)), average_pool(x, 2)
    x.requires_grad_()
    again, pooled_again = resample(x, (12, 16)), average_pool(x, 2)
    (again.sum() + pooled_again.sum()).backward()
    assert torch.equal(y, again) and torch.equal(pooled, pooled_again)
    assert resampling.interpolation.cache_info().hits and resampling.pooling.cache_info().hits
    # either resampling has weights that sum to the number of new pixels for each old one
    assert torch.allclose(x.grad.sum(), torch.tensor(2 * (12 * 16 + 3 * 4.)))
