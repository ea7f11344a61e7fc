"""Options of a comparison."""

from dataclasses import dataclass
from pathlib import Path

from ..profiling.benchmark import MODES


@dataclass(frozen=True)
class CompareOptions:
    """Measurements to make in addition to the config diff and the complexity.

    Attributes:
        checkpoints: Trained weights, one file per config; empty to use none.
        train: Whether to train every config.
        seeds: Training seeds; every config is trained with each of them.
        modes: Timing modes, keys of :data:`mmxattn.profiling.benchmark.MODES`; empty to skip the benchmark.
        batch_sizes: Batch sizes for the throughput of inference.
        turns: Number of timed inference runs; training steps are timed a quarter as often.
        budget: Time limit in seconds for one timing; at least five turns are run.
        resamples: Number of bootstrap resamples.
        visualization: Whether to visualize the models.
    """

    checkpoints: tuple[str, ...] = ()
    train: bool = False
    seeds: tuple[int, ...] = (0, )
    modes: tuple[str, ...] = ('fp32', )
    batch_sizes: tuple[int, ...] = (1, )
    turns: int = 40
    budget: float = 45
    resamples: int = 1000
    visualization: bool = True

    def validate(self, num_configs: int) -> None:
        """Check the options against the number of configs.

        Args:
            num_configs: Number of configs to compare.

        Raises:
            ValueError: If an option is invalid.
        """
        if num_configs < 2:
            raise ValueError(f'A comparison needs two or more config files, the baseline first; got {num_configs}.')
        if self.checkpoints and self.train:
            raise ValueError('checkpoints and train are mutually exclusive, got both: give one of the two.')
        if self.checkpoints and len(self.checkpoints) != num_configs:
            raise ValueError(f'{num_configs} config files need {num_configs} checkpoints, got '
                             f'{len(self.checkpoints)}: give one checkpoint per config, in the same order.')
        for checkpoint in self.checkpoints:
            if not Path(checkpoint).is_file():
                raise ValueError(f'There is no checkpoint {checkpoint}: give the path of a .pth file.')
        for mode in self.modes:
            if mode not in MODES:
                raise ValueError(f'modes must be among {", ".join(MODES)}; got {mode!r}.')
        self._validate_numbers()

    def _validate_numbers(self) -> None:
        for name, values, minimum in (('batch_sizes', self.batch_sizes, 1), ('seeds', self.seeds, 0),
                                      ('turns', (self.turns, ), 1), ('resamples', (self.resamples, ), 1)):
            if not values:
                raise ValueError(f'{name} must have at least one value, got none.')
            if min(values) < minimum:
                raise ValueError(f'{name} must be {minimum} or more, got {min(values)}.')
        if len(set(self.seeds)) < len(self.seeds):
            raise ValueError(f'seeds must differ, got {self.seeds}: a repeated seed repeats the same training.')
        if self.budget <= 0:
            raise ValueError(f'budget must be more than 0 seconds, got {self.budget}.')
