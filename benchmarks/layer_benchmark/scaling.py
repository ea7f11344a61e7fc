"""How the cost of a layer grows with the image: time and memory for each pixel, at several sizes in turns."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

import torch

from mmxattn.profiling import timing as speed
from mmxattn.profiling.benchmark import LEAST
from mmxattn.profiling.memory import peak_memory

from .benchmark import PASSES, passing
from .cases import cfsam, cla


@dataclass(frozen=True)
class Growth:
    """A layer at sizes of the image.

    Attributes:
        layer: Key of ``LAYERS``.
        title: Its settings, for people.
        sides: Sides of square images in pixels, the smallest first.
        build: Makes the module and a tuple of its inputs for a side.
    """

    layer: str
    title: str
    sides: tuple
    build: Callable


GROWTHS = [
    Growth('CFSAM', 'tokens_per_part=1024', (320, 640, 1280), cfsam),
    *(Growth('CLA', f'levels {fine} and {coarse}, patch_size=1', (256, 512, 1024),
             partial(cla, fine=fine, coarse=coarse, patch_size=1)) for fine, coarse in ((2, 3), (1, 4))),
]


@dataclass
class Grown:
    """What a size took in one pass.

    Attributes:
        layer, title: As in :class:`Growth`.
        side: Side of the image.
        training: As in :class:`benchmarks.layer_benchmark.Result`.
        seconds: One a turn.
        least: Seconds of the smallest size in the same turns.
        memory: Peak bytes beside parameters and inputs.
        least_side: The smallest size.
        least_memory: Its bytes.
    """

    layer: str
    title: str
    side: int
    training: bool
    seconds: list
    least: list
    memory: int
    least_side: int
    least_memory: int

    @property
    def time_per_pixel(self):
        """Spread: how many times the smallest size's."""
        area = (self.side / self.least_side)**2
        return speed.ratio([seconds / area for seconds in self.seconds], self.least)

    @property
    def memory_per_pixel(self):
        """How many times the smallest size's."""
        return self.memory / self.least_memory / (self.side / self.least_side)**2

    def to_dict(self):
        """Everything, as :mod:`json` takes it."""
        return dict(vars(self), time_per_pixel=vars(self.time_per_pixel), memory_per_pixel=self.memory_per_pixel)


def bench_scaling(growths=GROWTHS, device='cpu', dtype=torch.float32, training=True, turns=10, budget=60, say=None):
    """Time layers at several sizes.

    Args:
        growths (Sequence[Growth]): What to time.
        device, dtype, training, say: As in :func:`benchmarks.layer_benchmark.bench_layers`.
        turns (int): How often each size is timed.
        budget (float): Seconds after which a timing ends early, once it has five turns.

    Yields:
        Grown: One a layer, pass and size.

    Raises:
        ValueError: Less than one turn.
    """
    if turns < 1:
        raise ValueError(f'turns={turns} must be at least 1.')
    for growth in growths:
        for backward in (False, True) if training else (False, ):
            if say:
                say(f'{growth.layer} {growth.title}, {PASSES[backward]}')
            functions = []
            for side in growth.sides:
                module, _, _, calling = passing(partial(growth.build, side), device, dtype, backward)
                functions.append(calling(module))
            memory = [peak_memory(function, device) for function in functions]
            seconds = speed.interleave(functions, turns, 1, budget, speed.timer_for(device), LEAST)
            for side, own, held in zip(growth.sides, seconds, memory):
                yield Grown(growth.layer, growth.title, side, backward, own, seconds[0], held, growth.sides[0],
                            memory[0])
