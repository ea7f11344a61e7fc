"""Training loops that resume in the middle of an epoch without reloading the batches already trained on.

mmengine's EpochBasedTrainLoop restarts the interrupted epoch, with the step count and schedule already advanced. Its
IterBasedTrainLoop reloads all batches already trained on, which takes hours in a run of 80,000 steps.
"""
from collections.abc import Iterator
from typing import Any

from mmengine.runner import EpochBasedTrainLoop, IterBasedTrainLoop, Runner

from ..registry import LOOPS
from .resume import resolve_resume
from .sampler import DeterministicBatchSampler

__all__ = ['ResumableEpochLoop', 'ResumableIterLoop', 'SkippingIterator']


@LOOPS.register_module()
class ResumableEpochLoop(EpochBasedTrainLoop):
    """EpochBasedTrainLoop that resumes in the middle of an epoch.

    If the number of batches per epoch has changed (another batch size or number of GPUs), the interrupted epoch is
    restarted with a warning.

    Args:
        runner: The runner.
        *args: Arguments of EpochBasedTrainLoop.
        **kwargs: Arguments of EpochBasedTrainLoop.

    Raises:
        ValueError: If the training data loader has no DeterministicBatchSampler.
    """

    def __init__(self, runner: Runner, *args, **kwargs):
        resolve_resume(runner)  # the runner builds its loop before it loads the checkpoint
        super().__init__(runner, *args, **kwargs)
        _batch_sampler(self)  # checks its type

    def run_epoch(self) -> None:
        self.runner.call_hook('before_train_epoch')
        self.runner.model.train()
        done = self._trained_batches()
        _batch_sampler(self).skip(done)
        for idx, data_batch in enumerate(self.dataloader, done):
            self.run_iter(idx, data_batch)
        self.runner.call_hook('after_train_epoch')
        self._epoch += 1

    def _trained_batches(self) -> int:
        """Return the number of batches of this epoch that the run had trained on before it stopped."""
        total = len(self.dataloader)
        done, previous_total = self.runner.message_hub.pop_info('batches_of_epoch', (0, total))
        if previous_total == total:
            return done
        self.runner.logger.warning(f'The run was stopped after {done} of {previous_total} batches, and an epoch now '
                                   f'has {total}: epoch {self._epoch + 1} restarts.')
        self._iter -= done
        return 0


@LOOPS.register_module()
class ResumableIterLoop(IterBasedTrainLoop):
    """IterBasedTrainLoop that resumes at any step without reloading the batches already trained on.

    With a finite sampler (other than InfiniteSampler), batches are loaded again up to that step, as in mmengine.

    Args:
        runner: The runner.
        *args: Arguments of IterBasedTrainLoop.
        **kwargs: Arguments of IterBasedTrainLoop.

    Raises:
        ValueError: If the training data loader has no DeterministicBatchSampler.
    """

    def __init__(self, runner: Runner, *args, **kwargs):
        resolve_resume(runner)  # the runner builds its loop before it loads the checkpoint
        super().__init__(runner, *args, **kwargs)
        _batch_sampler(self)  # checks its type

    def run(self) -> Any:
        if self._iter > 0 and _batch_sampler(self).is_infinite:
            _batch_sampler(self).skip(self._iter)
            self.dataloader_iterator = SkippingIterator(type(self.dataloader_iterator)(self.dataloader), self._iter)
        return super().run()

    def run_missed_validation(self) -> None:
        """Run the validation of the last step if the run was stopped between that step and its validation."""
        if self.runner.message_hub.pop_info('stopped_at_step', None) != self._iter or self.runner.val_loop is None:
            return
        self._decide_current_val_interval()
        if self._iter >= self.val_begin and (self._iter % self.val_interval == 0 or self._iter == self._max_iters):
            self.runner.val_loop.run()


class SkippingIterator:
    """Iterator that ignores the first ``num_steps`` steps, for a sampler that has already skipped them.

    The base class advances its iterator to the resumed step: mmengine with ``next``, OneDL with ``skip_iter``.

    Args:
        iterator: Iterator that starts at the resumed step.
        num_steps: Number of steps to ignore.
    """

    def __init__(self, iterator: Iterator, num_steps: int):
        self.iterator = iterator
        self.num_steps = num_steps

    def __next__(self) -> Any:
        if self.num_steps == 0:
            return next(self.iterator)
        self.num_steps -= 1

    def skip_iter(self, num_steps: int) -> None:
        self.num_steps -= num_steps


def _batch_sampler(loop: EpochBasedTrainLoop | IterBasedTrainLoop) -> DeterministicBatchSampler:
    sampler = loop.dataloader.batch_sampler
    if not isinstance(sampler, DeterministicBatchSampler):
        raise ValueError(f"{type(loop).__name__} needs train_dataloader.batch_sampler=dict(type="
                         f"'DeterministicBatchSampler'), got {type(sampler).__name__}.")
    return sampler
