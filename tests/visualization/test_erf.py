"""Effective receptive fields against closed-form cases."""

import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from mmxattn.visualization.erf import area_ratios, center_of_mass, erf, sigma


def ones(stride=1, kernel=3, inputs=1):
    """A convolution of ones over ``inputs`` channels, without bias, to one channel."""
    conv = nn.Conv2d(inputs, 1, kernel, stride, padding=kernel // 2, bias=False)
    nn.init.ones_(conv.weight)
    return conv


def test_erf_of_a_convolution_is_its_kernel(tiny):
    model = tiny.Model(tiny.Levels(ones(inputs=3)))
    (stage, ), (heatmap, ) = erf(model, [tiny.batch_of(tiny.random_image(20, 30))])
    expected = np.zeros((20, 30))
    expected[9:12, 14:17] = 1 / 9
    assert np.allclose(heatmap, expected)
    assert stage.area_ratios == {share: pytest.approx(9 / 600) for share in ('20%', '30%', '50%', '99%')}
    assert stage.sigma == pytest.approx(math.sqrt(2 / 3))
    assert (stage.name, stage.stride, stage.sigma_ratio, stage.images) == ('backbone.0', 1, None, 1)


def test_input_channels_do_not_cancel_out(tiny):
    """Absolute values are summed: |1| + |-1| + |0| equals |2|."""
    conv = ones(inputs=3)
    conv.weight.data[0, :, 1, 1] = torch.tensor([1., -1, 0])
    conv.weight.data[0, :, 1, 2] = torch.tensor([0., 0, 2])
    _, (heatmap, ) = erf(tiny.Model(tiny.Levels(conv)), [tiny.batch_of(tiny.random_image(9, 9))])
    assert heatmap[4, 4] == pytest.approx(heatmap[4, 5]) and heatmap[4, 4] == pytest.approx(heatmap[3, 3] * 2 / 3)


def test_stacked_convolutions_match_the_sum_of_uniform_variables(tiny):
    model = tiny.Model(tiny.Levels(ones(inputs=3), *(ones() for _ in range(5))))
    stages, heatmaps = erf(model, [tiny.batch_of(tiny.random_image(31, 31))])
    line = np.ones(1)
    for number, (stage, heatmap) in enumerate(zip(stages, heatmaps), 1):
        line = np.convolve(line, np.ones(3) / 3)  # sum of ``number`` steps of -1, 0 or 1
        expected = np.zeros((31, 31))
        reach = slice(15 - number, 16 + number)
        expected[reach, reach] = np.outer(line, line)
        assert np.allclose(heatmap, expected, atol=1e-7)
        assert stage.sigma == pytest.approx(math.sqrt(number * 2 / 3), rel=1e-5)
    assert [stage.sigma_ratio for stage in stages[1:]] == pytest.approx(
        [math.sqrt((n + 1) / n) for n in range(1, 6)], rel=1e-5)


def test_stride_scales_the_next_convolution(tiny):
    model = tiny.Model(tiny.Levels(ones(inputs=3, stride=2), ones(stride=2)))
    (first, second), _ = erf(model, [tiny.batch_of(tiny.random_image(32, 32))])
    assert (first.stride, second.stride) == (2, 4)
    assert first.sigma == pytest.approx(math.sqrt(2 / 3), rel=1e-5)
    assert second.sigma == pytest.approx(math.sqrt(2 / 3 + 4 * 2 / 3), rel=1e-5)  # steps of two pixels


def test_pointwise_model_sees_one_pixel(tiny):
    model = tiny.Model(tiny.Levels(ones(inputs=3, kernel=1), nn.ReLU(), ones(kernel=1)))
    stages, heatmaps = erf(model, [tiny.batch_of(tiny.random_image(12, 12) | 1)])
    for stage, heatmap in zip(stages, heatmaps):
        assert heatmap[6, 6] == 1 and heatmap.sum() == 1
        assert stage.sigma == 0 and stage.sigma_ratio is None
        assert set(stage.area_ratios.values()) == {1 / 144}


def test_output_channels_do_not_cancel_out(tiny):
    """After a normalization over channels, as in SegFormer, the plain sum over channels is constant."""
    class Centred(nn.Conv2d):
        def forward(self, x):
            x = super().forward(x)
            return x - x.mean(1, keepdim=True)

    model = tiny.Model(tiny.Levels(Centred(3, 4, 3, padding=1)))
    _, (heatmap, ) = erf(model, [tiny.batch_of(tiny.random_image(9, 9))])
    assert (heatmap[3:6, 3:6] > 0).all() and heatmap[3:6, 3:6].sum() == pytest.approx(1)


@pytest.mark.parametrize('position, expected', [((0.1, 0.1), (2, 3)), ((0, 0), (0, 0)), ((1, 1), (19, 29)),
                                             ((0.5, 0.1), (2, 15))])
def test_position_selects_the_unit(tiny, position, expected):
    model = tiny.Model(tiny.Levels(ones(inputs=3, kernel=1)))
    _, (heatmap, ) = erf(model, [tiny.batch_of(tiny.random_image(20, 30))], position=position)
    assert np.unravel_index(heatmap.argmax(), heatmap.shape) == expected


def test_neck_and_decode_head_are_stages(tiny):
    model = tiny.Segmentor(tiny.Levels(ones(inputs=3)), channels=1, classes=2)
    model.neck = tiny.Levels(ones(), ones())
    model.extract_feat = lambda image: model.neck(model.backbone(image)[-1])
    stages, _ = erf(model, [tiny.batch_of(tiny.random_image(15, 15))])
    assert [stage.name for stage in stages] == ['backbone.0', 'neck.0', 'neck.1', 'decode_head']
    assert [stage.sigma**2 * 3 / 2 for stage in stages] == pytest.approx([1, 2, 3, 3], rel=1e-4)
    assert [stage.sigma_ratio for stage in stages] == [None, None, pytest.approx(math.sqrt(3 / 2), rel=1e-4), None]


def test_images_have_equal_weight_and_are_resized(tiny):
    class Scaled(nn.Module):
        """Module that uses one pixel of dark images, and nine of bright ones with 1000 times the gradient."""

        def forward(self, x):
            bright = x.mean() > 100
            return 1000 * wide(x) if bright else narrow(x)

    narrow, wide = ones(inputs=3, kernel=1), ones(inputs=3)
    model = tiny.Model(tiny.Levels(Scaled()))
    dark, bright = torch.full((3, 16, 16), 9, dtype=torch.uint8), torch.full((3, 24, 24), 200, dtype=torch.uint8)
    (stage, ), (heatmap, ) = erf(model, [tiny.batch_of(dark, bright)])
    assert stage.images == 2
    assert heatmap.shape == (16, 16)
    assert heatmap[8, 8] == pytest.approx((1 + 1 / 9) / 2)
    assert stage.sigma == pytest.approx((0 + math.sqrt(2 / 3)) / 2)  # mean over images


def test_model_is_restored(tiny):
    model = tiny.Model(tiny.Levels(ones(inputs=3)))
    model.train()
    erf(model, [tiny.batch_of(tiny.random_image(9, 9))])
    parameter, = model.parameters()
    assert model.training and parameter.requires_grad and parameter.grad is None
    assert not model.backbone._forward_hooks


def test_invalid_inputs_are_rejected(tiny):
    dead = ones(inputs=3)
    nn.init.constant_(dead.weight, -1)
    model = tiny.Model(tiny.Levels(nn.Sequential(dead, nn.ReLU())))
    with pytest.raises(ValueError, match='No gradient reaches the image from backbone.0 at row 4, column 4 of 9x9'):
        erf(model, [tiny.batch_of(tiny.random_image(9, 9))])
    with pytest.raises(ValueError, match='batches must contain at least one image'):
        erf(model, [])
    with pytest.raises(ValueError, match='Linear must have backbone and extract_feat'):
        model = nn.Linear(1, 1)
        model.data_preprocessor = lambda batch, training: dict(batch, inputs=batch['inputs'][0][None].float())
        erf(model, [tiny.batch_of(tiny.random_image(9, 9))])


def area_ratio_by_search(heatmap, share):
    """Try every odd side around the center of mass."""
    row, column = (round(index) for index in center_of_mass(heatmap))
    for half in range(max(heatmap.shape) + 1):
        inside = np.zeros(heatmap.shape, bool)
        inside[max(row - half, 0):row + half + 1, max(column - half, 0):column + half + 1] = True
        if heatmap[inside].sum() >= share * heatmap.sum():
            return inside.mean()


@settings(deadline=None, max_examples=50)
@given(st.integers(1, 12), st.integers(1, 12), st.integers(0, 99), st.sampled_from([0.05, 0.2, 0.5, 0.93]))
def test_area_ratios_match_brute_force(height, width, seed, share):
    heatmap = np.random.RandomState(seed).gamma(0.3, size=(height, width))
    ratio, = area_ratios(heatmap, [share]).values()
    assert ratio == pytest.approx(area_ratio_by_search(heatmap, share))


def test_full_share_covers_the_outermost_pixels():
    heatmap = np.zeros((9, 9))
    heatmap[0, 0] = heatmap[8, 8] = 0.5
    assert area_ratios(heatmap, [0.3, 1]) == {'30%': 1, '100%': 1}


@settings(deadline=None, max_examples=20)
@given(st.floats(1.5, 4), st.floats(-3, 3), st.floats(-3, 3))
def test_sigma_of_a_gaussian(deviation, down, right):
    rows, columns = np.indices((61, 61)) - 30
    heatmap = np.exp(-((rows - down)**2 + (columns - right)**2) / (2 * deviation**2))
    assert sigma(heatmap) == pytest.approx(deviation, rel=1e-3)
    assert center_of_mass(heatmap) == pytest.approx((30 + down, 30 + right), abs=1e-3)
