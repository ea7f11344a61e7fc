"""Paired bootstrap over images (Efron and Tibshirani, An Introduction to the Bootstrap, chapter 13).

Images are resampled with replacement, and both models are evaluated on the same resample. The interval contains the
middle 95% of the differences. It accounts for the choice of test images, but not for the randomness of training.
"""
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

LEVEL = 0.95
CHUNK = 50  # resamples that are evaluated at once

Metrics = Callable[[np.ndarray], dict[str, np.ndarray]]


@dataclass(frozen=True)
class Interval:
    """Difference between two models with its bootstrap interval.

    Attributes:
        difference: Second model minus first on all images, in the unit of the metric.
        lower: Lower end of the 95% interval.
        upper: Upper end of the 95% interval.
        resamples: Number of resamples.
        seed: Seed of the resampling.
    """

    difference: float
    lower: float
    upper: float
    resamples: int
    seed: int


def paired_bootstrap(
    first: Metrics,
    second: Metrics,
    num_images: int,
    resamples: int = 1000,
    seed: int = 0,
    progress: Callable[[int, int], object] | None = None,
) -> dict[str, Interval]:
    """Compute intervals for the differences between two models.

    Args:
        first: Function that maps weights of shape (R, I), the number of times that each of R resamples contains each of
            I images, to metrics of shape (R,) by name, with NaN where a metric is undefined.
        second: The same for the other model, with the same images in the same order.
        num_images: Number of images.
        resamples: Number of resamples.
        seed: Seed of the resampling.
        progress: Callback with the number of finished resamples and their total.

    Returns:
        Intervals by metric, without those that are undefined on all images.

    Raises:
        ValueError: If there are no images or resamples.
    """
    if resamples < 1 or num_images < 1:
        raise ValueError(f'num_images and resamples must be 1 or more, got {num_images} and {resamples}.')
    whole = _differences(first, second, np.ones((1, num_images), np.int32))
    resampled: dict[str, list[float]] = {
        name: [] for name, difference in whole.items() if not np.isnan(difference[0])}
    rng = np.random.default_rng(seed)
    for done in range(0, resamples, CHUNK):
        size = min(CHUNK, resamples - done)
        weights = rng.multinomial(num_images, np.full(num_images, 1 / num_images), size).astype(np.int32)
        values = _differences(first, second, weights)
        for name, own in resampled.items():
            own.extend(values[name].tolist())
        if progress is not None:
            progress(done + size, resamples)
    tail = 50 * (1 - LEVEL)  # percent
    intervals = {}
    for name, own in resampled.items():
        lower, upper = np.nanpercentile(own, [tail, 100 - tail]).tolist()
        intervals[name] = Interval(float(whole[name][0]), lower, upper, resamples, seed)
    return intervals


def _differences(first: Metrics, second: Metrics, weights: np.ndarray) -> dict[str, np.ndarray]:
    before, after = first(weights), second(weights)
    return {name: after[name] - before[name] for name in before}
