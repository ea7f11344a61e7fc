"""Activation before and after attention modules whose feature maps are known."""

import numpy as np
import pytest
import torch
from torch import nn

from mmxattn.layers import CFSAM, FINE, SCSA
from mmxattn.layers.cla import CLADecoderBlock
from mmxattn.visualization.feature_maps import (
    activation,
    activation_maps,
    attention_modules,
    fine_modules,
    modulation_maps,
)
from mmxattn.visualization.hooks import eval_mode, find_feature_maps, get_module, record_feature_maps, split_batches


class Double(nn.Module):
    def forward(self, x):
        return 2 * x


class Pyramid(nn.Module):
    """Two levels, FINE on the lower one and CFSAM on both."""

    def __init__(self):
        super().__init__()
        self.low, self.high = nn.Conv2d(3, 16, 3, padding=1), nn.Conv2d(3, 16, 3, stride=2, padding=1)
        self.fine = FINE(16)
        self.cfsam = CFSAM([16, 16], channels=16, depth=1, num_heads=2)

    def forward(self, x):
        low, high = self.low(x), self.high(x)
        return self.cfsam([self.fine(low, high), high])


def test_activation_is_the_mean_absolute_value():
    feature_map = torch.tensor([[[[1., -2]], [[-3, 4]]]])
    assert activation(feature_map).tolist() == [[2, 3]]


def test_activation_of_a_doubling_module(tiny):
    model = tiny.Model(tiny.Levels(Double(), nn.ReLU(inplace=True)))
    image = tiny.random_image(6, 8)
    (number, ), ((before, after), ) = activation_maps(model, tiny.batch_of(image), ['backbone.stages.0'])
    assert np.allclose(before, image.float().mean(0))
    assert np.allclose(after, 2 * before)
    assert number.name == 'backbone.stages.0' and number.level == 0 and number.shape == (6, 8)
    assert number.after == pytest.approx(2 * number.before)
    assert number.change == pytest.approx(1)


def test_later_inplace_operations_are_not_recorded(tiny):
    class Negative(nn.Module):
        def forward(self, x):
            return -x

    model = tiny.Model(tiny.Levels(Negative(), nn.ReLU(inplace=True)))
    _, ((before, after), ) = activation_maps(model, tiny.batch_of(tiny.random_image(6, 8)),
                                             ['backbone.stages.0'])
    assert np.array_equal(before, after) and after.max() > 0


def test_only_the_first_image_is_used(tiny):
    model = tiny.Model(tiny.Levels(Double()))
    image, other = tiny.random_image(6, 8), tiny.random_image(6, 8, seed=1)
    _, ((before, _), ) = activation_maps(model, tiny.batch_of(image, other), ['backbone'])
    assert np.allclose(before, image.float().mean(0))


def test_attention_modules_are_the_outermost_ones(tiny):
    torch.manual_seed(0)
    model = tiny.Model(Pyramid())
    model.plugins = nn.ModuleList([SCSA(16), nn.Conv2d(3, 3, 1)])
    model.block = CLADecoderBlock(4, 8, 8, has_previous=False)
    assert attention_modules(model) == ['backbone.fine', 'backbone.cfsam', 'plugins.0', 'block']
    assert fine_modules(model) == ['backbone.fine']
    assert attention_modules(nn.Conv2d(3, 3, 1)) == []


def test_levels_of_fine_and_cfsam(tiny):
    torch.manual_seed(0)
    model = tiny.Model(Pyramid())
    model.eval()
    image = tiny.random_image(8, 12)
    numbers, pictures = activation_maps(model, tiny.batch_of(image))
    assert [(n.name, n.level, n.shape) for n in numbers] == [
        ('backbone.fine', 0, (8, 12)), ('backbone.cfsam', 0, (8, 12)), ('backbone.cfsam', 1, (4, 6))]
    low, high = model.backbone.low(image[None].float()), model.backbone.high(image[None].float())
    aligned = model.backbone.fine(low, high)
    assert np.allclose(pictures[0][0], activation(low.detach()))
    assert np.allclose(pictures[0][1], activation(aligned.detach()), atol=1e-4)
    assert np.allclose(pictures[1][0], pictures[0][1])
    assert numbers[0].change == pytest.approx(((aligned - low).norm() / low.norm()).item(), rel=1e-4)


def test_cla_is_compared_with_its_convolution(tiny):
    class Decoder(nn.Module):
        def __init__(self):
            super().__init__()
            self.block = CLADecoderBlock(3, 3, 8, has_previous=False)
            self.embed = nn.Conv2d(3, 8, 1)

        def forward(self, x):
            embedding = self.embed(x)
            return self.block(x, x, embedding, embedding)

    torch.manual_seed(0)
    model = tiny.Model(Decoder())
    image = tiny.random_image(5, 5) // 64
    (number, ), ((before, after), ) = activation_maps(model, tiny.batch_of(image))
    embedding = model.backbone.embed(image[None].float())
    conv = model.backbone.block.conv
    mixed = nn.functional.conv2d(torch.cat((embedding, embedding), 1), conv.weight, conv.bias)
    attended = model.backbone.block.cla(image[None].float(), image[None].float(), embedding)
    assert np.allclose(before, activation(mixed.detach()), atol=1e-5)
    assert np.allclose(after, activation((mixed + attended).detach()), atol=1e-4)
    assert number.change == pytest.approx((attended.norm() / mixed.norm()).item(), rel=1e-4)


def test_modulation_map_is_the_factor_of_the_low_map(tiny):
    torch.manual_seed(0)
    model = tiny.Model(Pyramid())
    model.eval()
    image = tiny.random_image(8, 12)
    (name, modulation), = modulation_maps(model, tiny.batch_of(image))
    low, high = model.backbone.low(image[None].float()), model.backbone.high(image[None].float())
    applied = (model.backbone.fine(low, high) / low - 1).mean(1)[0]
    assert name == 'backbone.fine'
    assert np.allclose(modulation, applied.detach(), atol=1e-3)


def test_invalid_inputs_are_rejected(tiny):
    class Flat(nn.Module):
        def forward(self, x):
            return x.mean((2, 3), keepdim=True)

    model = tiny.Model(tiny.Levels(Flat()))
    model.unused = nn.Conv2d(3, 3, 1)
    batch = tiny.batch_of(tiny.random_image(6, 8))
    with pytest.raises(ValueError, match='TinyModel must contain an attention module'):
        activation_maps(model, batch)
    with pytest.raises(ValueError, match='TinyModel must contain a FINE module'):
        modulation_maps(model, batch)
    with pytest.raises(ValueError, match='unused must be called'):
        activation_maps(model, batch, ['unused'])
    with pytest.raises(ValueError, match=r'must return a map with the size .*\(1, 3, 6, 8\).* -> \[\(1, 3, 1, 1\)\]'):
        activation_maps(model, batch, ['backbone.stages.0'])
    with pytest.raises(ValueError, match="TinyModel has no module 'neck'.*'backbone', 'unused'"):
        get_module(model, 'neck')


def test_find_feature_maps_in_nested_containers():
    a, b, c = (torch.full((1, 1, 2, 2), float(k)) for k in range(3))
    assert find_feature_maps(([a, torch.zeros(3)], dict(x=b, y='text'), (c, None))) == [a, b, c]
    assert find_feature_maps(None) == []


def test_hooks_are_removed_after_an_error(tiny):
    model = tiny.Model(tiny.Levels(Double()))
    with pytest.raises(RuntimeError, match='in between'), record_feature_maps(model, ['backbone']) as calls:
        model.extract_feat(torch.ones(1, 3, 2, 2))
        raise RuntimeError('in between')
    assert len(calls['backbone']) == 1
    assert not model.backbone._forward_hooks


def test_eval_mode_restores_each_module(tiny):
    model = tiny.Model(tiny.Levels(nn.BatchNorm2d(3), nn.BatchNorm2d(3)))
    model.train()
    frozen = model.backbone.stages[1].eval()  # like norm_eval
    with pytest.raises(RuntimeError, match='in between'), eval_mode(model):
        assert not any(module.training for module in model.modules())
        raise RuntimeError('in between')
    assert [module for module in model.modules() if not module.training] == [frozen]


def test_batches_are_split_into_single_images():
    batches = [dict(inputs=['a', 'b'], data_samples=[1, 2]), dict(inputs=['c'], data_samples=[3])]
    assert [(s['inputs'], s['data_samples']) for s in split_batches(batches)] == [(['a'], [1]), (['b'], [2]),
                                                                                  (['c'], [3])]
    assert len(split_batches(batches, 2)) == 2
