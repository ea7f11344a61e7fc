"""What the papers' correlations keep for training at 512x512 beside what is kept here; configs/cla/README.md quotes it.

Counted on tensors without data, so that what no machine here could hold is counted too: all that autograd keeps between
the forward and the backward pass of one image, without parameters.
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


def kept_for_training(module, function):
    """Bytes of the tensors that the graph holds, each once."""
    parameters = {p.untyped_storage()._cdata for p in module.parameters()}
    kept = {}

    def pack(x):
        if x.untyped_storage()._cdata not in parameters:
            kept[x.untyped_storage()._cdata] = x
        return x

    with torch.autograd.graph.saved_tensors_hooks(pack, lambda x: x):
        function()
    return sum(x.untyped_storage().nbytes() for x in kept.values())


def cla_case(pair):
    i, j = pair
    layer = CrossLayerAttention(CHANNELS[i], CHANNELS[j], EMBED)
    shapes = (CHANNELS[i], SIDES[i]), (CHANNELS[j], SIDES[j]), (EMBED, SIDES[j])
    return layer, [torch.randn(1, c, side, side, requires_grad=True) for c, side in shapes]


def afma_case(side=512):
    layer = AFMA(CHANNELS[-1], CLASSES)
    maps = [torch.randn(1, c, s, s, requires_grad=c != 3)
            for c, s in ((3, side), (CHANNELS[-1], side // 32), (CLASSES, side))]
    return layer, maps, torch.zeros(1, CLASSES, side, side)


def afma(layer, image, feature_map, masks, gold):
    """Masks and loss as AFMA is used in training."""
    classes = layer.encode(image, feature_map)
    return layer.modify(masks, *classes), layer.loss(*classes, gold)


def afma_as_printed(layer, image, feature_map, masks, gold):
    """The same with both attentions made."""

    def attention(fine, coarse):
        return fine.flatten(2).unsqueeze(3) @ coarse.flatten(2).unsqueeze(2)  # (B, N_c, N_I, N_F)

    ours = attention(*layer.encode(image, feature_map))
    truth = attention(gold, F.adaptive_avg_pool2d(gold, feature_map.shape[2:]))
    pooled = F.adaptive_avg_pool2d(masks, feature_map.shape[2:]).flatten(2).unsqueeze(3)
    modified = masks + (ours @ pooled / pooled.shape[2]).unflatten(2, masks.shape[2:]).squeeze(4)
    return modified, F.mse_loss(ours, truth)


def test_the_literal_forms_compute_the_same():
    layer, maps, gold = afma_case(side=64)
    for a, b in zip(afma(layer, *maps, gold), afma_as_printed(layer, *maps, gold)):
        assert torch.allclose(a, b, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize('pair, printed, here', [((1, 2), 6.51, 3.06), ((0, 3), 8.02, 3.13)])
def test_cla_keeps_maps_and_no_correlations(pair, printed, here):
    with FakeTensorMode():
        layer, maps = cla_case(pair)
        reference = kept_for_training(layer, lambda: cross_layer_attention_reference(layer, *maps))
        assert reference / GIB == pytest.approx(printed, abs=0.005)
        assert kept_for_training(layer, lambda: layer(*maps)) / MIB == pytest.approx(here, abs=0.005)


def test_afma_keeps_maps_and_no_attention():
    with FakeTensorMode():
        layer, maps, gold = afma_case()
        printed = kept_for_training(layer, lambda: afma_as_printed(layer, *maps, gold))
        assert printed / GIB == pytest.approx(75.36, abs=0.005)
        assert kept_for_training(layer, lambda: afma(layer, *maps, gold)) / MIB == pytest.approx(667.8, abs=0.05)


def test_one_attention_of_afma_is_as_large_as_its_header_says():
    with FakeTensorMode():
        layer, maps, _ = afma_case()
        image, feature_map = layer.encode(*maps[:2])
    assert image[0, 0].numel() * feature_map.numel() * image.element_size() == 37.5 * GIB


@pytest.mark.slow
def test_afma_trains_at_full_size_in_less_than_two_gibibytes():
    layer, maps, gold = afma_case()

    def step():
        masks, loss = afma(layer, *maps, gold)
        (masks.mean() + loss).backward()

    assert peak_memory(step, 'cpu') < 2 * GIB
