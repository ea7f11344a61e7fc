"""Compose one digit scene: handwritten digits and distractors on a texture."""
from functools import lru_cache
from typing import NamedTuple

import numpy as np
from numpy.random import RandomState

from ..extras import import_extra
from .drawing import ONE, draw_ellipse, draw_stroke, make_texture, randint, upsample

__all__ = ['MAX_SIZE', 'Digit', 'Scene', 'load_digits', 'render', 'split_sources']

EDGE, CORE = 2, 9  # ink (0 to 16) at the outline of a digit, and where it is opaque
# Heights [low, high) in pixels and widths [low, high) in percent of the height. A drawn digit is slightly smaller, 8 to
# 128 pixels high. Its mask fills about two thirds of its box, so there are small (area < 32^2), medium and large
# (area > 96^2) objects by COCO's definition.
SMALL, MEDIUM, LARGE = (9, 39, 65, 91), (39, 112, 65, 91), (129, 133, 100, 101)
MAX_SIZE = 132


class Digit(NamedTuple):
    """A digit of a scene: class, index of its source image, and mask of its visible pixels of shape (size, size)."""
    label: int
    source: int
    mask: np.ndarray


class Scene(NamedTuple):
    """A scene: uint8 RGB image of shape (size, size, 3) and its digits, back to front."""
    image: np.ndarray
    digits: list[Digit]


@lru_cache(1)
def load_digits() -> tuple[np.ndarray, np.ndarray]:
    """Load scikit-learn's handwritten digits.

    Returns:
        Ink from 0 to 16 of shape (1797, 8, 8) and classes of shape (1797, ).

    Raises:
        ImportError: If scikit-learn is not installed.
    """
    data = import_extra('sklearn.datasets', 'scikit-learn', 'The digit scenes dataset').load_digits()
    return data.images.astype(np.int64), data.target.astype(np.int64)


@lru_cache(8)
def split_sources(seed: int) -> dict[str, np.ndarray]:
    """Split the source images, 80% of each class for training.

    Args:
        seed: Seed of the dataset.

    Returns:
        Disjoint indices of source images for ``'train'`` and ``'test'``.
    """
    rng, (_, target) = np.random.RandomState(seed), load_digits()
    splits: dict[str, list] = dict(train=[], test=[])
    for label in range(10):
        indices = rng.permutation(np.flatnonzero(target == label))
        num_train = len(indices) * 4 // 5
        splits['train'].append(indices[:num_train])
        splits['test'].append(indices[num_train:])
    return {name: np.concatenate(indices) for name, indices in splits.items()}


def render(rng: RandomState, sources: np.ndarray, size: int = 160) -> Scene:
    """Compose one scene.

    Objects are painted from the largest to the smallest. An object that would hide more than half of a digit is
    skipped, so every annotated digit is legible and every visible digit is annotated.

    Args:
        rng: Random number generator.
        sources: Indices of source images.
        size: Side of the scene in pixels.

    Returns:
        The scene.
    """
    canvas = make_texture(rng, size)
    owner = np.full((size, size), -1, np.int64)  # index of the digit that is visible at a pixel
    digits: list[tuple[int, int]] = []  # label and source index
    full_areas: list[int] = []  # areas without occlusion
    for kind, height, width in _sample_objects(rng, size):
        source = sources[randint(rng, 0, len(sources))]
        shade, mask = _rasterize(rng, kind, source, height, width)
        colors = _sample_colors(rng)
        window = _find_window(rng, mask, owner, full_areas)
        if window is None:
            continue
        paint = colors[0] + (colors[1] - colors[0]) * shade[..., None] // ONE
        canvas[window][mask] = paint[mask]
        owner[window][mask] = len(digits) if kind == 'digit' else -1
        if kind == 'digit':
            digits.append((int(load_digits()[1][source]), int(source)))
            full_areas.append(int(mask.sum()))
    canvas = np.clip(canvas + randint(rng, -8, 9, canvas.shape), 0, 255)
    visible = [Digit(label, source, owner == k) for k, (label, source) in enumerate(digits)]
    return Scene(canvas.astype(np.uint8), visible)


def _sample_objects(rng: RandomState, size: int) -> list[tuple[str, int, int]]:
    """Sample (kind, height, width) of the objects, largest first."""
    small = [SMALL] * randint(rng, 2, 6)
    if randint(rng, 0, 5) < 2:  # a large digit leaves little space for other objects
        ranges, num_distractors, max_height = small + [LARGE], randint(rng, 0, 3), 33
    else:
        ranges = small + [MEDIUM] * randint(rng, 1, 5)
        num_distractors, max_height = randint(rng, 1, 6), 65
    objects = [('digit', randint(rng, low, high), randint(rng, narrow, wide)) for low, high, narrow, wide in ranges]
    for _ in range(num_distractors):
        kind = ('stroke', 'blob', 'scrambled')[randint(rng, 0, 3)]
        objects.append((kind, randint(rng, 8, max_height), randint(rng, 60, 141)))
    objects = [(kind, min(height, size), min(max(height * percent // 100, 4), size))
               for kind, height, percent in objects]
    return sorted(objects, key=lambda item: (-item[1] * item[2], item))


def _rasterize(rng: RandomState, kind: str, source: int, height: int, width: int) -> tuple[np.ndarray, np.ndarray]:
    """Return the shade, from 0 at the outline to ONE, and the mask of an object, both of shape (height, width)."""
    if kind in ('stroke', 'blob'):
        mask = dict(stroke=draw_stroke, blob=draw_ellipse)[kind](rng, height, width)
        return np.full(mask.shape, ONE), mask
    ink = load_digits()[0][source]
    if kind == 'scrambled':
        ink = _scramble(rng, ink)
    rows, columns = (np.flatnonzero((ink >= EDGE).any(axis)) for axis in (1, 0))
    ink = np.pad(ink[rows[0]:rows[-1] + 1, columns[0]:columns[-1] + 1], 1)
    # The padding of one pixel on each side lets the ink fade out; about half of it is visible.
    ink_height, ink_width = ink.shape
    level = upsample(ink, height * ink_height // (ink_height - 1), width * ink_width // (ink_width - 1)) - EDGE * ONE
    level = level[np.ix_((level >= 0).any(1), (level >= 0).any(0))]
    return np.clip(level // (CORE - EDGE), 0, ONE), level >= 0


def _scramble(rng: RandomState, ink: np.ndarray) -> np.ndarray:
    """Permute and rotate the quarters of a digit."""
    order = (np.arange(4) + randint(rng, 1, 4)) % 4
    quarters = [ink[:4, :4], ink[:4, 4:], ink[4:, :4], ink[4:, 4:]]
    a, b, c, d = (np.rot90(quarters[k], randint(rng, 0, 4)) for k in order)
    return np.block([[a, b], [c, d]])


def _sample_colors(rng: RandomState) -> np.ndarray:
    """Sample colors of outline and core, shape (2, 3). The core is at least 80 gray levels brighter."""
    while True:
        pair = randint(rng, 0, 256, (2, 3))
        outline, core = pair @ np.array([30, 59, 11])
        if abs(core - outline) >= 8000:
            return pair if core > outline else pair[::-1]


def _find_window(rng: RandomState, mask: np.ndarray, owner: np.ndarray,
                 full_areas: list[int]) -> tuple[slice, slice] | None:
    """Find a window for an object that leaves at least half of each digit visible."""
    size, (height, width), count = len(owner), mask.shape, len(full_areas)
    visible = np.bincount(owner.ravel() + 1, minlength=count + 1)[1:]
    for _ in range(8):
        top = randint(rng, 0, size - height + 1)
        left = randint(rng, 0, size - width + 1)
        window = np.s_[top:top + height, left:left + width]
        hidden = np.bincount(owner[window][mask] + 1, minlength=count + 1)[1:]
        if (2 * (visible - hidden) >= np.array(full_areas, np.int64)).all():
            return window
    return None
