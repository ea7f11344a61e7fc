"""Effective receptive fields against those that can be worked out by hand."""

import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from mmxattn.visualization.erf import area_ratios, centre_of_mass, erf, sigma


def ones(stride=1, kernel=3, inputs=1):
    """A convolution of ones over ``inputs`` channels, without bias, to one channel."""
    conv = nn.Conv2d(inputs, 1, kernel, stride, padding=kernel // 2, bias=False)
    nn.init.ones_(conv.weight)
    return conv


def test_one_convolution_sees_nine_pixels_alike(tiny):
    model = tiny.Model(tiny.Levels(ones(inputs=3)))
    (stage, ), (heat, ) = erf(model, [tiny.batch_of(tiny.random_image(20, 30))])
    expected = np.zeros((20, 30))
    expected[9:12, 14:17] = 1 / 9
    assert np.allclose(heat, expected)
    assert stage.area_ratios == {share: pytest.approx(9 / 600) for share in ('20%', '30%', '50%', '99%')}
    assert stage.sigma == pytest.approx(math.sqrt(2 / 3))
    assert (stage.name, stage.stride, stage.sigma_ratio, stage.images) == ('backbone.0', 1, None, 1)


def test_input_channels_do_not_cancel_each_other_out(tiny):
    """A pixel in front counts with all its colours, whatever their signs: |1| + |-1| + |0| against |2|."""
    conv = ones(inputs=3)
    conv.weight.data[0, :, 1, 1] = torch.tensor([1., -1, 0])
    conv.weight.data[0, :, 1, 2] = torch.tensor([0., 0, 2])
    _, (heat, ) = erf(tiny.Model(tiny.Levels(conv)), [tiny.batch_of(tiny.random_image(9, 9))])
    assert heat[4, 4] == pytest.approx(heat[4, 5]) and heat[4, 4] == pytest.approx(heat[3, 3] * 2 / 3)


def test_a_stack_spreads_like_a_sum_of_independent_steps(tiny):
    model = tiny.Model(tiny.Levels(ones(inputs=3), *(ones() for _ in range(5))))
    stages, heats = erf(model, [tiny.batch_of(tiny.random_image(31, 31))])
    line = np.ones(1)
    for number, (stage, heat) in enumerate(zip(stages, heats), 1):
        line = np.convolve(line, np.ones(3) / 3)  # the distribution of a sum of ``number`` steps of -1, 0 or 1
        expected = np.zeros((31, 31))
        reach = slice(15 - number, 16 + number)
        expected[reach, reach] = np.outer(line, line)
        assert np.allclose(heat, expected, atol=1e-7)
        assert stage.sigma == pytest.approx(math.sqrt(number * 2 / 3), rel=1e-5)
    assert [stage.sigma_ratio for stage in stages[1:]] == pytest.approx(
        [math.sqrt((n + 1) / n) for n in range(1, 6)], rel=1e-5)


def test_a_stride_of_two_doubles_the_next_step(tiny):
    model = tiny.Model(tiny.Levels(ones(inputs=3, stride=2), ones(stride=2)))
    (first, second), _ = erf(model, [tiny.batch_of(tiny.random_image(32, 32))])
    assert (first.stride, second.stride) == (2, 4)
    assert first.sigma == pytest.approx(math.sqrt(2 / 3), rel=1e-5)
    assert second.sigma == pytest.approx(math.sqrt(2 / 3 + 4 * 2 / 3), rel=1e-5)  # its steps are two pixels wide


def test_a_pointwise_model_sees_one_pixel(tiny):
    model = tiny.Model(tiny.Levels(ones(inputs=3, kernel=1), nn.ReLU(), ones(kernel=1)))
    stages, heats = erf(model, [tiny.batch_of(tiny.random_image(12, 12) | 1)])
    for stage, heat in zip(stages, heats):
        assert heat[6, 6] == 1 and heat.sum() == 1
        assert stage.sigma == 0 and stage.sigma_ratio is None
        assert set(stage.area_ratios.values()) == {1 / 144}


def test_channels_that_cancel_out_are_seen_all_the_same(tiny):
    """Behind a normalisation over channels, as in SegFormer's backbone, the plain sum over channels is a constant."""
    class Centred(nn.Conv2d):
        def forward(self, x):
            x = super().forward(x)
            return x - x.mean(1, keepdim=True)

    model = tiny.Model(tiny.Levels(Centred(3, 4, 3, padding=1)))
    _, (heat, ) = erf(model, [tiny.batch_of(tiny.random_image(9, 9))])
    assert (heat[3:6, 3:6] > 0).all() and heat[3:6, 3:6].sum() == pytest.approx(1)


@pytest.mark.parametrize('position, place', [((0.1, 0.1), (2, 3)), ((0, 0), (0, 0)), ((1, 1), (19, 29)),
                                             ((0.5, 0.1), (2, 15))])
def test_any_unit_can_be_asked_for(tiny, position, place):
    model = tiny.Model(tiny.Levels(ones(inputs=3, kernel=1)))
    _, (heat, ) = erf(model, [tiny.batch_of(tiny.random_image(20, 30))], position=position)
    assert np.unravel_index(heat.argmax(), heat.shape) == place


def test_neck_and_decode_head_are_stages_too(tiny):
    model = tiny.Segmentor(tiny.Levels(ones(inputs=3)), channels=1, classes=2)
    model.neck = tiny.Levels(ones(), ones())
    model.extract_feat = lambda image: model.neck(model.backbone(image)[-1])
    stages, _ = erf(model, [tiny.batch_of(tiny.random_image(15, 15))])
    assert [stage.name for stage in stages] == ['backbone.0', 'neck.0', 'neck.1', 'decode_head']
    assert [stage.sigma**2 * 3 / 2 for stage in stages] == pytest.approx([1, 2, 3, 3], rel=1e-4)
    assert [stage.sigma_ratio for stage in stages] == [None, None, pytest.approx(math.sqrt(3 / 2), rel=1e-4), None]


def test_each_image_counts_alike_and_sizes_are_brought_together(tiny):
    class Scaled(nn.Module):
        """Sees one pixel, or nine where the image is bright; a bright image's gradient is a thousand times as large."""

        def forward(self, x):
            bright = x.mean() > 100
            return 1000 * wide(x) if bright else narrow(x)

    narrow, wide = ones(inputs=3, kernel=1), ones(inputs=3)
    model = tiny.Model(tiny.Levels(Scaled()))
    dark, bright = torch.full((3, 16, 16), 9, dtype=torch.uint8), torch.full((3, 24, 24), 200, dtype=torch.uint8)
    (stage, ), (heat, ) = erf(model, [tiny.batch_of(dark, bright)])
    assert stage.images == 2
    assert heat.shape == (16, 16)
    assert heat[8, 8] == pytest.approx((1 + 1 / 9) / 2)
    assert stage.sigma == pytest.approx((0 + math.sqrt(2 / 3)) / 2)  # the mean of each image's own


def test_the_model_is_left_as_it_was(tiny):
    model = tiny.Model(tiny.Levels(ones(inputs=3)))
    model.train()
    erf(model, [tiny.batch_of(tiny.random_image(9, 9))])
    parameter, = model.parameters()
    assert model.training and parameter.requires_grad and parameter.grad is None
    assert not model.backbone._forward_hooks


def test_what_cannot_be_done_is_told(tiny):
    dead = ones(inputs=3)
    nn.init.constant_(dead.weight, -1)
    model = tiny.Model(tiny.Levels(nn.Sequential(dead, nn.ReLU())))
    with pytest.raises(ValueError, match='No gradient reaches the image from backbone.0 at row 4, column 4 of its 9x9'):
        erf(model, [tiny.batch_of(tiny.random_image(9, 9))])
    with pytest.raises(ValueError, match='averaged over images, and the batches hold none'):
        erf(model, [])
    with pytest.raises(ValueError, match='Linear has no backbone and extract_feat'):
        model = nn.Linear(1, 1)
        model.data_preprocessor = lambda batch, training: dict(batch, inputs=batch['inputs'][0][None].float())
        erf(model, [tiny.batch_of(tiny.random_image(9, 9))])


def literal_area_ratio(heat, share):
    """Try every odd side around the centre of mass."""
    row, column = (round(place) for place in centre_of_mass(heat))
    for half in range(max(heat.shape) + 1):
        inside = np.zeros(heat.shape, bool)
        inside[max(row - half, 0):row + half + 1, max(column - half, 0):column + half + 1] = True
        if heat[inside].sum() >= share * heat.sum():
            return inside.mean()


@settings(deadline=None, max_examples=50)
@given(st.integers(1, 12), st.integers(1, 12), st.integers(0, 99), st.sampled_from([0.05, 0.2, 0.5, 0.93]))
def test_area_ratios_are_those_of_the_literal_search(height, width, seed, share):
    heat = np.random.RandomState(seed).gamma(0.3, size=(height, width))
    ratio, = area_ratios(heat, [share]).values()
    assert ratio == pytest.approx(literal_area_ratio(heat, share))


def test_the_whole_gradient_needs_the_whole_of_its_square():
    heat = np.zeros((9, 9))
    heat[0, 0] = heat[8, 8] = 0.5
    assert area_ratios(heat, [0.3, 1]) == {'30%': 1, '100%': 1}


@settings(deadline=None, max_examples=20)
@given(st.floats(1.5, 4), st.floats(-3, 3), st.floats(-3, 3))
def test_sigma_of_a_gaussian_is_its_own(deviation, down, right):
    rows, columns = np.indices((61, 61)) - 30
    heat = np.exp(-((rows - down)**2 + (columns - right)**2) / (2 * deviation**2))
    assert sigma(heat) == pytest.approx(deviation, rel=1e-3)
    assert centre_of_mass(heat) == pytest.approx((30 + down, 30 + right), abs=1e-3)
