"""Sizes, colors and positions in pictures."""

import matplotlib
import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image, ImageDraw

from mmxattn.visualization import images

WHITE, BLACK = (255, 255, 255), (0, 0, 0)


def test_to_rgb_reverses_channels():
    blue_first = torch.tensor([10, 20, 30], dtype=torch.uint8).view(3, 1, 1).expand(3, 2, 4)
    pixels = images.to_rgb(blue_first)
    assert pixels.shape == (2, 4, 3) and pixels.dtype == np.uint8
    assert pixels[0, 0].tolist() == [30, 20, 10]


@pytest.mark.parametrize('shape, size', [
    ((160, 160), (320, 320)), ((100, 150), (400, 600)), ((320, 640), (320, 640)), ((319, 400), (638, 800)),
    ((800, 1333), (480, 800)), ((500, 400), (500, 400))])
def test_display_size(shape, size):
    picture = images.resize_for_display(np.zeros((*shape, 3), np.uint8))
    assert picture.size == size[::-1]


def test_enlarged_pixels_are_squares():
    pixels = np.random.RandomState(0).randint(256, size=(40, 50, 3), dtype=np.uint8)
    enlarged = np.asarray(images.resize_for_display(pixels))
    assert np.array_equal(enlarged, pixels.repeat(8, axis=0).repeat(8, axis=1))


def test_colorize_clips_to_the_limits():
    table = np.uint8(np.round(matplotlib.colormaps['viridis']([0.0, 0.5, 1.0])[:, :3] * 255))
    got = images.colorize(np.array([[-1., 2, 4, 6, 9]]), (2, 6))
    assert np.array_equal(got[0], table[[0, 0, 1, 2, 2]])
    assert np.array_equal(images.colorize(np.full((2, 2), 3.0), (3, 3)), np.tile(table[0], (2, 2, 1)))  # constant map


def test_overlay_is_transparent_where_the_heatmap_is_zero():
    pixels = np.random.RandomState(0).randint(256, size=(4, 5, 3), dtype=np.uint8)
    heatmap = np.zeros((4, 5))
    heatmap[1, 2] = 1
    shown = images.overlay(pixels, heatmap)
    cold = np.ones((4, 5), bool)
    cold[1, 2] = False
    assert np.array_equal(shown[cold], images.to_gray(pixels)[cold])
    assert not np.array_equal(shown[1, 2], images.to_gray(pixels)[1, 2])
    assert (images.to_gray(pixels).std(axis=2) == 0).all()


def test_dashed_and_solid_boxes_differ():
    def colors_of_top_edge(dashed):
        canvas = Image.new('RGB', (60, 60), (90, 90, 90))
        images.draw_box(ImageDraw.Draw(canvas), (10, 10, 50, 50), images.ORANGE, dashed)
        return [canvas.getpixel((x, 10)) for x in range(14, 46)]

    assert set(colors_of_top_edge(False)) == {images.ORANGE}
    assert set(colors_of_top_edge(True)) == {images.ORANGE, WHITE}


@settings(deadline=None, max_examples=30)
@given(st.floats(-30, 90), st.floats(-30, 90), st.text('0aZß', min_size=1, max_size=20))
def test_label_is_never_cut_off(x, y, text):
    def patch(position):
        canvas = Image.new('RGB', (400, 60), BLACK)
        images.draw_label(ImageDraw.Draw(canvas), position, text, WHITE)
        return int(np.asarray(canvas)[..., 0].sum())

    assert patch((x, y)) == patch((100, 40)) > 0


def test_grid_contains_every_picture():
    first, second = Image.new('RGB', (30, 40), images.BLUE), Image.new('RGB', (50, 20), images.ORANGE)
    rows = [[('one', first), ('two', second)], [('three', second)]]
    page = np.asarray(images.grid(rows, headings=['upper', 'lower'], key=[('purple', images.PURPLE)]))
    assert (page == images.BLUE).all(2).sum() == 30 * 40
    assert (page == images.ORANGE).all(2).sum() == 2 * 50 * 20
    assert (page == images.PURPLE).all(2).sum() == 13 * 13  # without outline
    assert (page[0] == 255).all() and (page[:, 0] == 255).all()


@pytest.mark.parametrize('title', ['a', 'a title much wider than its picture', 'σ 23 px'])
def test_title_does_not_cover_the_picture(title):
    cell = images.add_title(title, np.full((10, 30, 3), 7, np.uint8))
    assert cell.size == (30, 30)
    pixels = np.asarray(cell)
    assert (pixels[20:] == 7).all()
    assert (pixels[:20] < 128).any()  # letters


def test_colorbar_increases_upward():
    bar = np.asarray(images.colorbar((0, 1), 100, 'gray'))
    assert bar[0, 0, 0] == 255 and bar[-1, 0, 0] == 0
    assert (np.diff(bar[:, 0, 0].astype(int)) <= 0).all()
