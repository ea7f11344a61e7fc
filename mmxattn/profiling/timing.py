"""Interleaved timing of models and layers.

The drift in the speed of a machine exceeds the difference between most models. Functions are therefore timed in turns
(A B A B ...) and compared by the ratio within each turn, which cancels drift that is slower than a turn.
"""

import copy
import itertools
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from mmengine.model import BaseModel
from mmengine.optim import OptimWrapper

MIN_TURNS = 5  # measured even if the time budget is exhausted


@dataclass(frozen=True)
class Spread:
    """Median with the 10th and 90th percentile, in the unit of the measured values."""

    median: float
    lower: float
    upper: float


def spread(values: Iterable[float]) -> Spread:
    """Compute the median and the 10th and 90th percentile."""
    lower, median, upper = np.percentile(list(values), [10, 50, 90])
    return Spread(float(median), float(lower), float(upper))


def ratio(times: Sequence[float], baseline: Sequence[float]) -> Spread:
    """Divide times by the baseline, turn by turn.

    Args:
        times: Seconds of each turn.
        baseline: Seconds of the baseline in the same turns.

    Returns:
        Spread of the ratios.

    Raises:
        ValueError: If the two have different numbers of turns.
    """
    if len(times) != len(baseline):
        raise ValueError(f'times and baseline must come from the same turns, got {len(times)} and {len(baseline)} '
                         f'values. Measure both with one call of interleave().')
    return spread(t / b for t, b in zip(times, baseline))


def median_interval(values: Iterable[float]) -> tuple[float, float]:
    """Compute a distribution-free 95% confidence interval of the median.

    The number of values below the median is binomial, so both ends are order statistics of the sample.

    Args:
        values: Independent measurements.

    Returns:
        Lower and upper end. With fewer than six values these are the minimum and the maximum, and the confidence is
        lower.
    """
    values = sorted(values)
    cut = max(0, int(len(values) / 2 - 0.98 * len(values)**0.5))  # 1.96 standard deviations of the binomial
    return values[cut], values[-1 - cut]


def interleave(functions: Sequence[Callable[[], object]],
               turns: int,
               warmup: int = 3,
               budget: float | None = None,
               timer: Callable[[Callable], float] | None = None,
               min_turns: int = 1) -> list[list[float]]:
    """Time functions in turns.

    Args:
        functions: Functions to time.
        turns: Number of measured turns.
        warmup: Number of discarded turns before the measured ones.
        budget: Seconds after which no further turn starts. None for no limit.
        timer: Calls a function and returns the seconds it took. Default: :func:`wall_clock`.
        min_turns: Number of turns to measure even if the budget is exhausted.

    Returns:
        Seconds of each turn, one list per function.
    """
    timer = timer or wall_clock
    seconds: list[list[float]] = [[] for _ in functions]
    total = 0.0
    for turn in range(-warmup, turns):
        for function, measured in zip(functions, seconds):
            elapsed = timer(function)
            total += elapsed
            if turn >= 0:
                measured.append(elapsed)
        if turn + 1 >= min_turns and budget is not None and total >= budget:
            break
    return seconds


def wall_clock(function: Callable[[], object]) -> float:
    """Time one call on the CPU, in seconds."""
    start = time.perf_counter()
    function()
    return time.perf_counter() - start


def cuda_events(function: Callable[[], object]) -> float:
    """Time one call on the current GPU, from its first kernel to its last, in seconds."""
    start, end = torch.cuda.Event(enable_timing=True), torch.cuda.Event(enable_timing=True)
    torch.cuda.synchronize()
    start.record()
    function()
    end.record()
    end.synchronize()
    return start.elapsed_time(end) / 1000  # milliseconds to seconds


def timer_for(device: str | torch.device) -> Callable[[Callable], float]:
    """Select :func:`cuda_events` or :func:`wall_clock` for a device."""
    return cuda_events if torch.device(device).type == 'cuda' else wall_clock


def make_inference_step(model: BaseModel, batches: Sequence[dict]) -> Callable[[], None]:
    """Create a function that predicts one batch, from preprocessing to final boxes or labels.

    Args:
        model: Detector or segmentor.
        batches: Batches of a test data loader. Each call takes the next one, cyclically.

    Returns:
        Function without arguments for :func:`interleave`.
    """
    queue = itertools.cycle(batches)

    def step():
        model.eval()
        with torch.no_grad():
            model.test_step(next(queue))

    return step


def make_training_step(model: BaseModel, batch: dict, optim_wrapper: OptimWrapper) -> Callable[[], None]:
    """Create a function that runs one training step: forward, backward, optimizer update.

    Args:
        model: Detector or segmentor.
        batch: Batch of a training data loader.
        optim_wrapper: Optimizer of the model. Its learning rate is set to 0, so that all calls do the same work.

    Returns:
        Function without arguments for :func:`interleave`.
    """
    for group in optim_wrapper.param_groups:
        group['lr'] = 0.0

    def step():
        model.train()
        # The preprocessor pads annotations in place, so each step needs a copy. It does not modify the images.
        model.train_step(dict(batch, data_samples=copy.deepcopy(batch['data_samples'])), optim_wrapper)

    return step
