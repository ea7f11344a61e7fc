import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

import oracles
from mmxattn.layers import SCSA


@pytest.mark.parametrize('name', ['scsa_c32_28x28.npz', 'scsa_c32_17x23.npz'])
def test_agrees_with_the_authors_numbers(name):
    oracles.assert_agrees_with_reference(SCSA(32), name, num_inputs=1)


@given(st.integers(1, 30), st.integers(1, 30), st.integers(1, 5))
@settings(max_examples=25, deadline=None)
def test_agrees_with_the_paper_as_printed(height, width, groups):
    torch.manual_seed(0)
    layer = SCSA(4 * groups).double()
    x = torch.randn(2, 4 * groups, height, width, dtype=torch.double)
    assert torch.allclose(layer(x), oracles.scsa(layer, x), rtol=1e-9, atol=1e-12)


def test_gradients():
    torch.manual_seed(0)
    layer = SCSA(8).double()
    x = torch.randn(1, 8, 9, 5, dtype=torch.double, requires_grad=True)
    assert torch.autograd.gradcheck(layer, x)


@pytest.mark.parametrize('channels', [4, 64, 512])
def test_sixteen_parameters_a_channel(channels):
    assert sum(p.numel() for p in SCSA(channels).parameters()) == 16 * channels


def test_zero_init_is_the_identity_and_can_leave_it():
    torch.manual_seed(0)
    layer = SCSA(16, zero_init=True)
    x = torch.randn(2, 16, 25, 42)
    assert torch.equal(layer(x), x)
    layer(x).pow(2).sum().backward()
    for parameter in (layer.norm_h.weight, layer.norm_w.bias, layer.v.weight):
        assert parameter.grad.abs().sum() > 0


@pytest.mark.parametrize('arguments, message', [
    (dict(channels=30), 'channels=30'),
    (dict(channels=0), 'channels=0'),
    (dict(channels=32, kernel_sizes=(3, 5, 7)), r'kernel_sizes=\(3, 5, 7\)'),
    (dict(channels=32, kernel_sizes=(3, 5, 7, 8)), r'kernel_sizes=\(3, 5, 7, 8\)'),
    (dict(channels=32, window_size=0), 'window_size=0'),
])
def test_wrong_arguments_are_named(arguments, message):
    with pytest.raises(ValueError, match=message):
        SCSA(**arguments)
