"""Memory that CLA and AFMA keep for training at 512x512, with and without their correlations stored.

The figures are quoted in configs/cla/README.md. They count the tensors that autograd keeps between the forward and the
backward pass of one image, without parameters, on fake tensors: the correlations of AFMA take 75 GiB.
"""
import pytest
import torch
import torch.nn.functional as F
from torch._subclasses.fake_tensor import FakeTensorMode

from mmxattn.layers import CrossLayerAttention
from mmxattn.layers.baselines import AFMA
from mmxattn.layers.cla import cross_layer_attention_reference
from mmxattn.profiling.memory import peak_memory

MIB, GIB = 2**20, 2**30
CHANNELS, SIDES = (32, 64, 160, 256), (128, 64, 32, 16)  # SegFormer-B0 at 512x512
EMBED, CLASSES = 256, 150


def saved_bytes(module, function):
    """Bytes of the tensors that autograd saves, each storage once."""
    parameters = {p.untyped_storage()._cdata for p in module.parameters()}
    saved = {}

    def pack(x):
        if x.untyped_storage()._cdata not in parameters:
            saved[x.untyped_storage()._cdata] = x
        return x

    with torch.autograd.graph.saved_tensors_hooks(pack, lambda x: x):
        function()
    return sum(x.untyped_storage().nbytes() for x in saved.values())


def afma_case(side=512):
    layer = AFMA(CHANNELS[-1], CLASSES)
    maps = [torch.randn(1, c, s, s, requires_grad=c != 3)
            for c, s in ((3, side), (CHANNELS[-1], side // 32), (CLASSES, side))]
    return layer, maps, torch.zeros(1, CLASSES, side, side)


def afma(layer, image, feature_map, masks, target):
    """Masks and loss as in training."""
    classes = layer.encode(image, feature_map)
    return layer.modify(masks, *classes), layer.loss(*classes, target)


def afma_reference(layer, image, feature_map, masks, target):
    """The same with both attention maps stored."""

    def attention(fine, coarse):
        return fine.flatten(2).unsqueeze(3) @ coarse.flatten(2).unsqueeze(2)  # (B, N_c, N_I, N_F)

    predicted = attention(*layer.encode(image, feature_map))
    true = attention(target, F.adaptive_avg_pool2d(target, feature_map.shape[2:]))
    pooled = F.adaptive_avg_pool2d(masks, feature_map.shape[2:]).flatten(2).unsqueeze(3)
    modified = masks + (predicted @ pooled / pooled.shape[2]).unflatten(2, masks.shape[2:]).squeeze(4)
    return modified, F.mse_loss(predicted, true)


@pytest.mark.parametrize('pair, reference_gib, ours_mib', [((1, 2), 6.51, 3.06), ((0, 3), 8.02, 3.13)])
def test_cla_saves_no_correlations(pair, reference_gib, ours_mib):
    i, j = pair
    with FakeTensorMode():
        layer = CrossLayerAttention(CHANNELS[i], CHANNELS[j], EMBED)
        shapes = (CHANNELS[i], SIDES[i]), (CHANNELS[j], SIDES[j]), (EMBED, SIDES[j])
        maps = [torch.randn(1, c, side, side, requires_grad=True) for c, side in shapes]
        reference = saved_bytes(layer, lambda: cross_layer_attention_reference(layer, *maps))
        assert reference / GIB == pytest.approx(reference_gib, abs=0.005)
        assert saved_bytes(layer, lambda: layer(*maps)) / MIB == pytest.approx(ours_mib, abs=0.005)


def test_afma_matches_reference():
    layer, maps, target = afma_case(side=64)
    for out, expected in zip(afma(layer, *maps, target), afma_reference(layer, *maps, target)):
        assert torch.allclose(out, expected, rtol=1e-4, atol=1e-5)


def test_afma_saves_no_attention():
    with FakeTensorMode():
        layer, maps, target = afma_case()
        reference = saved_bytes(layer, lambda: afma_reference(layer, *maps, target))
        assert reference / GIB == pytest.approx(75.36, abs=0.005)
        assert saved_bytes(layer, lambda: afma(layer, *maps, target)) / MIB == pytest.approx(667.8, abs=0.05)


def test_size_of_afma_attention_in_header():
    with FakeTensorMode():
        layer, maps, _ = afma_case()
        image, feature_map = layer.encode(*maps[:2])
    assert image[0, 0].numel() * feature_map.numel() * image.element_size() == 37.5 * GIB


@pytest.mark.slow
def test_afma_trains_in_less_than_two_gib():
    layer, maps, target = afma_case()

    def step():
        masks, loss = afma(layer, *maps, target)
        (masks.mean() + loss).backward()

    assert peak_memory(step, 'cpu') < 2 * GIB
