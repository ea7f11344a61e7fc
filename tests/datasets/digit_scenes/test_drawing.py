"""Integer drawing against float oracles."""
import io

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from PIL import Image

from mmxattn.datasets.digit_scenes import drawing


@pytest.mark.parametrize('source, target', [((8, 8), (8, 8)), ((8, 5), (37, 128)), ((1, 3), (9, 4)),
                                            ((48, 48), (17, 31))])
def test_enlarge_is_bilinear_interpolation(source, target):
    grid = np.random.RandomState(0).randint(0, 17, source)
    wanted = F.interpolate(torch.tensor(grid)[None, None].double(), size=target, mode='bilinear', align_corners=False)
    error = drawing.ONE * wanted[0, 0].numpy() - drawing.enlarge(grid, *target)
    assert error.min() > -1e-6 and error.max() < 1  # the integer result is the floor


def test_draw_is_the_frozen_stream():
    # the values that NumPy's legacy generator has given since 1.17, on every platform
    assert drawing.draw(np.random.RandomState(0), 0, 1000, 5).tolist() == [684, 559, 629, 192, 835]


@pytest.mark.parametrize('shape', [(5, 7), (5, 7, 3), (160, 160, 3), (300, 300)])
def test_png_reads_back(shape):
    pixels = np.random.RandomState(0).randint(0, 256, shape).astype(np.uint8)  # the last two take several blocks
    image = Image.open(io.BytesIO(drawing.png(pixels)))
    image.load()
    assert image.format == 'PNG' and np.array_equal(np.array(image), pixels)


def test_ellipse_touches_its_box_and_has_its_area():
    mask = drawing.ellipse(None, 40, 60)
    assert mask.any(1).all() and mask.any(0).all()
    assert mask.sum() == pytest.approx(np.pi * 40 * 60 / 4, rel=0.01)
    assert np.array_equal(mask, mask[::-1, ::-1])


def test_stroke_is_all_points_near_the_line():
    rng, again = np.random.RandomState(3), np.random.RandomState(3)
    mask = drawing.stroke(rng, 30, 50)
    radius = 1 + 30 // drawing.draw(again, 8, 20)
    points = np.stack([drawing.draw(again, 0, 30, 3), drawing.draw(again, 0, 50, 3)], 1).astype(float)
    y, x = np.mgrid[:30, :50].astype(float)
    wanted = np.zeros((30, 50), bool)
    for start, end in zip(points[:-1], points[1:]):
        along = end - start
        t = ((y - start[0]) * along[0] + (x - start[1]) * along[1]) / (along @ along)
        t = np.clip(t, 0, 1)
        wanted |= np.hypot(y - start[0] - t * along[0], x - start[1] - t * along[1]) <= radius + 1e-9
    # the line's free end is cut straight; all else is the distance rule
    assert not (mask & ~wanted).any()
    missing = wanted & ~mask
    assert (np.hypot(y - points[0][0], x - points[0][1])[missing] <= radius).all()


def test_texture_fills_the_range_and_differs_between_seeds():
    first, second = (drawing.texture(np.random.RandomState(seed), 64) for seed in (0, 1))
    assert first.shape == (64, 64, 3) and first.min() >= 0 and first.max() <= 255
    assert first.std() > 5 and not np.array_equal(first, second)
