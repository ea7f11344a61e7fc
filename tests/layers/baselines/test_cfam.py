import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from mmxattn.layers.baselines import CFAM

SSD300 = [512, 1024, 512, 256, 256, 256]


def pyramid(channels, sizes):
    torch.manual_seed(0)
    return [torch.randn(2, c, *size, dtype=torch.double) for c, size in zip(channels, sizes)]


def reference(layer, maps):
    """Level by level and channel by channel."""
    maps = [torch.einsum('dc,bchw->bdhw', conv.weight[:, :, 0, 0], x) + conv.bias.view(-1, 1, 1)
            for conv, x in zip(layer.lateral, maps)]
    width = maps[0].shape[1]
    outs = [torch.empty_like(x) for x in maps]
    for b in range(maps[0].shape[0]):
        means = torch.stack([x[b, c].mean() for x in maps for c in range(width)])
        squeezed = (layer.squeeze.weight @ means + layer.squeeze.bias).clamp(min=0)
        gates = 1 / (1 + torch.exp(-(layer.excite.weight @ squeezed + layer.excite.bias)))
        for i, x in enumerate(maps):
            for c in range(width):
                outs[i][b, c] = x[b, c] * gates[i * width + c]
    return outs


@given(st.lists(st.tuples(st.integers(1, 6), st.integers(1, 6)), min_size=1, max_size=4), st.sampled_from([1, 3, 8]))
@settings(max_examples=20, deadline=None)
def test_agrees_with_reference(sizes, ratio):
    channels = [3 * (i + 1) for i in range(len(sizes))]
    layer = CFAM(channels, channels=8, ratio=ratio).double()
    maps = pyramid(channels, sizes)
    for x, y in zip(layer(maps), reference(layer, maps)):
        assert torch.allclose(x, y, atol=1e-12)


def test_levels_affect_each_other():
    layer = CFAM([4, 6], channels=8, ratio=2).double()
    maps = pyramid([4, 6], [(5, 4), (3, 2)])
    assert not torch.allclose(layer([maps[0] + 1, maps[1]])[1], layer(maps)[1])


def test_parameters_match_the_published_count():
    """Six 1x1 convolutions to 256 channels, and squeeze and excitation of 1536 channels."""
    convolutions = sum(c * 256 + 256 for c in SSD300)
    assert sum(p.numel() for p in CFAM(SSD300).parameters()) == convolutions + 2 * 1536 * 96 + 1536 + 96


def test_gradients_match_finite_differences():
    layer = CFAM([2, 3], channels=4, ratio=2).double()
    maps = [x.requires_grad_() for x in pyramid([2, 3], [(3, 2), (1, 1)])]
    assert torch.autograd.gradcheck(lambda *x: tuple(layer(x)), maps)
    sum(x.sum() for x in layer(maps)).backward()
    assert all(p.grad is not None and p.grad.any() for p in layer.parameters())


@pytest.mark.parametrize('arguments, message', [
    (dict(in_channels=[4, 4], channels=8, ratio=17), 'ratio must be between 1 and 16, .* got 17'),
    (dict(in_channels=[4, 4], ratio=0), 'got 0'),
])
def test_invalid_ratio_is_refused(arguments, message):
    with pytest.raises(ValueError, match=message):
        CFAM(**arguments)
