"""mmengine's CheckpointHook, for runs that are stopped and killed."""
import copy
from pathlib import Path

from mmengine.dist import barrier, is_main_process
from mmengine.hooks import CheckpointHook
from mmengine.optim import OptimWrapper

from ..files import sweep_parts, write_whole
from ..registry import HOOKS
from .files import cut_short, newest_checkpoint
from .loops import ResumableEpochLoop
from .stop_request import StopRequest

__all__ = ['ResumableCheckpointHook']

EXIT_CODE = 143  # 128 + SIGTERM, as a shell has it


@HOOKS.register_module()
class ResumableCheckpointHook(CheckpointHook):
    """CheckpointHook that never loses the newest whole checkpoint, and writes one when SIGTERM comes.

    - Files are written beside their place and renamed; ``last_checkpoint`` follows, and what is one too many goes last.
    - SIGTERM: the step under way is ended (where gradients are accumulated, all steps up to the update),
      ``stopped.pth`` written, and the process exits with 143. During validation nothing is written: the run goes on
      from the checkpoint before it.
    - ``resume=True`` takes the newest checkpoint that is whole; one that is cut short is named and left.

    Arguments are CheckpointHook's; with ``backend_args`` of your own, files are written by that backend and its rules.

    Raises:
        ValueError: the checkpoint to resume from, given by its path, is cut short; the message names the newest whole
            one beside it.
        SystemExit: 143, after SIGTERM.
    """

    def __init__(self, *args, backend_args: dict | None = None, **kwargs):
        backend_args = backend_args or dict(backend='mmxattn.WholeFiles')
        super().__init__(*args, backend_args=backend_args, **kwargs)
        self.stop = StopRequest()

    def before_run(self, runner):
        """Choose the checkpoint before the runner does."""
        if not getattr(runner, '_resume', False):
            return
        if runner._load_from is None:
            runner._load_from = newest_checkpoint(runner.work_dir)
            runner._resume = runner._load_from is not None
        elif Path(runner._load_from).exists() and cut_short(runner._load_from):
            raise ValueError(f'The checkpoint {runner._load_from} is cut short; the newest whole one in its folder: '
                             f'{newest_checkpoint(Path(runner._load_from).parent)}.')

    def before_train(self, runner) -> None:
        super().before_train(runner)
        if is_main_process():
            sweep_parts(self.out_dir)
        self.stop.listen()

    def after_train(self, runner) -> None:
        self.stop.leave()
        super().after_train(runner)

    def after_train_iter(self, runner, batch_idx, data_batch=None, outputs=None) -> None:
        if isinstance(runner.train_loop, ResumableEpochLoop):
            runner.message_hub.update_info('batches_of_epoch', (batch_idx + 1, len(runner.train_dataloader)))
        super().after_train_iter(runner, batch_idx, data_batch, outputs)
        if updates(runner) and self.stop.agreed():
            self.write_and_exit(runner)

    def after_train_epoch(self, runner) -> None:
        runner.message_hub.pop_info('batches_of_epoch')
        super().after_train_epoch(runner)

    def after_val_iter(self, runner, batch_idx, data_batch=None, outputs=None) -> None:
        if self.stop.received:  # each for itself: processes may validate different numbers of batches
            runner.logger.info(f'SIGTERM during validation: {self.last_ckpt} is the checkpoint to go on from.')
            raise SystemExit(EXIT_CODE)

    def write_and_exit(self, runner) -> None:
        self.last_ckpt = self.file_backend.join_path(self.out_dir, 'stopped.pth')
        runner.save_checkpoint(self.out_dir, 'stopped.pth', save_optimizer=True, save_param_scheduler=True,
                               meta=dict(epoch=runner.epoch, iter=runner.iter + 1), by_epoch=False,
                               backend_args=copy.copy(self.backend_args))
        self.point_to_last(runner)
        runner.logger.info(f'SIGTERM at step {runner.iter + 1}: {self.last_ckpt} is written; --resume goes on there.')
        barrier()  # a launcher ends the others as soon as one has gone
        raise SystemExit(EXIT_CODE)

    def point_to_last(self, runner) -> None:
        if is_main_process():
            write_whole(Path(runner.work_dir) / 'last_checkpoint', str(self.last_ckpt).encode(), durable=True)

    def _save_checkpoint_with_step(self, runner, step, meta):
        super()._save_checkpoint_with_step(runner, step, meta)
        stopped = self.file_backend.join_path(self.out_dir, 'stopped.pth')
        if is_main_process() and self.file_backend.isfile(stopped):
            self.file_backend.remove(stopped)  # older than the one just written
        self.sweep()

    def _save_best_checkpoint(self, runner, metrics):
        super()._save_best_checkpoint(runner, metrics)
        self.sweep()

    def sweep(self) -> None:
        if is_main_process() and hasattr(self.file_backend, 'sweep'):
            self.file_backend.sweep()


def updates(runner) -> bool:
    """Whether the last step has updated the weights: else its gradients wait, and no checkpoint has them."""
    wrapper = runner.optim_wrapper
    return wrapper.should_update() if isinstance(wrapper, OptimWrapper) else True
