"""Batch sampler whose random augmentations depend only on the position of a sample in the run.

mmengine seeds each data loader worker once, so its random numbers depend on the number of workers and on the step at
which the run was started. Here each sample has a key (seed, epoch, index in the epoch over all processes) that seeds
its random numbers. A resumed run can skip the trained batches without loading them, two processes draw the same numbers
as one process with the batches of both, and the number of workers does not matter. Transforms with a cache (mmdet's
CachedMosaic and CachedMixUp) refill it after a stop.
"""
import os
import signal
import time
import warnings
from collections.abc import Iterator
from itertools import islice
from typing import Any, NamedTuple

from mmengine.dataset import InfiniteSampler
from mmengine.dist import get_dist_info
from mmengine.registry import DATA_SAMPLERS as MMENGINE_DATA_SAMPLERS
from torch.utils.data import BatchSampler, Dataset, Sampler, get_worker_info

from ..registry import DATA_SAMPLERS
from .seeds import preserve_rng_state, seed_all

__all__ = ['DeterministicBatchSampler', 'NumberedBatches']

GRACE_PERIOD = 10  # seconds


class SampleKey(NamedTuple):
    """Index of a sample in the dataset, and the seed of its random numbers."""

    idx: int
    seed: tuple[int, ...]


@DATA_SAMPLERS.register_module()
class DeterministicBatchSampler:
    """Batch sampler that can start at any batch and makes the augmentations of each sample reproducible.

    Set ``train_dataloader.batch_sampler = dict(type='DeterministicBatchSampler')``.

    Args:
        sampler: Sampler built by mmengine. Its ``seed`` and ``epoch`` are used if it has them.
        batch_size: Batch size per process.
        drop_last: Whether to drop an incomplete last batch.
        batch_sampler: Config of a batch sampler to wrap, such as AspectRatioBatchSampler. By default, consecutive
            samples form a batch.
    """

    def __init__(self, sampler: Sampler, batch_size: int, drop_last: bool = False, batch_sampler: dict | None = None):
        if batch_sampler is None:
            self.batch_sampler = BatchSampler(sampler, batch_size, drop_last)
        else:
            self.batch_sampler = MMENGINE_DATA_SAMPLERS.build(
                batch_sampler, default_args=dict(sampler=sampler, batch_size=batch_size))
        self.sampler = sampler
        self.batch_size = batch_size
        self.rank, self.world_size = get_dist_info()
        self.num_skipped = 0
        sampler.dataset.__getitems__ = SeededFetcher(sampler.dataset)

    @property
    def is_infinite(self) -> bool:
        """Whether ``skip`` may go beyond one pass over the data."""
        return isinstance(self.sampler, InfiniteSampler)

    def skip(self, num_batches: int) -> None:
        """Start the next pass, and only that one, after ``num_batches`` batches without loading them."""
        self.num_skipped = num_batches
        if self.is_infinite:  # its only pass is partly consumed by prefetching
            self.sampler.indices = self.sampler._indices_of_rank()

    def __iter__(self) -> Iterator[list[SampleKey]]:
        first, self.num_skipped = self.num_skipped, 0
        seed, epoch = getattr(self.sampler, 'seed', None) or 0, getattr(self.sampler, 'epoch', 0)
        for number, indices in enumerate(islice(self.batch_sampler, first, None), first):
            positions = range(number * self.batch_size, (number + 1) * self.batch_size)
            yield [SampleKey(index, (seed, epoch, position * self.world_size + self.rank))
                   for index, position in zip(indices, positions)]

    def __len__(self) -> int:
        return len(self.batch_sampler)


@DATA_SAMPLERS.register_module()
class NumberedBatches(DeterministicBatchSampler):
    """Deprecated name of :class:`DeterministicBatchSampler` in configs of mmxattn 0.1.0.

    Args:
        sampler: See DeterministicBatchSampler.
        batch_size: See DeterministicBatchSampler.
        drop_last: See DeterministicBatchSampler.
        batches: Now called ``batch_sampler``.
    """

    def __init__(self, sampler: Sampler, batch_size: int, drop_last: bool = False, batches: dict | None = None):
        warnings.warn("The batch sampler 'NumberedBatches' is now called 'DeterministicBatchSampler', and its argument "
                      "'batches' is called 'batch_sampler'.", DeprecationWarning, stacklevel=2)
        super().__init__(sampler, batch_size, drop_last, batch_sampler=batches)


class SeededFetcher:
    """``__getitems__`` of a dataset, which torch's data loader calls with the keys of a batch.

    Args:
        dataset: The dataset.
    """

    def __init__(self, dataset: Dataset):
        self.dataset = dataset
        self.guard: WorkerSigtermGuard | None = None

    def __call__(self, keys: list[SampleKey]) -> list[Any]:
        if get_worker_info() is not None:
            self.guard = self.guard or WorkerSigtermGuard()
            self.guard.restart_timer()
        return [self.load(key) for key in keys]

    def load(self, key: SampleKey) -> Any:
        with preserve_rng_state():  # without workers, the model uses the same generators
            seed_all(*key.seed)
            return self.dataset[key.idx]


class WorkerSigtermGuard:
    """Keep a data loader worker alive after the first SIGTERM, for as long as batches are requested.

    Clusters send SIGTERM to all processes of a job. A worker that dies would cause an error in the middle of a step,
    which could then not be completed and saved. Python also sends SIGTERM to its workers when it exits, and waits for
    them. Therefore the worker exits if no batch is requested for GRACE_PERIOD seconds or three times the longest
    interval between requests. A second SIGTERM ends it at once.
    """

    def __init__(self):
        self.last_request = time.monotonic()
        self.longest_interval = 0.0
        self.is_stopping = False
        signal.signal(signal.SIGALRM, lambda *_: os._exit(0))
        signal.signal(signal.SIGTERM, self._handle_sigterm)

    def restart_timer(self) -> None:
        """Record a request for a batch."""
        now = time.monotonic()
        self.longest_interval = max(self.longest_interval, now - self.last_request)
        self.last_request = now
        if self.is_stopping:
            self._set_timer()

    def _handle_sigterm(self, *_: Any) -> None:
        self.is_stopping = True
        signal.signal(signal.SIGTERM, signal.SIG_DFL)
        self._set_timer()

    def _set_timer(self) -> None:
        signal.setitimer(signal.ITIMER_REAL, max(GRACE_PERIOD, 3 * self.longest_interval))
