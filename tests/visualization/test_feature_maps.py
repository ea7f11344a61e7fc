"""Activation before and after a part, on modules whose maps are known."""

import numpy as np
import pytest
import torch
from torch import nn

from mmxattn.layers import CFSAM, FINE, SCSA
from mmxattn.layers.cla import CLADecoderBlock
from mmxattn.visualization.feature_maps import activation, activation_maps, fine_modules, modulation_maps, parts
from mmxattn.visualization.hooks import evaluating, find_module, maps, single_images, watch


class Double(nn.Module):
    def forward(self, x):
        return 2 * x


class Pyramid(nn.Module):
    """Two levels; FINE aligns the low one, CFSAM takes both."""

    def __init__(self):
        super().__init__()
        self.low, self.high = nn.Conv2d(3, 16, 3, padding=1), nn.Conv2d(3, 16, 3, stride=2, padding=1)
        self.fine = FINE(16)
        self.cfsam = CFSAM([16, 16], channels=16, depth=1, num_heads=2)

    def forward(self, x):
        low, high = self.low(x), self.high(x)
        return self.cfsam([self.fine(low, high), high])


def test_activation_is_the_mean_absolute_value_over_channels():
    feature_map = torch.tensor([[[[1., -2]], [[-3, 4]]]])
    assert activation(feature_map).tolist() == [[2, 3]]


def test_a_module_that_doubles(tiny):
    model = tiny.Model(tiny.Levels(Double(), nn.ReLU(inplace=True)))
    image = tiny.random_image(6, 8)
    (number, ), ((before, after), ) = activation_maps(model, tiny.batch_of(image), ['backbone.modules_in_a_row.0'])
    assert np.allclose(before, image.float().mean(0))
    assert np.allclose(after, 2 * before)
    assert number.name == 'backbone.modules_in_a_row.0' and number.level == 0 and number.shape == (6, 8)
    assert number.after == pytest.approx(2 * number.before)
    assert number.change == pytest.approx(1)


def test_what_a_later_module_does_in_place_is_not_shown(tiny):
    class Negative(nn.Module):
        def forward(self, x):
            return -x

    model = tiny.Model(tiny.Levels(Negative(), nn.ReLU(inplace=True)))
    _, ((before, after), ) = activation_maps(model, tiny.batch_of(tiny.random_image(6, 8)),
                                             ['backbone.modules_in_a_row.0'])
    assert np.array_equal(before, after) and after.max() > 0


def test_only_the_first_image_of_a_batch_is_looked_at(tiny):
    model = tiny.Model(tiny.Levels(Double()))
    image, other = tiny.random_image(6, 8), tiny.random_image(6, 8, seed=1)
    _, ((before, _), ) = activation_maps(model, tiny.batch_of(image, other), ['backbone'])
    assert np.allclose(before, image.float().mean(0))


def test_parts_are_found_and_nothing_within_them(tiny):
    torch.manual_seed(0)
    model = tiny.Model(Pyramid())
    model.plugins = nn.ModuleList([SCSA(16), nn.Conv2d(3, 3, 1)])
    model.block = CLADecoderBlock(4, 8, 8, has_previous=False)
    assert parts(model) == ['backbone.fine', 'backbone.cfsam', 'plugins.0', 'block']
    assert fine_modules(model) == ['backbone.fine']
    assert parts(nn.Conv2d(3, 3, 1)) == []


def test_fine_takes_and_gives_the_low_map_and_cfsam_every_level(tiny):
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


def test_before_cla_is_what_its_convolution_gives(tiny):
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


def test_the_modulation_map_is_what_the_low_map_is_multiplied_with(tiny):
    torch.manual_seed(0)
    model = tiny.Model(Pyramid())
    model.eval()
    image = tiny.random_image(8, 12)
    (name, modulation), = modulation_maps(model, tiny.batch_of(image))
    low, high = model.backbone.low(image[None].float()), model.backbone.high(image[None].float())
    applied = (model.backbone.fine(low, high) / low - 1).mean(1)[0]
    assert name == 'backbone.fine'
    assert np.allclose(modulation, applied.detach(), atol=1e-3)


def test_what_cannot_be_done_is_told(tiny):
    class Flat(nn.Module):
        def forward(self, x):
            return x.mean((2, 3), keepdim=True)

    model = tiny.Model(tiny.Levels(Flat()))
    model.unused = nn.Conv2d(3, 3, 1)
    batch = tiny.batch_of(tiny.random_image(6, 8))
    with pytest.raises(ValueError, match='TinyModel has no part of mmxattn in it'):
        activation_maps(model, batch)
    with pytest.raises(ValueError, match='TinyModel has no FINE in it'):
        modulation_maps(model, batch)
    with pytest.raises(ValueError, match='unused did not run'):
        activation_maps(model, batch, ['unused'])
    with pytest.raises(ValueError, match=r'gives no map of the size .*\(1, 3, 6, 8\).* -> \[\(1, 3, 1, 1\)\]'):
        activation_maps(model, batch, ['backbone.modules_in_a_row.0'])
    with pytest.raises(ValueError, match="TinyModel has no module 'neck'.*'backbone', 'unused'"):
        find_module(model, 'neck')


def test_maps_are_found_in_any_nest_in_order():
    a, b, c = (torch.full((1, 1, 2, 2), float(k)) for k in range(3))
    assert maps(([a, torch.zeros(3)], dict(x=b, y='text'), (c, None))) == [a, b, c]
    assert maps(None) == []


def test_watching_ends_with_an_error(tiny):
    model = tiny.Model(tiny.Levels(Double()))
    with pytest.raises(RuntimeError, match='in between'), watch(model, ['backbone']) as calls:
        model.extract_feat(torch.ones(1, 3, 2, 2))
        raise RuntimeError('in between')
    assert len(calls['backbone']) == 1
    assert not model.backbone._forward_hooks


def test_each_module_gets_its_own_mode_back(tiny):
    model = tiny.Model(tiny.Levels(nn.BatchNorm2d(3), nn.BatchNorm2d(3)))
    model.train()
    kept = model.backbone.modules_in_a_row[1].eval()  # as norm_eval does
    with pytest.raises(RuntimeError, match='in between'), evaluating(model):
        assert not any(module.training for module in model.modules())
        raise RuntimeError('in between')
    assert [module for module in model.modules() if not module.training] == [kept]


def test_batches_are_taken_apart():
    batches = [dict(inputs=['a', 'b'], data_samples=[1, 2]), dict(inputs=['c'], data_samples=[3])]
    assert [(s['inputs'], s['data_samples']) for s in single_images(batches)] == [(['a'], [1]), (['b'], [2]),
                                                                                  (['c'], [3])]
    assert len(single_images(batches, 2)) == 2
