"""Integer drawing against float references."""
import io

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from PIL import Image

from mmxattn.datasets.digit_scenes import drawing


@pytest.mark.parametrize('source, target', [((8, 8), (8, 8)), ((8, 5), (37, 128)), ((1, 3), (9, 4)),
                                            ((48, 48), (17, 31))])
def test_upsample_is_bilinear_interpolation(source, target):
    grid = np.random.RandomState(0).randint(0, 17, source)
    expected = F.interpolate(torch.tensor(grid)[None, None].double(), size=target, mode='bilinear', align_corners=False)
    error = drawing.ONE * expected[0, 0].numpy() - drawing.upsample(grid, *target)
    assert error.min() > -1e-6 and error.max() < 1  # the integer result is the floor


def test_randint_is_numpys_frozen_stream():
    # The values of NumPy's legacy generator since 1.17, on every platform.
    assert drawing.randint(np.random.RandomState(0), 0, 1000, 5).tolist() == [684, 559, 629, 192, 835]


@pytest.mark.parametrize('shape', [(5, 7), (5, 7, 3), (160, 160, 3), (300, 300)])
def test_png_round_trip(shape):
    pixels = np.random.RandomState(0).randint(0, 256, shape).astype(np.uint8)  # the last two need several blocks
    image = Image.open(io.BytesIO(drawing.encode_png(pixels)))
    image.load()
    assert image.format == 'PNG' and np.array_equal(np.array(image), pixels)


def test_ellipse_fills_its_box():
    mask = drawing.draw_ellipse(None, 40, 60)
    assert mask.any(1).all() and mask.any(0).all()
    assert mask.sum() == pytest.approx(np.pi * 40 * 60 / 4, rel=0.01)
    assert np.array_equal(mask, mask[::-1, ::-1])


def test_stroke_contains_all_points_near_the_line():
    rng, again = np.random.RandomState(3), np.random.RandomState(3)
    mask = drawing.draw_stroke(rng, 30, 50)
    radius = 1 + 30 // drawing.randint(again, 8, 20)
    points = np.stack([drawing.randint(again, 0, 30, 3), drawing.randint(again, 0, 50, 3)], 1).astype(float)
    y, x = np.mgrid[:30, :50].astype(float)
    expected = np.zeros((30, 50), bool)
    for start, end in zip(points[:-1], points[1:]):
        along = end - start
        t = ((y - start[0]) * along[0] + (x - start[1]) * along[1]) / (along @ along)
        t = np.clip(t, 0, 1)
        expected |= np.hypot(y - start[0] - t * along[0], x - start[1] - t * along[1]) <= radius + 1e-9
    # The start of the line is cut straight.
    assert not (mask & ~expected).any()
    missing = expected & ~mask
    assert (np.hypot(y - points[0][0], x - points[0][1])[missing] <= radius).all()


def test_texture_depends_on_seed():
    first, second = (drawing.make_texture(np.random.RandomState(seed), 64) for seed in (0, 1))
    assert first.shape == (64, 64, 3) and first.min() >= 0 and first.max() <= 255
    assert first.std() > 5 and not np.array_equal(first, second)
