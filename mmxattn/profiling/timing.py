"""How fast models are, next to each other.

A machine's speed drifts by more than most models differ. So the models take turns (A B A B ...), and what is compared
is each turn's own ratio: a drift slower than a turn cancels out.
"""

import copy
import itertools
import time
from dataclasses import dataclass

import numpy as np
import torch


@dataclass(frozen=True)
class Spread:
    """A median, and the 10th and the 90th percentile around it, in the unit of what was measured."""

    median: float
    lower: float
    upper: float


def spread(values):
    """Median, 10th and 90th percentile of some values."""
    lower, median, upper = np.percentile(list(values), [10, 50, 90])
    return Spread(float(median), float(lower), float(upper))


def ratio(times, baseline):
    """How many times as long as the baseline, turn by turn.

    Args:
        times (list[float]): Seconds, one a turn.
        baseline (list[float]): The baseline's seconds in the same turns.

    Returns:
        Spread: Of the turns' own ratios.

    Raises:
        ValueError: The two were not measured in the same turns.
    """
    if len(times) != len(baseline):
        raise ValueError(f'{len(times)} and {len(baseline)} timings are no pairs: measure both with `interleave`.')
    return spread(t / b for t, b in zip(times, baseline))


def median_interval(values):
    """Where the median of what some values were drawn from lies, with 95% confidence.

    Between two of the values themselves: how many lie below the median is binomial, whatever their distribution.

    Args:
        values (Iterable[float]): The values.

    Returns:
        tuple[float, float]: Lower and upper end; of fewer than six values the least and the largest,
            which is less sure.
    """
    values = sorted(values)
    outside = max(0, int(len(values) / 2 - 0.98 * len(values)**0.5))  # 1.96 standard deviations of the binomial
    return values[outside], values[-1 - outside]


def interleave(functions, turns, warm_up=3, budget=None, timer=None, least=1):
    """Time functions that take turns.

    Args:
        functions (list[Callable[[], object]]): What to time, the baseline first by custom.
        turns (int): Turns that count.
        warm_up (int): Turns before them that do not.
        budget (float, optional): Seconds after which no further turn begins.
        timer (Callable[[Callable], float], optional): Calls a function and returns the seconds it took.
            :func:`wall_clock` by default.
        least (int): Turns that are made whatever the budget: of few, the spread says nothing.

    Returns:
        list[list[float]]: For each function its seconds, one a turn.
    """
    timer = timer or wall_clock
    seconds, total = [[] for _ in functions], 0.0
    for turn in range(-warm_up, turns):
        for function, own in zip(functions, seconds):
            taken = timer(function)
            total += taken
            if turn >= 0:
                own.append(taken)
        if turn + 1 >= least and budget is not None and total >= budget:
            break
    return seconds


def wall_clock(function):
    """Seconds that ``function()`` takes on the CPU."""
    start = time.perf_counter()
    function()
    return time.perf_counter() - start


def cuda_events(function):
    """Seconds that ``function()`` takes on the current GPU, from its first kernel to its last."""
    start, end = torch.cuda.Event(enable_timing=True), torch.cuda.Event(enable_timing=True)
    torch.cuda.synchronize()
    start.record()
    function()
    end.record()
    end.synchronize()
    return start.elapsed_time(end) / 1000  # from milliseconds


def timer_for(device):
    """The timer that is right for a device.

    Args:
        device (str | torch.device): Where the functions compute.

    Returns:
        Callable[[Callable], float]: :func:`cuda_events` or :func:`wall_clock`.
    """
    return cuda_events if torch.device(device).type == 'cuda' else wall_clock


def prediction(model, batches):
    """A function for :func:`interleave` that predicts, one batch a call, from preprocessing to final boxes or labels.

    Args:
        model (mmengine.model.BaseModel): The model.
        batches (list[dict]): Batches of a test data loader, taken in turn, over and over.

    Returns:
        Callable[[], None]: The function.
    """
    queue = itertools.cycle(batches)

    def predict():
        model.eval()
        with torch.no_grad():
            model.test_step(next(queue))

    return predict


def training_step(model, batch, optim_wrapper):
    """A function for :func:`interleave` that takes one training step: forward, backward, update.

    Args:
        model (mmengine.model.BaseModel): The model. Its learning rate is set to 0, so that no call changes the next.
        batch (dict): A batch of a training data loader.
        optim_wrapper (mmengine.optim.OptimWrapper): The optimizer.

    Returns:
        Callable[[], None]: The function.
    """
    for group in optim_wrapper.param_groups:
        group['lr'] = 0.0

    def step():
        model.train()
        # The preprocessor pads annotations in place, so each step needs its own; the images it leaves alone.
        model.train_step(dict(batch, data_samples=copy.deepcopy(batch['data_samples'])), optim_wrapper)

    return step
