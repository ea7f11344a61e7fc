"""Scaling of a layer with the image size: time and memory per pixel."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import torch
from torch import nn

from mmxattn.profiling import timing
from mmxattn.profiling.memory import peak_memory

from .benchmark import PASSES, prepare_pass
from .cases import build_cfsam, build_cla


@dataclass(frozen=True)
class ScalingCase:
    """Layer at several image sizes.

    Attributes:
        layer: Key of ``LAYERS``.
        title: Settings, for display.
        sides: Sides of square images in pixels, in ascending order.
        build: Creates the module and a tuple of its inputs for a side.
    """

    layer: str
    title: str
    sides: tuple[int, ...]
    build: Callable[[int], tuple[nn.Module, tuple]]


SCALING_CASES = [
    ScalingCase('CFSAM', 'tokens_per_part=1024', (320, 640, 1280), build_cfsam),
    *(ScalingCase('CLA', f'levels {fine} and {coarse}, patch_size=1', (256, 512, 1024),
                  partial(build_cla, fine=fine, coarse=coarse, patch_size=1)) for fine, coarse in ((2, 3), (1, 4))),
]


@dataclass
class ScalingResult:
    """Cost at one size, in one pass.

    Attributes:
        layer: See :class:`ScalingCase`.
        title: See :class:`ScalingCase`.
        side: Side of the image.
        training: Whether the pass is forward and backward, or forward without gradients.
        seconds: Time of each turn.
        memory: Peak bytes, without parameters and inputs.
        base_side: The smallest side.
        base_seconds: Time at the smallest side in the same turns.
        base_memory: Peak bytes at the smallest side.
    """

    layer: str
    title: str
    side: int
    training: bool
    seconds: list[float]
    memory: int
    base_side: int
    base_seconds: list[float]
    base_memory: int

    @property
    def time_per_pixel(self) -> timing.Spread:
        """Time per pixel relative to the smallest side."""
        area = (self.side / self.base_side)**2
        return timing.ratio([seconds / area for seconds in self.seconds], self.base_seconds)

    @property
    def memory_per_pixel(self) -> float:
        """Memory per pixel relative to the smallest side."""
        return self.memory / self.base_memory / (self.side / self.base_side)**2

    def to_dict(self) -> dict[str, Any]:
        """Convert to JSON-compatible values."""
        return dict(vars(self), time_per_pixel=vars(self.time_per_pixel), memory_per_pixel=self.memory_per_pixel)


def bench_scaling(cases: Sequence[ScalingCase] = SCALING_CASES,
                  device: str = 'cpu',
                  dtype: torch.dtype = torch.float32,
                  training: bool = True,
                  turns: int = 10,
                  budget: float = 60,
                  log: Callable[[str], object] | None = None) -> Iterator[ScalingResult]:
    """Time layers at several image sizes in turns.

    Args:
        cases: Cases to time.
        device: 'cuda' or 'cpu'.
        dtype: Data type of parameters and maps.
        training: Also time a forward and backward pass.
        turns: Number of turns.
        budget: Seconds after which a timing stops early, once it has five turns.
        log: Callback for progress messages.

    Yields:
        One result per case, pass and size.

    Raises:
        ValueError: If ``turns`` is smaller than 1.
    """
    if turns < 1:
        raise ValueError(f'turns must be at least 1, got {turns}.')
    for case in cases:
        for backward in (False, True) if training else (False, ):
            if log:
                log(f'{case.layer} {case.title}, {PASSES[backward]}')
            runs = [prepare_pass(partial(case.build, side), device, dtype, backward) for side in case.sides]
            steps = [run.make_step(run.module) for run in runs]
            memory = [peak_memory(step, device) for step in steps]
            seconds = timing.interleave(steps, turns, 1, budget, timing.timer_for(device), timing.MIN_TURNS)
            for side, own, peak in zip(case.sides, seconds, memory):
                yield ScalingResult(case.layer, case.title, side, backward, own, peak, case.sides[0], seconds[0],
                                    memory[0])
