"""Drawing with integer arithmetic, which produces the same pixels on every machine.

All functions use NumPy integers and the streams of ``np.random.RandomState``, which NumPy guarantees not to change.
Without floating-point numbers, the result does not depend on the compiler, the processor or library versions.
"""
import struct
import zlib
from typing import Any

import numpy as np
from numpy.random import RandomState

__all__ = ['ONE', 'draw_ellipse', 'draw_stroke', 'encode_png', 'make_texture', 'randint', 'upsample']

ONE = 256  # 1.0 in the fixed-point numbers of upsample


def randint(rng: RandomState, low: int, high: int, size: int | tuple[int, ...] | None = None) -> Any:
    """Draw random int64 numbers from ``[low, high)``. The default integer type would depend on the platform."""
    return rng.randint(low, high, size, dtype=np.int64)


def upsample(grid: np.ndarray, height: int, width: int) -> np.ndarray:
    """Interpolate bilinearly in fixed-point arithmetic, with replicated edges.

    Args:
        grid: Integers of shape (h, w).
        height: Height of the result in pixels.
        width: Width of the result in pixels.

    Returns:
        int64 array of shape (height, width), the interpolated values times ``ONE``.
    """
    top, down = _taps(grid.shape[0], height)
    left, right = _taps(grid.shape[1], width)
    rows = grid[top] * (2 * height - down)[:, None]  # (height, w)
    rows = rows + grid[np.minimum(top + 1, len(grid) - 1)] * down[:, None]
    last = grid.shape[1] - 1
    full = rows[:, left] * (2 * width - right)  # (height, width)
    full = full + rows[:, np.minimum(left + 1, last)] * right
    return full * ONE // (4 * height * width)


def _taps(source: int, target: int) -> tuple[np.ndarray, np.ndarray]:
    """Return the index of the left neighbor and the weight of the right neighbor, in units of 1 / (2 * target)."""
    position = (2 * np.arange(target, dtype=np.int64) + 1) * source - target
    position = np.clip(position, 0, (source - 1) * 2 * target)
    return position // (2 * target), position % (2 * target)


def make_texture(rng: RandomState, size: int) -> np.ndarray:
    """Mix two colors with noise at several scales, and add grain.

    Args:
        rng: Random number generator.
        size: Side of the square texture in pixels.

    Returns:
        int64 array of shape (size, size, 3) with values in [0, 255].
    """
    noise, total = np.zeros((size, size), np.int64), 0
    for cells in (3, 6, 12, 24, 48):
        weight = randint(rng, 0, 8)
        grid = randint(rng, 0, 256, (cells, cells))
        noise += weight * upsample(grid, size, size)
        total += weight * 255 * ONE
    if randint(rng, 0, 3) == 0:  # slanted stripes
        slope, period = randint(rng, -4, 5, 2), randint(rng, 6, 40)
        axis = np.arange(size, dtype=np.int64)
        phase = (slope[0] * axis[:, None] + slope[1] * axis) // 4 % period
        noise += (2 * phase < period) * 4 * 255 * ONE
        total += 4 * 255 * ONE
    first, second = randint(rng, 0, 256, (2, 3))
    mixed = first + (second - first) * noise[..., None] // max(total, 1)
    return np.clip(mixed + randint(rng, -12, 13, (size, size, 1)), 0, 255)


def draw_ellipse(rng: RandomState | None, height: int, width: int) -> np.ndarray:
    """Draw a filled ellipse that touches all four sides.

    Args:
        rng: Unused; all shapes have the same signature.
        height: Height in pixels.
        width: Width in pixels.

    Returns:
        Bool array of shape (height, width).
    """
    y = 2 * np.arange(height, dtype=np.int64)[:, None] + 1 - height
    x = 2 * np.arange(width, dtype=np.int64) + 1 - width
    return (y * width)**2 + (x * height)**2 <= (height * width)**2


def draw_stroke(rng: RandomState, height: int, width: int) -> np.ndarray:
    """Draw a thick line through three random points.

    Args:
        rng: Random number generator.
        height: Height in pixels.
        width: Width in pixels.

    Returns:
        Bool array of shape (height, width).
    """
    radius = 1 + min(height, width) // randint(rng, 8, 20)
    y, x = np.mgrid[:height, :width].astype(np.int64)
    points = np.stack([randint(rng, 0, height, 3), randint(rng, 0, width, 3)], 1)
    mask = np.zeros((height, width), bool)
    for (ay, ax), (by, bx) in zip(points[:-1], points[1:]):
        dy, dx = by - ay, bx - ax
        length2 = dy * dy + dx * dx
        along = (y - ay) * dy + (x - ax) * dx
        across = (y - ay) * dx - (x - ax) * dy
        mask |= (along >= 0) & (along <= length2) & (across**2 <= radius**2 * length2)
        mask |= (y - by)**2 + (x - bx)**2 <= radius**2
    return mask


def encode_png(pixels: np.ndarray) -> bytes:
    """Encode an image as PNG without compression.

    zlib and zlib-ng compress to different bytes. Stored blocks are the same everywhere, and every viewer reads them.

    Args:
        pixels: uint8 array of shape (H, W) or (H, W, 3).

    Returns:
        Content of the PNG file.
    """
    height, width = pixels.shape[:2]
    color_type = 0 if pixels.ndim == 2 else 2
    rows = pixels.reshape(height, -1)
    raw = np.pad(rows, ((0, 0), (1, 0))).tobytes()  # each row starts with filter type 0
    blocks = [b'\x78\x01']
    for start in range(0, len(raw), 65535):
        part = raw[start:start + 65535]
        final = start + 65535 >= len(raw)
        blocks += [struct.pack('<BHH', final, len(part), len(part) ^ 65535), part]
    blocks.append(struct.pack('>I', zlib.adler32(raw)))
    header = struct.pack('>IIBBBBB', width, height, 8, color_type, 0, 0, 0)
    return (b'\x89PNG\r\n\x1a\n' + _png_chunk(b'IHDR', header) + _png_chunk(b'IDAT', b''.join(blocks))
            + _png_chunk(b'IEND', b''))


def _png_chunk(name: bytes, body: bytes) -> bytes:
    return struct.pack('>I', len(body)) + name + body + struct.pack('>I', zlib.crc32(name + body))
