import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.utils.flop_counter import FlopCounterMode

import oracles
from mmxattn.layers import CrossLayerAttention
from mmxattn.layers.cla import cross_layer_attention_reference, from_patches, to_patches
from mmxattn.profiling.memory import peak_memory


def make_maps(layer, fine, coarse, batch=2, dtype=torch.double):
    torch.manual_seed(0)
    embed_channels, coarse_channels = layer.mix.weight.shape[:2]
    return (torch.randn(batch, layer.project.in_channels, *fine, dtype=dtype),
            torch.randn(batch, coarse_channels, *coarse, dtype=dtype),
            torch.randn(batch, embed_channels, *coarse, dtype=dtype))


@given(st.integers(1, 11), st.integers(1, 11), st.integers(1, 5))
@settings(max_examples=25, deadline=None)
def test_patches_match_unfold_and_fold_back(height, width, size):
    torch.manual_seed(0)
    x = torch.randn(2, 3, height, width)
    padded = F.pad(x, (0, -width % size, 0, -height % size))
    patches = to_patches(x, size)
    assert torch.equal(patches, F.unfold(padded, size, stride=size).unflatten(1, (3, size**2)))
    assert torch.equal(from_patches(patches, size, height, width), x)


@given(st.integers(1, 6), st.integers(1, 6), st.integers(0, 7), st.integers(0, 7), st.integers(1, 4),
       st.sampled_from([3, 6]), st.booleans())
@settings(max_examples=40, deadline=None)
def test_aggregate_first_matches_reference(height, width, more_rows, more_columns, patch_size, fine_channels,
                                           normalisation):
    layer = CrossLayerAttention(fine_channels, 5, 4, patch_size, normalisation=normalisation).double()
    maps = make_maps(layer, (height + more_rows, width + more_columns), (height, width))
    expected = cross_layer_attention_reference(layer, *maps)
    assert torch.allclose(layer.aggregate_first(*maps), expected, rtol=1e-10, atol=1e-12)
    assert torch.allclose(layer(*maps), expected, rtol=1e-10, atol=1e-12)


def test_reference_matches_equations():
    """Patches of one pixel, so that Eq. 1 and 2 are sums over pixels."""
    layer = CrossLayerAttention(3, 5, 4, normalisation=False).double()
    fine, coarse, embedding = make_maps(layer, (4, 6), (2, 3))
    weight, bias = layer.mix.weight[:, :, 0, 0], layer.mix.bias
    correlation = torch.einsum('bcij,bckl->bcijkl', layer.project(fine), coarse)
    mixed = torch.einsum('ec,bcijkl->beijkl', weight, correlation) + bias.view(-1, 1, 1, 1, 1)
    expected = torch.einsum('beijkl,bekl->beij', mixed, embedding)
    assert torch.allclose(cross_layer_attention_reference(layer, fine, coarse, embedding), expected)


@pytest.mark.parametrize('patch_size', [1, 2, 4, 8])
def test_normalisation_scales_products(patch_size):
    layer = CrossLayerAttention(3, 5, 4, patch_size, normalisation=False).double()
    maps = make_maps(layer, (16, 24), (8, 16))
    raw = layer(*maps)
    layer.mix.bias.data /= patch_size**2  # the bias is added to the scaled correlation
    layer.normalisation = True
    num_coarse = 8 * 16 // patch_size**2
    assert torch.allclose(raw, layer(*maps) * patch_size**2 * num_coarse, rtol=1e-10)


@pytest.mark.parametrize('channels', [(8, 32, 16), (32, 16, 16)])
@pytest.mark.parametrize('patch_size', [2, 4, 8])
def test_cheaper_order_is_used(channels, patch_size):
    layer = CrossLayerAttention(*channels, patch_size)
    maps = make_maps(layer, (32, 32), (16, 16), dtype=torch.float)
    cheaper = layer.aggregation_is_cheaper((32, 32), (16, 16))
    flops = {}
    for aggregates_first in (True, False):
        layer.aggregation_is_cheaper = lambda *_, choice=aggregates_first: choice
        with FlopCounterMode(display=False) as counter:
            layer(*maps)
        flops[aggregates_first] = counter.get_total_flops()
    assert flops[cheaper] == min(flops.values())


def test_single_pixel_patches_never_build_the_correlation():
    assert CrossLayerAttention(32, 256, 256).aggregation_is_cheaper((128, 128), (16, 16))
    assert CrossLayerAttention(256, 32, 256).aggregation_is_cheaper((1, 1), (1, 1))


@pytest.mark.parametrize('aggregates_first', [True, False])
@pytest.mark.parametrize('channels', [(1, 3, 2), (3, 2, 2)])
def test_gradients_match_finite_differences(channels, aggregates_first):
    layer = CrossLayerAttention(*channels, patch_size=2).double()
    layer.aggregation_is_cheaper = lambda *_: aggregates_first
    maps = [x.requires_grad_() for x in make_maps(layer, (5, 4), (3, 2), batch=1)]
    assert torch.autograd.gradcheck(layer, maps)


@pytest.mark.parametrize('patch_size', [1, 2])
def test_memory_is_linear_in_pixels(patch_size):
    layer = CrossLayerAttention(8, 32, 32, patch_size)

    def bytes_per_pixel(side):
        maps = make_maps(layer, (side, side), (side // 4, side // 4), batch=1, dtype=torch.float)
        with torch.no_grad():
            return peak_memory(lambda: layer(*maps), 'cpu') / side**2

    assert bytes_per_pixel(256) < 1.05 * bytes_per_pixel(128)


@pytest.mark.parametrize('dtype', [torch.float16, torch.bfloat16])
@pytest.mark.parametrize('patch_size', [1, 2, 4])
def test_autocast_is_finite_and_accurate(dtype, patch_size):
    layer = CrossLayerAttention(8, 16, 16, patch_size)
    fine, coarse, embedding = make_maps(layer, (32, 32), (16, 16), dtype=torch.float)
    maps = fine * 100, coarse * 100, embedding  # the sum over coarse pixels alone is near the float16 maximum
    expected = layer(*maps)
    with torch.autocast('cpu', dtype=dtype):
        out = layer(*maps)
    assert out.isfinite().all()
    assert oracles.relative_error(out.double(), expected) < 6 * torch.finfo(dtype).eps


def test_zero_init_is_zero_and_trainable():
    layer = CrossLayerAttention(4, 6, 8, zero_init=True).double()
    out = layer(*make_maps(layer, (6, 6), (3, 3)))
    assert out.abs().max() == 0
    out.sum().backward()
    assert layer.mix.weight.grad.abs().sum() > 0


def test_patch_size_below_one_is_rejected():
    with pytest.raises(ValueError, match='patch_size must be at least 1, got 0'):
        CrossLayerAttention(4, 6, 8, patch_size=0)


def test_maps_that_do_not_fit_are_rejected():
    layer = CrossLayerAttention(4, 6, 8).double()
    fine, coarse, embedding = make_maps(layer, (6, 6), (3, 3))
    with pytest.raises(ValueError, match=r'fine must have shape \(B, 4, H, W\)'):
        layer(coarse, coarse, embedding)
    with pytest.raises(ValueError, match='must not be smaller'):
        layer(fine[:, :, :2], coarse, embedding)
    with pytest.raises(ValueError, match='same size'):
        layer(fine, coarse, embedding[:, :, :2])
