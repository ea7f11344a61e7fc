"""mmengine's two training loops, able to begin where a run was stopped.

EpochBasedTrainLoop begins the stopped epoch again, with the step count and the schedule already advanced.
IterBasedTrainLoop loads everything that was trained once more: hours, in a run of 80,000 steps (OneDL's does not).
"""
from mmengine.runner import EpochBasedTrainLoop, IterBasedTrainLoop

from ..registry import LOOPS
from .resume import settle
from .sampler import NumberedBatches

__all__ = ['ResumableEpochLoop', 'ResumableIterLoop']


def numbered_batches(loop) -> NumberedBatches:
    """The loop's batches, which have to be numbered."""
    batches = loop.dataloader.batch_sampler
    if not isinstance(batches, NumberedBatches):
        raise ValueError(f"{type(loop).__name__} needs train_dataloader.batch_sampler=dict(type='NumberedBatches'), "
                         f'not {type(batches).__name__}: only numbered batches can begin in the middle.')
    return batches


@LOOPS.register_module()
class ResumableEpochLoop(EpochBasedTrainLoop):
    """EpochBasedTrainLoop that goes on in the middle of an epoch; arguments are its own.

    Where the number of batches an epoch is another than before the stop (other GPUs, another batch size), the middle is
    not the same place: the stopped epoch begins again, and the log says so.

    Raises:
        ValueError: the train data loader has no NumberedBatches.
    """

    def __init__(self, runner, *args, **kwargs):
        settle(runner)  # a runner builds its loop before it loads
        super().__init__(runner, *args, **kwargs)
        numbered_batches(self)

    def run_epoch(self) -> None:
        self.runner.call_hook('before_train_epoch')
        self.runner.model.train()
        done = self.batches_done()
        numbered_batches(self).skip(done)
        for idx, data_batch in enumerate(self.dataloader, done):
            self.run_iter(idx, data_batch)
        self.runner.call_hook('after_train_epoch')
        self._epoch += 1

    def batches_done(self) -> int:
        """How many batches of this epoch were trained before; the checkpoint's message hub knows."""
        total = len(self.dataloader)
        done, total_then = self.runner.message_hub.pop_info('batches_of_epoch', (0, total))
        if total_then == total:
            return done
        self.runner.logger.warning(f'The run was stopped after {done} of {total_then} batches, and an epoch now has '
                                   f'{total}: epoch {self._epoch + 1} begins again.')
        self._iter -= done
        return 0


@LOOPS.register_module()
class ResumableIterLoop(IterBasedTrainLoop):
    """IterBasedTrainLoop that goes on at any step without loading what was trained; arguments are its own.

    A sampler with an end (no InfiniteSampler) is read again up to that step, as in mmengine.

    Raises:
        ValueError: the train data loader has no NumberedBatches.
    """

    def __init__(self, runner, *args, **kwargs):
        settle(runner)  # a runner builds its loop before it loads
        super().__init__(runner, *args, **kwargs)
        numbered_batches(self)

    def run(self):
        batches = numbered_batches(self)
        if self._iter > 0 and batches.endless:
            batches.skip(self._iter)
            self.dataloader_iterator = InPlace(type(self.dataloader_iterator)(self.dataloader), self._iter)
        return super().run()

    def make_up_validation(self) -> None:
        """Validate before the first step, where the run was stopped between a step and the validation after it."""
        if self.runner.message_hub.pop_info('stopped_at_step', None) != self._iter or self.runner.val_loop is None:
            return
        self._decide_current_val_interval()
        if self._iter >= self.val_begin and (self._iter % self.val_interval == 0 or self._iter == self._max_iters):
            self.runner.val_loop.run()


class InPlace:
    """An iterator that already is where a loop is about to move it: so many of the loop's moves do nothing.

    mmengine moves it by ``next``, OneDL's by ``skip_iter``.
    """

    def __init__(self, iterator, moves: int):
        self.iterator, self.moves = iterator, moves

    def __next__(self):
        if self.moves == 0:
            return next(self.iterator)
        self.moves -= 1

    def skip_iter(self, moves: int) -> None:
        self.moves -= moves
