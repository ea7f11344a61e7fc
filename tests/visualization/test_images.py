"""Pictures: sizes, colours and what stands where."""

import matplotlib
import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image, ImageDraw

from mmxattn.visualization import images

WHITE, BLACK = (255, 255, 255), (0, 0, 0)


def test_a_photo_is_red_first():
    blue_first = torch.tensor([10, 20, 30], dtype=torch.uint8).view(3, 1, 1).expand(3, 2, 4)
    pixels = images.photo(blue_first)
    assert pixels.shape == (2, 4, 3) and pixels.dtype == np.uint8
    assert pixels[0, 0].tolist() == [30, 20, 10]


@pytest.mark.parametrize('shape, size', [
    ((160, 160), (320, 320)), ((100, 150), (400, 600)), ((320, 640), (320, 640)), ((319, 400), (638, 800)),
    ((800, 1333), (480, 800)), ((500, 400), (500, 400))])
def test_small_images_are_enlarged_by_an_integer_and_large_ones_reduced(shape, size):
    picture = images.enlarge(np.zeros((*shape, 3), np.uint8))
    assert picture.size == size[::-1]


def test_an_enlarged_pixel_is_a_square():
    pixels = np.random.RandomState(0).randint(256, size=(40, 50, 3), dtype=np.uint8)
    enlarged = np.asarray(images.enlarge(pixels))
    assert np.array_equal(enlarged, pixels.repeat(8, axis=0).repeat(8, axis=1))


def test_numbers_get_the_colours_of_the_map():
    table = np.uint8(np.round(matplotlib.colormaps['viridis']([0.0, 0.5, 1.0])[:, :3] * 255))
    got = images.colours(np.array([[-1., 2, 4, 6, 9]]), (2, 6))
    assert np.array_equal(got[0], table[[0, 0, 1, 2, 2]])
    assert np.array_equal(images.colours(np.full((2, 2), 3.0), (3, 3)), np.tile(table[0], (2, 2, 1)))  # all alike


def test_without_heat_the_grey_image_stays():
    pixels = np.random.RandomState(0).randint(256, size=(4, 5, 3), dtype=np.uint8)
    heat = np.zeros((4, 5))
    heat[1, 2] = 1
    shown = images.overlay(pixels, heat)
    cold = np.ones((4, 5), bool)
    cold[1, 2] = False
    assert np.array_equal(shown[cold], images.grey(pixels)[cold])
    assert not np.array_equal(shown[1, 2], images.grey(pixels)[1, 2])
    assert (images.grey(pixels).std(axis=2) == 0).all()


def test_a_dashed_box_is_told_from_a_solid_one_without_its_colour():
    def colours_along_the_top(dashed):
        canvas = Image.new('RGB', (60, 60), (90, 90, 90))
        images.rectangle(ImageDraw.Draw(canvas), (10, 10, 50, 50), images.ORANGE, dashed)
        return [canvas.getpixel((x, 10)) for x in range(14, 46)]

    assert set(colours_along_the_top(False)) == {images.ORANGE}
    assert set(colours_along_the_top(True)) == {images.ORANGE, WHITE}


@settings(deadline=None, max_examples=30)
@given(st.floats(-30, 90), st.floats(-30, 90), st.text('0aZß', min_size=1, max_size=20))
def test_a_label_is_whole_wherever_its_box_is(x, y, text):
    def patch(place):
        canvas = Image.new('RGB', (400, 60), BLACK)
        images.label(ImageDraw.Draw(canvas), place, text, WHITE)
        return int(np.asarray(canvas)[..., 0].sum())

    assert patch((x, y)) == patch((100, 40)) > 0


def test_a_sheet_holds_every_picture_below_its_title():
    first, second = Image.new('RGB', (30, 40), images.BLUE), Image.new('RGB', (50, 20), images.ORANGE)
    rows = [[('one', first), ('two', second)], [('three', second)]]
    page = np.asarray(images.sheet(rows, headings=['upper', 'lower'], key=[('purple', images.PURPLE)]))
    assert (page == images.BLUE).all(2).sum() == 30 * 40
    assert (page == images.ORANGE).all(2).sum() == 2 * 50 * 20
    assert (page == images.PURPLE).all(2).sum() == 13 * 13  # within its outline
    assert (page[0] == 255).all() and (page[:, 0] == 255).all()


@pytest.mark.parametrize('title', ['a', 'a title that is longer than its picture by far', 'σ 23 px'])
def test_a_title_leaves_its_picture_alone(title):
    cell = images.titled(title, np.full((10, 30, 3), 7, np.uint8))
    assert cell.size == (30, 30)
    pixels = np.asarray(cell)
    assert (pixels[20:] == 7).all()
    assert (pixels[:20] < 128).any()  # letters


def test_a_colour_bar_runs_from_its_least_below_to_its_most_above():
    bar = np.asarray(images.colour_bar((0, 1), 100, 'gray'))
    assert bar[0, 0, 0] == 255 and bar[-1, 0, 0] == 0
    assert (np.diff(bar[:, 0, 0].astype(int)) <= 0).all()
