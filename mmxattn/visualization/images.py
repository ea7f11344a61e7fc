"""Drawing: pictures that can be read at any image size and without telling red from green.

Colours are Okabe and Ito's, made for colour-blind readers; what they mean is said by the line's style as well. Heat is
drawn in colour maps of even, rising lightness.
"""

import math
from functools import lru_cache
from pathlib import Path

import matplotlib
import numpy as np
from PIL import Image, ImageDraw, ImageFont

BLUE, ORANGE, PURPLE, GREY = (86, 180, 233), (230, 159, 0), (204, 121, 167), (150, 150, 150)
SHORTEST, LONGEST = 320, 800  # pixels of a picture's sides: below the one it is enlarged, above the other reduced
GAP = 8  # pixels between pictures
FONT = Path(matplotlib.get_data_path()) / 'fonts' / 'ttf' / 'DejaVuSans.ttf'  # Pillow's own has few characters


@lru_cache(16)
def font(size):
    """The font of labels and titles, in pixels."""
    return ImageFont.truetype(str(FONT), size)


def photo(image):
    """An image as a data loader gives it, for people.

    Args:
        image (torch.Tensor): (3, H, W) uint8, blue first, as the toolboxes load images.

    Returns:
        numpy.ndarray: (H, W, 3) uint8, red first.
    """
    return image.detach().cpu().numpy()[::-1].transpose(1, 2, 0).copy()


def scale_for(height, width):
    """What to multiply an image's size with to look at it: an integer for a small one, below 1 for a large one."""
    if min(height, width) < SHORTEST:
        return math.ceil(SHORTEST / min(height, width))
    return min(1.0, LONGEST / max(height, width))


def enlarge(pixels, height=None):
    """Bring an image to the size that it is looked at: whole pixels where it becomes larger, averages where smaller.

    Args:
        pixels (numpy.ndarray): (H, W, 3) uint8.
        height (int, optional): Of the picture, in pixels. By default as :func:`scale_for` says.

    Returns:
        PIL.Image.Image: The picture.
    """
    scale = height / pixels.shape[0] if height else scale_for(*pixels.shape[:2])
    height, width = pixels.shape[:2]
    resample = Image.Resampling.NEAREST if scale >= 1 else Image.Resampling.LANCZOS
    return Image.fromarray(pixels).resize((round(width * scale), round(height * scale)), resample)


def thumbnail(values, limits, colormap='viridis', height=200):
    """A map of numbers as a picture of a certain height, its pixels as squares where they become larger.

    Args:
        values (numpy.ndarray): (H, W).
        limits (tuple[float, float]): What gets the first and the last colour.
        colormap (str): One of matplotlib's.
        height (int): Of the picture, in pixels.

    Returns:
        PIL.Image.Image: The picture.
    """
    return enlarge(colours(values, limits, colormap), height)


def colours(values, limits, colormap='viridis'):
    """Numbers as colours.

    Args:
        values (numpy.ndarray): (H, W).
        limits (tuple[float, float]): What gets the first and the last colour; beyond them nothing changes.
        colormap (str): One of matplotlib's.

    Returns:
        numpy.ndarray: (H, W, 3) uint8.
    """
    low, high = limits
    shares = np.clip((values - low) / max(high - low, np.finfo(float).tiny), 0, 1)
    return np.uint8(np.round(matplotlib.colormaps[colormap](shares)[..., :3] * 255))


def overlay(pixels, heat, colormap='inferno', strength=0.75):
    """A heat map over a greyed image: where the heat is low the image stays.

    Args:
        pixels (numpy.ndarray): (H, W, 3) uint8.
        heat (numpy.ndarray): (H, W), from 0 to 1.
        colormap (str): One of matplotlib's.
        strength (float): Weight of the colour where the heat is 1.

    Returns:
        numpy.ndarray: (H, W, 3) uint8.
    """
    weight = strength * np.sqrt(np.clip(heat, 0, 1))[..., None]
    return np.uint8(np.round(grey(pixels) * (1 - weight) + colours(heat, (0, 1), colormap) * weight))


def grey(pixels):
    """An image (H, W, 3) without its colours, uint8 in the same shape."""
    return np.repeat(np.asarray(Image.fromarray(pixels).convert('L'))[..., None], 3, axis=2)


def colour_bar(limits, height, colormap='viridis'):
    """A vertical bar of the colours with the numbers at its ends.

    Args:
        limits (tuple[float, float]): The numbers.
        height (int): Pixels.
        colormap (str): One of matplotlib's.

    Returns:
        PIL.Image.Image: The bar.
    """
    bar = Image.new('RGB', (72, height), 'white')
    ramp = np.linspace(1, 0, height)[:, None].repeat(16, axis=1)
    bar.paste(Image.fromarray(colours(ramp, (0, 1), colormap)), (0, 0))
    pen = ImageDraw.Draw(bar)
    for number, top in ((limits[1], 0), (sum(limits) / 2, height // 2 - 7), (limits[0], height - 15)):
        pen.text((20, top), f'{number:.3g}', fill='black', font=font(12))
    return bar


def rectangle(pen, box, colour, dashed=False, width=2):
    """Draw a box between dark edges, so that it shows on any image.

    Args:
        pen (PIL.ImageDraw.ImageDraw): Of the picture.
        box (Sequence[float]): Left, top, right, bottom in the picture's pixels.
        colour (tuple[int, int, int]): Of the line.
        dashed (bool): Instead of a solid line.
        width (int): Of the line, in pixels.
    """
    left, top, right, bottom = (round(place) for place in box)
    corners = [(left, top), (right, top), (right, bottom), (left, bottom), (left, top)]
    pen.line(corners, fill='black', width=width + 2, joint='curve')
    pen.line(corners, fill='white', width=width)  # between dashes
    for start, end in zip(corners, corners[1:]):
        for piece in _dashes(start, end) if dashed else [(start, end)]:
            pen.line(piece, fill=colour, width=width)


def _dashes(start, end, dash=5, gap=4):
    start, end = np.array(start, float), np.array(end, float)
    length = np.abs(end - start).max()
    for begin in np.arange(0, length, dash + gap):
        ends = (start + (end - start) * min(place / length, 1) for place in (begin, begin + dash))
        yield [tuple(place) for place in ends]


def label(pen, place, text, colour):
    """Write a word in black on a patch of colour, within the picture.

    Args:
        pen (PIL.ImageDraw.ImageDraw): Of the picture.
        place (tuple[float, float]): Left and bottom of the patch, in pixels.
        text (str): The word.
        colour (tuple[int, int, int]): Of the patch.
    """
    left, top, right, bottom = pen.textbbox((0, 0), text, font=font(11))
    width, height = right - left + 4, bottom - top + 4
    farthest = (size - own - 1 for size, own in zip(pen.im.size, (width, height)))
    x, y = (max(min(start, end), 0) for start, end in zip((round(place[0]), round(place[1]) - height), farthest))
    pen.rectangle((x, y, x + width, y + height), fill=colour)
    pen.text((x + 2 - left, y + 2 - top), text, fill='black', font=font(11))


def sheet(rows, key=None, headings=None):
    """Rows of pictures, each with a title.

    Args:
        rows (list[list[tuple[str, PIL.Image.Image | numpy.ndarray]]]): Title and picture of each cell.
        key (list[tuple[str, tuple[int, int, int]]], optional): What colours mean, in a line below.
        headings (list[str], optional): A line above each row.

    Returns:
        PIL.Image.Image: All on white.
    """
    lines = []
    for number, row in enumerate(rows):
        cells = [titled(title, picture) for title, picture in row]
        line = Image.new('RGB', (sum(cell.width + GAP for cell in cells), max(cell.height for cell in cells)), 'white')
        for k, cell in enumerate(cells):
            line.paste(cell, (sum(before.width + GAP for before in cells[:k]), 0))
        lines += ([text_line(headings[number], 15)] if headings else []) + [line]
    return stack(lines + ([legend(key, across=True)] if key else []))


def stack(pictures):
    """Pictures below one another, on white with a margin."""
    width = max(picture.width for picture in pictures)
    page = Image.new('RGB', (width + 2 * GAP, sum(p.height + GAP for p in pictures) + GAP), 'white')
    top = GAP
    for picture in pictures:
        page.paste(picture, (GAP, top))
        top += picture.height + GAP
    return page


def legend(entries, across=False):
    """Names of colours.

    Args:
        entries (list[tuple[str, tuple[int, int, int]]]): Name and colour.
        across (bool): Side by side instead of below one another.

    Returns:
        PIL.Image.Image: A patch of colour and a name for each.
    """
    lines = [text_line(name, 12) for name, _ in entries]
    widths = [line.width + 30 for line in lines]
    picture = Image.new('RGB', (sum(widths) if across else max(widths), 20 * (1 if across else len(lines))), 'white')
    pen = ImageDraw.Draw(picture)
    for number, ((_, colour), line) in enumerate(zip(entries, lines)):
        left, top = (sum(widths[:number]), 0) if across else (0, 20 * number)
        pen.rectangle((left, top, left + 14, top + 14), fill=tuple(map(int, colour)), outline='black')
        picture.paste(line, (left + 20, top))
    return picture


def text_line(text, size):
    """A line of text as a picture."""
    line = Image.new('RGB', (math.ceil(font(size).getlength(text)), size + 5), 'white')
    ImageDraw.Draw(line).text((0, size), text, fill='black', font=font(size), anchor='ls')
    return line


def titled(title, picture, height=20):
    """A picture with its title above, in letters as large as fit."""
    picture = picture if isinstance(picture, Image.Image) else Image.fromarray(picture)
    cell = Image.new('RGB', (picture.width, picture.height + height), 'white')
    pen = ImageDraw.Draw(cell)
    size = next((size for size in (14, 13, 12, 11, 10) if font(size).getlength(title) <= picture.width), 9)
    pen.text((0, height - 4), title, fill='black', font=font(size), anchor='ls')
    cell.paste(picture, (0, height))
    return cell
