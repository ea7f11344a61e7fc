"""SCSA as published: the authors' numbers, parameters, initialization, memory formats, precision and export."""
import pytest
import torch

import oracles
from mmxattn.layers import SCSA


class Reference(SCSA):
    forward = SCSA.forward_reference


@pytest.mark.parametrize('form', [SCSA, Reference])
@pytest.mark.parametrize('name', ['scsa_c32_28x28.npz', 'scsa_c32_17x23.npz'])
def test_matches_authors_outputs_and_gradients(form, name):
    oracles.assert_agrees_with_reference(form(32), name, num_inputs=1)


def test_gradients_match_finite_differences():
    torch.manual_seed(0)
    layer = SCSA(8).double()
    x = torch.randn(1, 8, 9, 5, dtype=torch.double, requires_grad=True)
    assert torch.autograd.gradcheck(layer, x)


@pytest.mark.parametrize('channels', [4, 64, 512])
def test_has_16_parameters_per_channel(channels):
    assert sum(p.numel() for p in SCSA(channels).parameters()) == 16 * channels


@pytest.mark.parametrize('arguments, message', [
    (dict(channels=30), 'channels=30 and 4 kernel sizes'),
    (dict(channels=32, kernel_sizes=(3, 5, 7)), 'channels=32 and 3 kernel sizes'),
    (dict(channels=32, kernel_sizes=(3, 5, 7, 8)), r'kernel_sizes must be odd ints .*, got \(3, 5, 7, 8\)'),
    (dict(channels=32, kernel_sizes=5), 'kernel_sizes must be odd ints .*, got 5'),
    (dict(channels=32, window_size=0), 'window_size must be at least 1'),
])
def test_invalid_arguments_raise(arguments, message):
    with pytest.raises(ValueError, match=message):
        SCSA(**arguments)


def test_input_with_other_channels_raises():
    with pytest.raises(ValueError, match=r'must have shape \(B, 8, H, W\), got \(1, 4, 5, 5\)'):
        SCSA(8)(torch.randn(1, 4, 5, 5))


@pytest.mark.parametrize('arrange', [
    lambda x: x.contiguous(memory_format=torch.channels_last),
    lambda x: x.transpose(2, 3).contiguous().transpose(2, 3),
], ids=['channels_last', 'transposed'])
def test_memory_format_is_preserved(arrange):
    torch.manual_seed(0)
    layer, x = SCSA(16), torch.randn(2, 16, 9, 15)
    other = arrange(x)
    torch.testing.assert_close(layer(other), layer(x))
    assert layer(other).stride() == other.stride()


@pytest.mark.parametrize('dtype', [torch.bfloat16, torch.float16])
def test_autocast_preserves_dtype_and_is_accurate(dtype):
    torch.manual_seed(0)
    layer, x = SCSA(32), torch.randn(2, 32, 28, 30) * 100
    expected = layer(x)
    half = x.to(dtype).requires_grad_()
    with torch.autocast('cpu', dtype=dtype):
        out = layer(half)
    assert out.dtype == dtype
    assert oracles.relative_error(out.double(), expected) < 4 * torch.finfo(dtype).eps
    out.float().sum().backward()
    assert half.grad.dtype == dtype and half.grad.isfinite().all()


def test_float16_sums_do_not_overflow():
    torch.manual_seed(0)
    layer = SCSA(8).half()
    assert layer(torch.full((1, 8, 40, 50), 3e4, dtype=torch.float16)).isfinite().all()


def test_export_with_dynamic_batch_and_size():
    torch.manual_seed(0)
    layer = SCSA(8).eval()
    # At least two windows, because torch.export specializes on a size of 1.
    batch, height, width = (torch.export.Dim(name, min=least) for name, least in (('b', 2), ('h', 14), ('w', 14)))
    program = torch.export.export(layer, (torch.randn(2, 8, 20, 24), ),
                                  dynamic_shapes=[{0: batch, 2: height, 3: width}])
    assert not any('mmxattn' in str(node.target) for node in program.graph.nodes)
    x = torch.randn(3, 8, 31, 17)
    torch.testing.assert_close(program.module()(x), layer(x))
