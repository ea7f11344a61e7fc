import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.utils.flop_counter import FlopCounterMode

import oracles
from mmxattn.layers import CrossLayerAttention, cla
from mmxattn.layers.cla import from_patches, to_patches
from mmxattn.profiling.memory import peak_memory


def pair(layer, fine, coarse, batch=2, dtype=torch.double):
    torch.manual_seed(0)
    embed, coarse_channels = layer.mix.weight.shape[:2]
    return (torch.randn(batch, layer.project.in_channels, *fine, dtype=dtype),
            torch.randn(batch, coarse_channels, *coarse, dtype=dtype), torch.randn(batch, embed, *coarse, dtype=dtype))


@given(st.integers(1, 6), st.integers(1, 6), st.integers(0, 7), st.integers(0, 7), st.integers(1, 4),
       st.sampled_from([3, 6]), st.sampled_from([1, 10**6]), st.booleans())
@settings(max_examples=40, deadline=None)
def test_both_orders_agree_with_the_paper_as_printed(height, width, more_rows, more_columns, patch_size, fine, strip,
                                                         normalisation):
    layer = CrossLayerAttention(fine, 5, 4, patch_size, normalisation=normalisation).double()
    assert layer.folds_projection == (fine == 3)
    maps = pair(layer, (height + more_rows, width + more_columns), (height, width))
    literal = oracles.cla(layer, *maps)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(cla, 'STRIP', strip)
        for aggregates_first in (True, False):
            layer.aggregates_first = lambda *_, choice=aggregates_first: choice
            assert torch.allclose(layer(*maps), literal, rtol=1e-10, atol=1e-12)


@pytest.mark.parametrize('patch_size', [1, 2, 4, 8])
def test_raw_products_are_the_normalised_ones_times_what_divides_these(patch_size):
    layer = CrossLayerAttention(3, 5, 4, patch_size).double()
    maps = pair(layer, (16, 24), (8, 16))
    scaled = layer(*maps)
    layer.normalisation = False
    raw = layer(*maps)
    layer.mix.bias.data /= patch_size**2  # the bias is added to the correlation, after its scale
    layer.normalisation = True
    patches = 8 * 16 // patch_size**2
    assert torch.allclose(raw, layer(*maps) * patch_size**2 * patches, rtol=1e-10)
    assert not torch.allclose(raw, scaled)


@given(st.integers(1, 11), st.integers(1, 11), st.integers(1, 5))
@settings(max_examples=25, deadline=None)
def test_patches_fold_back(height, width, size):
    x = torch.arange(2 * 3 * height * width, dtype=torch.float).view(2, 3, height, width)
    patches = to_patches(x, size)
    assert patches.shape == (2, 3, -(-height // size) * -(-width // size), size**2)
    assert torch.equal(from_patches(patches, size, height, width), x)


@pytest.mark.parametrize('channels', [(8, 32, 16), (32, 16, 16)])
@pytest.mark.parametrize('patch_size', [2, 4, 8])
def test_the_cheaper_order_is_taken(channels, patch_size):
    layer = CrossLayerAttention(*channels, patch_size)
    maps = pair(layer, (32, 32), (16, 16), dtype=torch.float)
    cheaper = layer.aggregates_first((32 // patch_size)**2, (16 // patch_size)**2)
    macs = {}
    for choice in (True, False):
        layer.aggregates_first = lambda *_, choice=choice: choice
        with FlopCounterMode(display=False) as counter:
            layer(*maps)
        macs[choice] = counter.get_total_flops()
    assert macs[cheaper] == min(macs.values())


def test_a_pixel_a_patch_never_takes_the_quadratic_order():
    assert CrossLayerAttention(32, 256, 256).aggregates_first(128 * 128, 16 * 16)
    assert CrossLayerAttention(256, 32, 256).aggregates_first(1, 1)


@pytest.mark.parametrize('aggregates_first', [True, False])
@pytest.mark.parametrize('channels', [(1, 3, 2), (3, 2, 2)])
def test_gradients(channels, aggregates_first):
    layer = CrossLayerAttention(*channels, patch_size=2).double()
    layer.aggregates_first = lambda *_: aggregates_first
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


@pytest.mark.parametrize('patch_size', [1, 2])
def test_memory_grows_with_the_pixels(patch_size):
    layer = CrossLayerAttention(8, 32, 32, patch_size)

    def bytes_per_pixel(side):
        maps = pair(layer, (side, side), (side // 4, side // 4), batch=1, dtype=torch.float)
        with torch.no_grad():
            return peak_memory(lambda: layer(*maps), 'cpu') / side**2

    assert bytes_per_pixel(256) < 1.05 * bytes_per_pixel(128)


@pytest.mark.parametrize('dtype', [torch.float16, torch.bfloat16])
@pytest.mark.parametrize('patch_size', [1, 2, 4])
def test_half_precision_neither_overflows_nor_drifts(dtype, patch_size):
    layer = CrossLayerAttention(8, 16, 16, patch_size)
    fine, coarse, embedding = pair(layer, (32, 32), (16, 16), dtype=torch.float)
    maps = fine * 100, coarse * 100, embedding  # the sum over coarse pixels alone is near float16's largest number
    right = layer(*maps)
    with torch.autocast('cpu', dtype=dtype):
        ours = layer(*maps)
    assert ours.isfinite().all()
    assert oracles.relative_error(ours.double(), right) < 6 * torch.finfo(dtype).eps


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
