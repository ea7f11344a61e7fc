"""Is a difference between two models more than the luck of these images? The paired bootstrap.

Images are drawn with replacement, as many as there are; both models are measured on the same drawing; the middle 95%
of the differences is the interval (Efron and Tibshirani, An Introduction to the Bootstrap, chapter 13). It says
nothing of the luck of a training's seed.
"""
from dataclasses import dataclass

import numpy as np

LEVEL = 0.95
AT_ONCE = 50  # drawings that go through NumPy together


@dataclass(frozen=True)
class Interval:
    """A difference and how far it may be chance.

    Attributes:
        difference: Second model minus first on all images, in the metric's unit.
        lower: Of the middle 95% of the differences over the drawings.
        upper: Likewise.
        resamples: Number of drawings.
        seed: Of the drawings.
    """

    difference: float
    lower: float
    upper: float
    resamples: int
    seed: int


def paired_bootstrap(first, second, images, resamples=1000, seed=0, progress=None):
    """Intervals for the differences between two models.

    Args:
        first (Callable[[np.ndarray], dict[str, np.ndarray]]): Takes weights (R, I), how often each of R drawings has
            each image; returns the model's metrics, (R,) by name, NaN where a drawing leaves one undefined.
        second (Callable): Likewise; the same names, and the same images in the same order.
        images (int): Number of images, I.
        resamples (int): Number of drawings.
        seed (int): Of the drawings.
        progress (Callable[[int, int], object], optional): Called with the drawings done and their total.

    Returns:
        dict[str, Interval]: By name. A metric that is undefined on all images is left out.

    Raises:
        ValueError: Fewer than one drawing or image.
    """
    if resamples < 1 or images < 1:
        raise ValueError(f'A bootstrap needs images and drawings of them: got {images} images, resamples={resamples}.')
    whole = _differences(first, second, np.ones((1, images), np.int32))
    known = [name for name, difference in whole.items() if not np.isnan(difference[0])]
    rng, differences = np.random.default_rng(seed), {name: [] for name in known}
    for done in range(0, resamples, AT_ONCE):
        number = min(AT_ONCE, resamples - done)
        weights = rng.multinomial(images, np.full(images, 1 / images), number).astype(np.int32)
        for name, values in _differences(first, second, weights).items():
            if name in differences:
                differences[name].extend(values.tolist())
        if progress is not None:
            progress(done + number, resamples)
    tail = 50 * (1 - LEVEL)
    return {name: Interval(float(whole[name][0]), *np.nanpercentile(values, [tail, 100 - tail]).tolist(), resamples,
                           seed) for name, values in differences.items()}


def _differences(first, second, weights):
    before, after = first(weights), second(weights)
    return {name: after[name] - before[name] for name in before}
