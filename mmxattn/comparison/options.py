"""What a comparison is to find out."""

from dataclasses import dataclass
from pathlib import Path

from ..profiling.benchmark import MODES


@dataclass(frozen=True)
class Plan:
    """What to find out beyond differences and costs.

    Attributes:
        checkpoints: Trained weights, one a recipe; empty to use none.
        train: Whether to train each recipe.
        seeds: To train with, each recipe with each.
        modes: To time in, keys of ``benchmark.MODES``; empty to time nothing.
        batch_sizes: Images at a time, for throughput.
        turns: How often inference is timed; a training step a quarter as often.
        budget: Seconds after which one timing ends early, once it has five turns.
        resamples: Of the bootstrap.
        looks: Whether to make pictures.
    """

    checkpoints: tuple = ()
    train: bool = False
    seeds: tuple = (0, )
    modes: tuple = ('fp32', )
    batch_sizes: tuple = (1, )
    turns: int = 40
    budget: float = 45
    resamples: int = 1000
    looks: bool = True

    def check(self, number):
        """Raise a ValueError where the plan does not go with so many recipes."""
        if number < 2:
            raise ValueError(f'A comparison takes two or more config files, the stock one first; got {number}.')
        if self.checkpoints and self.train:
            raise ValueError('Checkpoints are given and training is asked for: take one of the two.')
        if self.checkpoints and len(self.checkpoints) != number:
            raise ValueError(f'{number} config files and {len(self.checkpoints)} checkpoints: give one checkpoint a '
                             f'config file, in the same order.')
        unknown = [mode for mode in self.modes if mode not in MODES]
        if unknown:
            raise ValueError(f'There is no mode {unknown[0]!r}: take of {", ".join(MODES)}.')
        self._check_numbers()
        for checkpoint in self.checkpoints:
            if not Path(checkpoint).is_file():
                raise ValueError(f'There is no checkpoint {checkpoint}: give the path of a .pth file.')

    def _check_numbers(self):
        for name, values, least in (('batch_sizes', self.batch_sizes, 1), ('seeds', self.seeds, 0),
                                    ('turns', (self.turns, ), 1), ('resamples', (self.resamples, ), 1)):
            small = [value for value in values if value < least]
            if small or not values:
                raise ValueError(f'{name} is {small[0] if small else "empty"}: take {least} or more.')
        if len(set(self.seeds)) < len(self.seeds):
            raise ValueError(f'A seed occurs twice in {self.seeds}: it would be the same training, counted twice.')
        if self.budget <= 0:
            raise ValueError(f'budget is {self.budget}: take more than 0 seconds.')
