"""One digit scene: real handwritten digits and distractors on a texture."""
from functools import lru_cache
from typing import NamedTuple

import numpy as np

from .drawing import ONE, draw, ellipse, enlarge, stroke, texture

EDGE, CORE = 2, 9  # ink (0..16) where a digit begins, and where it is solid
# Heights [low, high) in pixels, widths [least, most) in percent of the height; a
# digit comes out a little lower, 8 to 128 in all. Its mask fills about two thirds
# of its box, so these give COCO's small (area < 32^2), medium and large (> 96^2).
SMALL, MEDIUM, LARGE = (9, 39, 65, 91), (39, 112, 65, 91), (129, 133, 100, 101)
MAX_SIZE = 132


class Digit(NamedTuple):
    """A digit of a scene: its class 0..9, the row of its source image in
    ``load_digits`` and its visible pixels, (size, size) bool."""
    label: int
    source: int
    mask: np.ndarray


class Scene(NamedTuple):
    """A scene: image (size, size, 3) uint8 RGB and its digits, back to front."""
    image: np.ndarray
    digits: list


@lru_cache(1)
def handwriting():
    """The digits that scikit-learn ships.

    Returns:
        tuple[np.ndarray, np.ndarray]: (1797, 8, 8) ink 0..16, (1797,) class.
    """
    from sklearn.datasets import load_digits
    data = load_digits()
    return data.images.astype(np.int64), data.target.astype(np.int64)


@lru_cache(8)
def split_sources(seed):
    """Deal the source images out: of each class four fifths to train.

    Args:
        seed (int): Seed of the dataset.

    Returns:
        dict[str, np.ndarray]: 'train' and 'test', disjoint rows of
        ``load_digits``.
    """
    rng, (_, target) = np.random.RandomState(seed), handwriting()
    parts: dict[str, list] = dict(train=[], test=[])
    for label in range(10):
        rows = rng.permutation(np.flatnonzero(target == label))
        cut = len(rows) * 4 // 5
        parts['train'].append(rows[:cut])
        parts['test'].append(rows[cut:])
    return {name: np.concatenate(rows) for name, rows in parts.items()}


def render(rng, sources, size=160):
    """Compose one scene.

    Objects are painted from the largest to the smallest; one that would hide
    more than half of a digit is not painted, so every digit that is annotated
    can be read and every digit that can be seen is annotated.

    Args:
        rng (np.random.RandomState): Source of randomness.
        sources (np.ndarray): Rows of ``load_digits`` to draw from.
        size (int): Side of the scene, in pixels.

    Returns:
        Scene: Image and digits.
    """
    canvas = texture(rng, size)
    owner = np.full((size, size), -1, np.int64)  # which digit a pixel shows
    digits: list[tuple[int, int]] = []  # label and row of its source
    full: list[int] = []  # pixels, were nothing in front of it
    for kind, height, width in _plan(rng, size):
        row = sources[draw(rng, 0, len(sources))]
        shade, mask = _shape(rng, kind, row, height, width)
        colours = _colours(rng)
        place = _place(rng, mask, owner, full)
        if place is None:
            continue
        paint = colours[0] + (colours[1] - colours[0]) * shade[..., None] // ONE
        canvas[place][mask] = paint[mask]
        owner[place][mask] = len(digits) if kind == 'digit' else -1
        if kind == 'digit':
            digits.append((int(handwriting()[1][row]), int(row)))
            full.append(int(mask.sum()))
    canvas = np.clip(canvas + draw(rng, -8, 9, canvas.shape), 0, 255)
    found = [Digit(label, row, owner == k) for k, (label, row) in enumerate(digits)]
    return Scene(canvas.astype(np.uint8), found)


def _plan(rng, size):
    """What to paint, largest first: (kind, height, width) in pixels."""
    small = [SMALL] * draw(rng, 2, 6)
    if draw(rng, 0, 5) < 2:  # little stands on a large digit, or it is medium
        wanted, distractors, reach = small + [LARGE], draw(rng, 0, 3), 33
    else:
        wanted = small + [MEDIUM] * draw(rng, 1, 5)
        distractors, reach = draw(rng, 1, 6), 65
    plan = [('digit', draw(rng, low, high), draw(rng, least, most))
            for low, high, least, most in wanted]
    for _ in range(distractors):
        kind = ('stroke', 'blob', 'scrambled')[draw(rng, 0, 3)]
        plan.append((kind, draw(rng, 8, reach), draw(rng, 60, 141)))
    plan = [(kind, min(tall, size), min(max(tall * percent // 100, 4), size))
            for kind, tall, percent in plan]
    return sorted(plan, key=lambda item: (-item[1] * item[2], item))


def _shape(rng, kind, row, height, width):
    """Shade (0..ONE, outline to solid) and mask, both (height, width)."""
    if kind in ('stroke', 'blob'):
        mask = dict(stroke=stroke, blob=ellipse)[kind](rng, height, width)
        return np.full(mask.shape, ONE), mask
    ink = handwriting()[0][row]
    if kind == 'scrambled':
        ink = _scramble(rng, ink)
    rows, columns = (np.flatnonzero((ink >= EDGE).any(axis)) for axis in (1, 0))
    ink = np.pad(ink[rows[0]:rows[-1] + 1, columns[0]:columns[-1] + 1], 1)
    # the pad of one pixel a side lets the ink fade; about half of it shows
    tall, wide = ink.shape
    level = enlarge(ink, height * tall // (tall - 1),
                    width * wide // (wide - 1)) - EDGE * ONE
    level = level[np.ix_((level >= 0).any(1), (level >= 0).any(0))]
    return np.clip(level // (CORE - EDGE), 0, ONE), level >= 0


def _scramble(rng, ink):
    """The quarters of a digit, each turned, in an order that is not theirs."""
    order = (np.arange(4) + draw(rng, 1, 4)) % 4
    quarters = [ink[:4, :4], ink[:4, 4:], ink[4:, :4], ink[4:, 4:]]
    a, b, c, d = (np.rot90(quarters[k], draw(rng, 0, 4)) for k in order)
    return np.block([[a, b], [c, d]])


def _colours(rng):
    """Outline and core (2, 3); the core is at least 80 grey levels brighter."""
    while True:
        pair = draw(rng, 0, 256, (2, 3))
        outline, core = pair @ np.array([30, 59, 11])
        if abs(core - outline) >= 8000:
            return pair if core > outline else pair[::-1]


def _place(rng, mask, owner, full):
    """A window for ``mask`` that leaves half of each digit to see, or None."""
    size, (height, width), count = len(owner), mask.shape, len(full)
    shown = np.bincount(owner.ravel() + 1, minlength=count + 1)[1:]
    for _ in range(8):
        top = draw(rng, 0, size - height + 1)
        left = draw(rng, 0, size - width + 1)
        window = np.s_[top:top + height, left:left + width]
        hidden = np.bincount(owner[window][mask] + 1, minlength=count + 1)[1:]
        if (2 * (shown - hidden) >= np.array(full, np.int64)).all():
            return window
    return None
