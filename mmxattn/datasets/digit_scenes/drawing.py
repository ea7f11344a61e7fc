"""Integer drawing for the embedded dataset: the same pixels on every machine.

Everything here is NumPy integer arithmetic on the streams of
``np.random.RandomState``, which NumPy keeps frozen. No float enters, so no
compiler, processor or library version can change a byte.
"""
import struct
import zlib

import numpy as np

ONE = 256  # fixed-point one of `enlarge`


def draw(rng, low, high, size=None):
    """Random integers from ``[low, high)``.

    The width is fixed because the default one differs between platforms.

    Args:
        rng (np.random.RandomState): Source of randomness.
        low (int): Smallest value.
        high (int): One more than the largest value.
        size (int | tuple, optional): Shape; a scalar if absent.

    Returns:
        int | np.ndarray: int64.
    """
    return rng.randint(low, high, size, dtype=np.int64)


def enlarge(grid, height, width):
    """Bilinear interpolation in fixed point, edges repeated.

    Args:
        grid (np.ndarray): (h, w) integers.
        height (int): Rows of the result, in pixels.
        width (int): Columns of the result, in pixels.

    Returns:
        np.ndarray: (height, width) int64, the interpolated values times ``ONE``.
    """
    top, down = _taps(grid.shape[0], height)
    left, right = _taps(grid.shape[1], width)
    rows = grid[top] * (2 * height - down)[:, None]  # (height, w)
    rows = rows + grid[np.minimum(top + 1, len(grid) - 1)] * down[:, None]
    last = grid.shape[1] - 1
    full = rows[:, left] * (2 * width - right)  # (height, width)
    full = full + rows[:, np.minimum(left + 1, last)] * right
    return full * ONE // (4 * height * width)


def _taps(source, target):
    """Left neighbour and weight of the right one, in units of 1/(2*target)."""
    place = (2 * np.arange(target, dtype=np.int64) + 1) * source - target
    place = np.clip(place, 0, (source - 1) * 2 * target)
    return place // (2 * target), place % (2 * target)


def texture(rng, size):
    """A background: two colours mixed by noise at several scales, and grain.

    Args:
        rng (np.random.RandomState): Source of randomness.
        size (int): Side of the square, in pixels.

    Returns:
        np.ndarray: (size, size, 3) int64 in [0, 255].
    """
    noise, total = np.zeros((size, size), np.int64), 0
    for cells in (3, 6, 12, 24, 48):
        weight = draw(rng, 0, 8)
        grid = draw(rng, 0, 256, (cells, cells))
        noise += weight * enlarge(grid, size, size)
        total += weight * 255 * ONE
    if draw(rng, 0, 3) == 0:  # slanted stripes
        slope, period = draw(rng, -4, 5, 2), draw(rng, 6, 40)
        axis = np.arange(size, dtype=np.int64)
        phase = (slope[0] * axis[:, None] + slope[1] * axis) // 4 % period
        noise += (2 * phase < period) * 4 * 255 * ONE
        total += 4 * 255 * ONE
    first, second = draw(rng, 0, 256, (2, 3))
    mixed = first + (second - first) * noise[..., None] // max(total, 1)
    return np.clip(mixed + draw(rng, -12, 13, (size, size, 1)), 0, 255)


def ellipse(rng, height, width):
    """A filled ellipse that touches all four sides.

    Args:
        rng (np.random.RandomState): Unused; shapes share one signature.
        height (int): Rows, in pixels.
        width (int): Columns, in pixels.

    Returns:
        np.ndarray: (height, width) bool.
    """
    y = 2 * np.arange(height, dtype=np.int64)[:, None] + 1 - height
    x = 2 * np.arange(width, dtype=np.int64) + 1 - width
    return (y * width)**2 + (x * height)**2 <= (height * width)**2


def stroke(rng, height, width):
    """A thick bent line between random points.

    Args:
        rng (np.random.RandomState): Source of randomness.
        height (int): Rows, in pixels.
        width (int): Columns, in pixels.

    Returns:
        np.ndarray: (height, width) bool.
    """
    radius = 1 + min(height, width) // draw(rng, 8, 20)
    y, x = np.mgrid[:height, :width].astype(np.int64)
    points = np.stack([draw(rng, 0, height, 3), draw(rng, 0, width, 3)], 1)
    mask = np.zeros((height, width), bool)
    for (ay, ax), (by, bx) in zip(points[:-1], points[1:]):
        dy, dx = by - ay, bx - ax
        length2 = dy * dy + dx * dx
        along = (y - ay) * dy + (x - ax) * dx
        across = (y - ay) * dx - (x - ax) * dy
        mask |= ((along >= 0) & (along <= length2)
                 & (across**2 <= radius**2 * length2))
        mask |= (y - by)**2 + (x - bx)**2 <= radius**2
    return mask


def png(pixels):
    """Encode as PNG without compression.

    zlib and zlib-ng compress to different bytes; stored blocks are the same
    everywhere, and every viewer reads them.

    Args:
        pixels (np.ndarray): (H, W) or (H, W, 3) uint8.

    Returns:
        bytes: The file.
    """
    height, width = pixels.shape[:2]
    colour = 0 if pixels.ndim == 2 else 2
    rows = pixels.reshape(height, -1)
    raw = np.pad(rows, ((0, 0), (1, 0))).tobytes()  # filter type 0 leads a row
    blocks = [b'\x78\x01']
    for start in range(0, len(raw), 65535):
        part = raw[start:start + 65535]
        final = start + 65535 >= len(raw)
        blocks += [struct.pack('<BHH', final, len(part), len(part) ^ 65535),
                   part]
    blocks.append(struct.pack('>I', zlib.adler32(raw)))
    header = struct.pack('>IIBBBBB', width, height, 8, colour, 0, 0, 0)
    return (b'\x89PNG\r\n\x1a\n' + _chunk(b'IHDR', header) +
            _chunk(b'IDAT', b''.join(blocks)) + _chunk(b'IEND', b''))


def _chunk(name, body):
    return (struct.pack('>I', len(body)) + name + body +
            struct.pack('>I', zlib.crc32(name + body)))
