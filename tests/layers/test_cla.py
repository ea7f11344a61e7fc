import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

import oracles
from mmxattn.layers import CrossLayerAttention
from mmxattn.layers.cla import from_patches, to_patches


def pair(layer, fine, coarse, batch=2, dtype=torch.double):
    torch.manual_seed(0)
    embed, coarse_channels = layer.mix.weight.shape[:2]
    return (torch.randn(batch, layer.project.in_channels, *fine, dtype=dtype),
            torch.randn(batch, coarse_channels, *coarse, dtype=dtype), torch.randn(batch, embed, *coarse, dtype=dtype))


@given(st.integers(1, 6), st.integers(1, 6), st.integers(0, 7), st.integers(0, 7), st.integers(1, 4))
@settings(max_examples=30, deadline=None)
def test_both_orders_agree_with_the_paper_as_printed(height, width, more_rows, more_columns, patch_size):
    layer = CrossLayerAttention(3, 5, 4, patch_size).double()
    maps = pair(layer, (height + more_rows, width + more_columns), (height, width))
    literal = oracles.cla(layer, *maps)
    for aggregates_first in (True, False):
        layer.aggregates_first = lambda *_, choice=aggregates_first: choice
        assert torch.allclose(layer(*maps), literal, rtol=1e-10, atol=1e-12)


@given(st.integers(1, 11), st.integers(1, 11), st.integers(1, 5))
@settings(max_examples=25, deadline=None)
def test_patches_fold_back(height, width, size):
    x = torch.arange(2 * 3 * height * width, dtype=torch.float).view(2, 3, height, width)
    patches = to_patches(x, size)
    assert patches.shape == (2, 3, -(-height // size) * -(-width // size), size**2)
    assert torch.equal(from_patches(patches, size, height, width), x)


def test_the_cheaper_order_is_taken():
    layer = CrossLayerAttention(32, 256, 256)
    assert layer.aggregates_first(128 * 128, 16 * 16)
    assert not CrossLayerAttention(32, 256, 256, patch_size=16).aggregates_first(8 * 8, 1)


def test_gradients():
    layer = CrossLayerAttention(2, 3, 2, patch_size=2).double()
    maps = [x.requires_grad_() for x in pair(layer, (5, 4), (3, 2), batch=1)]
    assert torch.autograd.gradcheck(layer, maps)


def test_memory_does_not_grow_with_the_product_of_the_maps():
    """At 128x128 with 32x32 the literal correlation of 64 channels alone would take 4 GiB."""
    layer = CrossLayerAttention(8, 64, 32)
    maps = pair(layer, (128, 128), (32, 32), batch=1, dtype=torch.float)
    sizes = []

    class Record(torch.overrides.TorchFunctionMode):

        def __torch_function__(self, function, types, args=(), kwargs=None):
            out = function(*args, **(kwargs or {}))
            if isinstance(out, torch.Tensor):
                sizes.append(out.numel())
            return out

    with Record():
        layer(*maps)
    assert sizes and max(sizes) <= 64 * 128 * 128


def test_zero_init_gives_zero_and_can_leave_it():
    layer = CrossLayerAttention(4, 6, 8, zero_init=True).double()
    out = layer(*pair(layer, (6, 6), (3, 3)))
    assert out.abs().max() == 0
    out.sum().backward()
    assert layer.mix.weight.grad.abs().sum() > 0


def test_what_does_not_fit_is_named():
    with pytest.raises(ValueError, match='patch_size=0'):
        CrossLayerAttention(4, 6, 8, patch_size=0)
    layer = CrossLayerAttention(4, 6, 8).double()
    fine, coarse, embedding = pair(layer, (6, 6), (3, 3))
    with pytest.raises(ValueError, match=r'\(6, 6, 8\) channels; it was built for \(4, 6, 8\)'):
        layer(coarse, coarse, embedding)
    with pytest.raises(ValueError, match=r'fine map \(3, 3\) is smaller than the coarse map \(6, 6\)'):
        layer(fine[:, :, :3, :3], *(torch.nn.functional.interpolate(x, size=(6, 6)) for x in (coarse, embedding)))
    with pytest.raises(ValueError, match='differ in size'):
        layer(fine, coarse, embedding[:, :, :2])
