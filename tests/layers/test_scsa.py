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


def test_memory_kept_for_backward():
    layer, kept = SCSA(128), []
    x = torch.randn(1, 128, 35, 35, requires_grad=True)
    with torch.autograd.graph.saved_tensors_hooks(lambda tensor: kept.append(tensor) or tensor, lambda tensor: tensor):
        layer(x)
    large = [tensor for tensor in kept if tensor.numel() >= min(x.numel(), 128 * 128)]
    assert large and all(tensor.data_ptr() == x.data_ptr() for tensor in large)  # no second map, no attention map


@pytest.mark.parametrize('arrange', [
    lambda x: x.contiguous(memory_format=torch.channels_last),
    lambda x: x.transpose(2, 3).contiguous().transpose(2, 3),
])
def test_the_order_of_memory_changes_nothing(arrange):
    torch.manual_seed(0)
    layer, x = SCSA(16).double(), torch.randn(2, 16, 9, 15, dtype=torch.double)
    other = arrange(x)
    assert not other.is_contiguous()
    assert torch.allclose(layer(other), layer(x), rtol=1e-9)
    assert layer(other).stride() == other.stride()


@pytest.mark.parametrize('dtype', [torch.bfloat16, torch.float16])
def test_autocast_keeps_the_maps_type_and_is_close(dtype):
    torch.manual_seed(0)
    layer, x = SCSA(32), torch.randn(2, 32, 28, 30) * 100
    right = layer(x)
    half = x.to(dtype).requires_grad_()
    with torch.autocast('cpu', dtype=dtype):
        out = layer(half)
    assert out.dtype == dtype
    assert oracles.relative_error(out.double(), right) < 4 * torch.finfo(dtype).eps
    out.float().sum().backward()
    assert half.grad.dtype == dtype and half.grad.isfinite().all()


def test_exports_for_any_batch_and_size():
    torch.manual_seed(0)
    layer = SCSA(8).eval()
    # two windows at least: torch.export takes a size of 1 for a case of its own
    batch, height, width = (torch.export.Dim(name, min=least) for name, least in (('b', 2), ('h', 14), ('w', 14)))
    any_size = [{0: batch, 2: height, 3: width}]
    program = torch.export.export(layer, (torch.randn(2, 8, 20, 24), ), dynamic_shapes=any_size)
    x = torch.randn(3, 8, 31, 17)
    assert torch.allclose(program.module()(x), layer(x), atol=1e-6)
