"""Drawing primitives for reports.

Colors are those of Okabe and Ito, which are distinguishable with color vision deficiency. Line styles encode the same
information as colors. Heatmaps use perceptually uniform color maps.
"""

import math
from collections.abc import Sequence
from functools import lru_cache
from pathlib import Path

import matplotlib
import numpy as np
from PIL import Image, ImageDraw, ImageFont
from torch import Tensor

Color = tuple[int, int, int]

BLUE, ORANGE, PURPLE, GRAY = (86, 180, 233), (230, 159, 0), (204, 121, 167), (150, 150, 150)
MIN_SIDE, MAX_SIDE = 320, 800  # pixels; smaller images are enlarged, larger ones reduced
GAP = 8  # pixels between pictures
FONT = Path(matplotlib.get_data_path()) / 'fonts' / 'ttf' / 'DejaVuSans.ttf'  # Pillow's own font lacks many characters


@lru_cache(16)
def font(size: int) -> ImageFont.FreeTypeFont:
    """Load the font at a size in pixels."""
    return ImageFont.truetype(str(FONT), size)


def to_rgb(image: Tensor) -> np.ndarray:
    """Convert a BGR tensor (3, H, W), as loaded by the toolboxes, to an RGB array (H, W, 3)."""
    return image.detach().cpu().numpy()[::-1].transpose(1, 2, 0).copy()


def display_scale(height: int, width: int) -> float:
    """Compute the zoom factor of an image: an integer for small images, below 1 for large ones."""
    if min(height, width) < MIN_SIDE:
        return math.ceil(MIN_SIDE / min(height, width))
    return min(1.0, MAX_SIDE / max(height, width))


def resize_for_display(pixels: np.ndarray, height: int | None = None) -> Image.Image:
    """Resize an image for display, with nearest neighbor if it is enlarged and Lanczos if it is reduced.

    Args:
        pixels: Image (H, W, 3), uint8.
        height: Height of the picture in pixels. Default: by :func:`display_scale`.

    Returns:
        The picture.
    """
    scale = height / pixels.shape[0] if height else display_scale(*pixels.shape[:2])
    height, width = pixels.shape[:2]
    resample = Image.Resampling.NEAREST if scale >= 1 else Image.Resampling.LANCZOS
    return Image.fromarray(pixels).resize((round(width * scale), round(height * scale)), resample)


def thumbnail(values: np.ndarray, limits: tuple[float, float], colormap: str = 'viridis',
              height: int = 200) -> Image.Image:
    """Draw a map (H, W) at a given height. See :func:`colorize` for the other arguments."""
    return resize_for_display(colorize(values, limits, colormap), height)


def colorize(values: np.ndarray, limits: tuple[float, float], colormap: str = 'viridis') -> np.ndarray:
    """Apply a color map.

    Args:
        values: Map (H, W).
        limits: Values of the first and the last color. Values outside are clipped.
        colormap: Name of a matplotlib color map.

    Returns:
        uint8 array of shape (H, W, 3).
    """
    low, high = limits
    normalized = np.clip((values - low) / max(high - low, np.finfo(float).tiny), 0, 1)
    return np.uint8(np.round(matplotlib.colormaps[colormap](normalized)[..., :3] * 255))


def overlay(pixels: np.ndarray, heatmap: np.ndarray, colormap: str = 'inferno', alpha: float = 0.75) -> np.ndarray:
    """Draw a heatmap over a grayscale version of an image.

    Args:
        pixels: Image (H, W, 3), uint8.
        heatmap: Map (H, W) from 0 (transparent) to 1.
        colormap: Name of a matplotlib color map.
        alpha: Opacity where the heatmap is 1.

    Returns:
        uint8 array of shape (H, W, 3).
    """
    weight = alpha * np.sqrt(np.clip(heatmap, 0, 1))[..., None]
    return np.uint8(np.round(to_gray(pixels) * (1 - weight) + colorize(heatmap, (0, 1), colormap) * weight))


def to_gray(pixels: np.ndarray) -> np.ndarray:
    """Convert an image (H, W, 3) to grayscale, in the same shape."""
    return np.repeat(np.asarray(Image.fromarray(pixels).convert('L'))[..., None], 3, axis=2)


def colorbar(limits: tuple[float, float], height: int, colormap: str = 'viridis') -> Image.Image:
    """Draw a vertical color bar with labels at both ends and in the middle."""
    bar = Image.new('RGB', (72, height), 'white')
    ramp = np.linspace(1, 0, height)[:, None].repeat(16, axis=1)
    bar.paste(Image.fromarray(colorize(ramp, (0, 1), colormap)), (0, 0))
    draw = ImageDraw.Draw(bar)
    for number, top in ((limits[1], 0), (sum(limits) / 2, height // 2 - 7), (limits[0], height - 15)):
        draw.text((20, top), f'{number:.3g}', fill='black', font=font(12))
    return bar


def draw_box(draw: ImageDraw.ImageDraw, box: Sequence[float], color: Color, dashed: bool = False,
             width: int = 2) -> None:
    """Draw a box with a dark outline, so that it is visible on any image.

    Args:
        draw: Canvas.
        box: Left, top, right, bottom in pixels.
        color: Color of the line.
        dashed: Draw a dashed line.
        width: Line width in pixels.
    """
    left, top, right, bottom = (round(coordinate) for coordinate in box)
    corners = [(left, top), (right, top), (right, bottom), (left, bottom), (left, top)]
    draw.line(corners, fill='black', width=width + 2, joint='curve')
    draw.line(corners, fill='white', width=width)  # between dashes
    for start, end in zip(corners, corners[1:]):
        for segment in _dashes(start, end) if dashed else [(start, end)]:
            draw.line(segment, fill=color, width=width)


def _dashes(start, end, dash=5, gap=4):
    start, end = np.array(start, float), np.array(end, float)
    length = np.abs(end - start).max()
    for begin in np.arange(0, length, dash + gap):
        ends = (start + (end - start) * min(position / length, 1) for position in (begin, begin + dash))
        yield [tuple(point) for point in ends]


def draw_label(draw: ImageDraw.ImageDraw, position: tuple[float, float], text: str, color: Color) -> None:
    """Draw black text on a colored background, moved into the picture if necessary.

    Args:
        draw: Canvas.
        position: Left and bottom of the background in pixels.
        text: Text.
        color: Color of the background.
    """
    left, top, right, bottom = draw.textbbox((0, 0), text, font=font(11))
    width, height = right - left + 4, bottom - top + 4
    limits = (size - own - 1 for size, own in zip(draw.im.size, (width, height)))
    corner = (round(position[0]), round(position[1]) - height)
    x, y = (max(min(start, limit), 0) for start, limit in zip(corner, limits))
    draw.rectangle((x, y, x + width, y + height), fill=color)
    draw.text((x + 2 - left, y + 2 - top), text, fill='black', font=font(11))


def grid(rows: Sequence[Sequence[tuple[str, Image.Image | np.ndarray]]],
         key: Sequence[tuple[str, Color]] | None = None,
         headings: Sequence[str] | None = None) -> Image.Image:
    """Arrange titled pictures in rows on a white background.

    Args:
        rows: Title and picture of each cell.
        key: Names of colors, drawn in a line at the bottom.
        headings: Text above each row.

    Returns:
        The picture.
    """
    lines = []
    for number, row in enumerate(rows):
        cells = [add_title(title, picture) for title, picture in row]
        line = Image.new('RGB', (sum(cell.width + GAP for cell in cells), max(cell.height for cell in cells)), 'white')
        left = 0
        for cell in cells:
            line.paste(cell, (left, 0))
            left += cell.width + GAP
        lines += ([render_text(headings[number], 15)] if headings else []) + [line]
    return stack(lines + ([legend(key, horizontal=True)] if key else []))


def stack(pictures: Sequence[Image.Image]) -> Image.Image:
    """Stack pictures vertically, with margins."""
    width = max(picture.width for picture in pictures)
    page = Image.new('RGB', (width + 2 * GAP, sum(p.height + GAP for p in pictures) + GAP), 'white')
    top = GAP
    for picture in pictures:
        page.paste(picture, (GAP, top))
        top += picture.height + GAP
    return page


def legend(entries: Sequence[tuple[str, Color]], horizontal: bool = False) -> Image.Image:
    """Draw a color patch and a name for each entry."""
    lines = [render_text(name, 12) for name, _ in entries]
    widths = [line.width + 30 for line in lines]
    size = (sum(widths), 20) if horizontal else (max(widths), 20 * len(lines))
    picture = Image.new('RGB', size, 'white')
    draw = ImageDraw.Draw(picture)
    for number, ((_, color), line) in enumerate(zip(entries, lines)):
        left, top = (sum(widths[:number]), 0) if horizontal else (0, 20 * number)
        draw.rectangle((left, top, left + 14, top + 14), fill=tuple(map(int, color)), outline='black')
        picture.paste(line, (left + 20, top))
    return picture


def render_text(text: str, size: int) -> Image.Image:
    """Render a line of text."""
    line = Image.new('RGB', (math.ceil(font(size).getlength(text)), size + 5), 'white')
    ImageDraw.Draw(line).text((0, size), text, fill='black', font=font(size), anchor='ls')
    return line


def add_title(title: str, picture: Image.Image | np.ndarray, height: int = 20) -> Image.Image:
    """Add a title above a picture, in the largest font size that fits."""
    picture = picture if isinstance(picture, Image.Image) else Image.fromarray(picture)
    cell = Image.new('RGB', (picture.width, picture.height + height), 'white')
    draw = ImageDraw.Draw(cell)
    size = next((size for size in (14, 13, 12, 11, 10) if font(size).getlength(title) <= picture.width), 9)
    draw.text((0, height - 4), title, fill='black', font=font(size), anchor='ls')
    cell.paste(picture, (0, height))
    return cell
