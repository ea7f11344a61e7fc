"""Batches whose random augmentations depend on the place of each sample in the run, and that can begin at any place.

mmengine seeds a worker once, and what it draws then depends on all that it did before: on the number of workers, on
whether they are kept between epochs, and on where the run was begun. Here every sample carries a key (the sampler's
seed, the epoch, its number in the epoch over all processes), and is drawn from that alone. So a run that goes on skips
what was trained without loading it, two processes draw what one would with both their batches, and the number of
workers changes nothing. Transforms with a memory (mmdet's CachedMosaic and CachedMixUp) fill it anew after a stop.
"""
import os
import signal
import time
from itertools import islice
from typing import NamedTuple

from mmengine.dataset import InfiniteSampler
from mmengine.dist import get_dist_info
from mmengine.registry import DATA_SAMPLERS as MMENGINE_DATA_SAMPLERS
from torch.utils.data import BatchSampler, get_worker_info

from ..registry import DATA_SAMPLERS
from .seeds import own_random_numbers, seed_generators

__all__ = ['NumberedBatches']

GRACE = 10  # seconds


class Ticket(NamedTuple):
    """One sample to load: its index in the data set, and the key of its random numbers."""
    sample: int
    key: tuple


class TicketedSamples:
    """A data set's ``__getitems__``: torch's data loader hands a whole batch of tickets to it."""

    def __init__(self, dataset):
        self.dataset = dataset
        self.patience: Patience | None = None

    def __call__(self, tickets):
        if get_worker_info() is not None:
            self.patience = self.patience or Patience()
            self.patience.asked()
        return [self.load(ticket) for ticket in tickets]

    def load(self, ticket: Ticket):
        with own_random_numbers():  # without workers the model draws from the same generators
            seed_generators(*ticket.key)
            return self.dataset[ticket.sample]


class Patience:
    """Lets a worker outlive the first SIGTERM for as long as it is asked for samples, and end quietly then.

    A cluster sends it to every process of a job, and torch raises in the middle of a step where a worker dies: the step
    could not be ended and saved, nor the steps up to the update where gradients are accumulated. Python sends one
    SIGTERM too when it exits, and waits: hence the end, GRACE seconds after the worker was last asked, or three times
    the longest it ever waited. A second SIGTERM ends it at once.
    """

    def __init__(self):
        self.last, self.longest, self.ending = time.monotonic(), 0.0, False
        signal.signal(signal.SIGALRM, lambda *_: os._exit(0))
        signal.signal(signal.SIGTERM, self.go_on)

    def asked(self) -> None:
        """Begin to count anew."""
        now = time.monotonic()
        self.last, self.longest = now, max(self.longest, now - self.last)
        if self.ending:
            self.wait()

    def go_on(self, *_) -> None:
        self.ending = True
        signal.signal(signal.SIGTERM, signal.SIG_DFL)
        self.wait()

    def wait(self) -> None:
        signal.setitimer(signal.ITIMER_REAL, max(GRACE, 3 * self.longest))


@DATA_SAMPLERS.register_module()
class NumberedBatches:
    """A batch sampler: ``train_dataloader.batch_sampler = dict(type='NumberedBatches')``.

    Args:
        sampler: as mmengine hands it over; its ``seed`` and ``epoch`` are used where it has them.
        batch_size (int): samples a batch and process.
        drop_last (bool): leave out a last batch that is not full.
        batches (dict, optional): the batch sampler to number (AspectRatioBatchSampler, say). Default: plain batches.
    """

    def __init__(self, sampler, batch_size: int, drop_last: bool = False, batches: dict | None = None):
        if batches is None:
            self.batches = BatchSampler(sampler, batch_size, drop_last)
        else:
            self.batches = MMENGINE_DATA_SAMPLERS.build(batches, default_args=dict(sampler=sampler,
                                                                                   batch_size=batch_size))
        self.sampler, self.batch_size = sampler, batch_size
        self.rank, self.world_size = get_dist_info()
        self.skipped = 0
        sampler.dataset.__getitems__ = TicketedSamples(sampler.dataset)

    @property
    def endless(self) -> bool:
        """Whether ``skip`` may go beyond one pass over the data."""
        return isinstance(self.sampler, InfiniteSampler)

    def skip(self, batches: int) -> None:
        """Let the next pass, and only that, begin after so many batches; they are not loaded."""
        self.skipped = batches
        if self.endless:  # its one order is used up while batches are loaded ahead
            self.sampler.indices = self.sampler._indices_of_rank()

    def __iter__(self):
        first, self.skipped = self.skipped, 0
        seed, epoch = getattr(self.sampler, 'seed', None) or 0, getattr(self.sampler, 'epoch', 0)
        for number, batch in enumerate(islice(self.batches, first, None), first):
            places = range(number * self.batch_size, (number + 1) * self.batch_size)
            yield [Ticket(index, (seed, epoch, place * self.world_size + self.rank))
                   for index, place in zip(batch, places)]

    def __len__(self) -> int:
        return len(self.batches)
