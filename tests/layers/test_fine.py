import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

import oracles
from mmxattn.layers import FINE

RELEASED = dict(attention='linear', ffn_ratio=4, modulation='direct', position_embedding=True)


def maps(channels, low, high, dtype=torch.double):
    torch.manual_seed(0)
    return torch.randn(2, channels, *low, dtype=dtype), torch.randn(2, channels, *high, dtype=dtype)


def test_agrees_with_the_authors_numbers():
    oracles.assert_agrees_with_reference(FINE(64, **RELEASED), 'fine_released_c64_first.npz', num_inputs=2)


@given(st.integers(1, 9), st.integers(1, 9), st.integers(0, 9), st.integers(0, 9), st.sampled_from([1, 2, 3]),
       st.sampled_from([1, 2, 4]), st.sampled_from([0, 2]))
@settings(max_examples=30, deadline=None)
def test_agrees_with_the_paper_as_printed(height, width, more_rows, more_columns, k, r, ffn_ratio):
    low, high = maps(8, (height + more_rows, width + more_columns), (height, width))
    layer = FINE(8, k, r, num_heads=2, ffn_ratio=ffn_ratio).double()
    assert torch.allclose(layer(low, high), oracles.fine(layer, low, high), rtol=1e-9, atol=1e-10)


def test_without_ffn_the_map_is_the_projections_output():
    low, high = maps(16, (8, 8), (4, 4))
    layer = FINE(16, ffn_ratio=0).double()
    assert not any(key.startswith(('norm', 'linear')) for key in layer.state_dict())
    torch.nn.init.zeros_(layer.out_proj.weight)
    torch.nn.init.constant_(layer.out_proj.bias, 2)
    assert torch.allclose(layer(low, high), 3 * low)


@pytest.mark.parametrize('order', [torch.contiguous_format, torch.channels_last])
@pytest.mark.parametrize('k', [1, 2])
def test_inference_works_in_place_on_nothing_but_its_own(k, order):
    layer, (low, high) = FINE(8, k, num_heads=2).double(), maps(8, (12, 10), (6, 5))
    low, high = (x.contiguous(memory_format=order) for x in (low, high))
    given, right = (low.clone(), high.clone()), layer(low, high)
    with torch.no_grad():
        inferred = layer(low, high)
    assert torch.equal(inferred, right) and inferred.stride() == right.stride()
    assert torch.equal(low, given[0]) and torch.equal(high, given[1])


@pytest.mark.parametrize('order', [torch.contiguous_format, torch.channels_last])
@pytest.mark.parametrize('images', [1, 2])
@pytest.mark.parametrize('ffn_ratio', [0, 2])
def test_the_modulation_map_has_the_low_maps_order_in_memory(ffn_ratio, images, order):
    low, high = torch.randn(images, 8, 12, 10), torch.randn(images, 8, 6, 5)
    low, high = (x.contiguous(memory_format=order) for x in (low, high))
    assert FINE(8, ffn_ratio=ffn_ratio).modulation_map(low, high).stride() == low.stride()


def test_modulations():
    low, high = maps(16, (7, 9), (4, 5))
    layer = FINE(16).double()
    residual = layer(low, high)
    layer.modulation = 'none'
    m = layer(low, high)
    layer.modulation = 'direct'
    assert torch.allclose(layer(low, high), low * m)
    assert torch.allclose(residual, low * m + low)


def test_published_parameter_count():
    assert sum(p.numel() for p in FINE(256).parameters()) == 527_104


@pytest.mark.parametrize('channels, heads', [(8, 1), (16, 1), (64, 4), (256, 16)])
def test_a_head_has_sixteen_channels_by_default(channels, heads):
    assert FINE(channels).num_heads == heads


def test_each_side_has_the_embedding_of_its_own_grid():
    """Low tokens on a grid twice as fine see other embeddings than high ones at the same place."""
    low, high = maps(16, (8, 8), (4, 4))
    layer = FINE(16, sampling_ratio=1, position_embedding=True).double()
    plain = FINE(16, sampling_ratio=1).double()
    plain.load_state_dict(layer.state_dict())
    assert layer(low, high).shape == low.shape
    assert not torch.allclose(layer(low, high), plain(low, high))


def test_zero_init_is_the_identity_and_can_leave_it():
    low, high = maps(32, (13, 17), (7, 9), torch.float)
    layer = FINE(32, zero_init=True)
    out = layer(low, high)
    assert torch.equal(out, low)
    out.pow(2).sum().backward()
    assert layer.scale.grad.abs().sum() > 0


@pytest.mark.parametrize('attention', ['softmax', 'linear'])
def test_gradients(attention):
    torch.manual_seed(0)
    layer = FINE(4, attention=attention, position_embedding=True).double()
    low = torch.randn(1, 4, 5, 3, dtype=torch.double, requires_grad=True)
    high = torch.randn(1, 4, 3, 2, dtype=torch.double, requires_grad=True)
    assert torch.autograd.gradcheck(layer, (low, high))


@pytest.mark.parametrize('arguments, message', [
    (dict(channels=40), 'channels=40 is not divisible by 16'),
    (dict(channels=64, num_heads=5), 'num_heads=5'),
    (dict(channels=64, attention='cosine'), "attention='cosine'"),
    (dict(channels=64, modulation='gate'), "modulation='gate'"),
    (dict(channels=64, kernel_size=0), 'kernel_size=0'),
    (dict(channels=6, num_heads=1, position_embedding=True), 'channels=6'),
    (dict(channels=64, modulation='direct', zero_init=True), "not 'direct'"),
])
def test_wrong_arguments_are_named(arguments, message):
    with pytest.raises(ValueError, match=message):
        FINE(**arguments)


def test_maps_that_do_not_fit_are_named():
    layer = FINE(16).double()
    low, high = maps(16, (8, 8), (4, 4))
    with pytest.raises(ValueError, match=r'low map \(4, 4\) is smaller than the high map \(8, 8\)'):
        layer(high, low)
    with pytest.raises(ValueError, match='16 channels, the high map 8'):
        layer(low, high[:, :8])
