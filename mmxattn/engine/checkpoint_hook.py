"""mmengine's CheckpointHook, for runs that are stopped and killed."""
import copy
import os
import shutil
from pathlib import Path

from mmengine.dist import barrier, is_main_process
from mmengine.hooks import CheckpointHook
from torch import Tensor

from ..registry import HOOKS
from ..utils.atomic_files import remove_partial_files, write_atomic
from .checkpoint_files import cut_short
from .loops import ResumableEpochLoop, ResumableIterLoop
from .resume import settle
from .state import batch_sizes, restore_batch_sizes, restore_gradients, updates, waiting_gradients
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
    - ``resume=True`` takes the newest checkpoint that is whole, in all processes the first one's; one that is cut short
      is named and left.
    - Gradients that wait for an update and the size that mmdet's BatchSyncRandomResize has drawn are saved too.

    Arguments are CheckpointHook's; with ``backend_args`` of your own, files are written by that backend and its rules.

    Raises:
        ValueError: the checkpoint to resume from, given by its path, is cut short, and the message names the newest
            whole one beside it; or not all processes find the one that was chosen.
        SystemExit: 143, after SIGTERM.
    """

    def __init__(self, *args, backend_args: dict | None = None, **kwargs):
        backend_args = backend_args or dict(backend='mmxattn.WholeFiles')
        super().__init__(*args, backend_args=backend_args, **kwargs)
        self.stop = StopRequest()
        self.gradients: dict[str, Tensor] = {}

    def before_run(self, runner):
        """Choose the checkpoint before Runner does; the loops here have done it before, other loops do not."""
        settle(runner)

    def before_train(self, runner) -> None:
        super().before_train(runner)
        if is_main_process():
            remove_partial_files(self.out_dir)
        self.stop.listen()

    def before_train_epoch(self, runner) -> None:
        if isinstance(runner.train_loop, ResumableIterLoop):
            runner.train_loop.make_up_validation()

    def before_save_checkpoint(self, runner, checkpoint: dict) -> None:
        if self.gradients:
            checkpoint['waiting_gradients'] = self.gradients
        if sizes := batch_sizes(runner):
            checkpoint['batch_sizes'] = sizes

    def after_load_checkpoint(self, runner, checkpoint: dict) -> None:
        if getattr(runner, '_resume', False):
            restore_gradients(runner, checkpoint.get('waiting_gradients', {}))
            restore_batch_sizes(runner, checkpoint.get('batch_sizes', {}))

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
            last = self.last_ckpt or runner._load_from
            runner.logger.info(f'SIGTERM during validation: {last} is the checkpoint to go on from.')
            raise SystemExit(EXIT_CODE)

    def write_and_exit(self, runner) -> None:
        self.last_ckpt = self.file_backend.join_path(self.out_dir, 'stopped.pth')
        if isinstance(runner.train_loop, ResumableIterLoop):
            runner.message_hub.update_info('stopped_at_step', runner.iter + 1)
        self.set_aside('stopped.pth', 'stopped_before.pth')
        runner.save_checkpoint(self.out_dir, 'stopped.pth', save_optimizer=True, save_param_scheduler=True,
                               meta=dict(epoch=runner.epoch, iter=runner.iter + 1), by_epoch=False,
                               backend_args=copy.copy(self.backend_args))
        self.point_to_last(runner)
        if is_main_process():
            remove(Path(self.out_dir) / 'stopped_before.pth')
        runner.logger.info(f'SIGTERM at step {runner.iter + 1}: {self.last_ckpt} is written; --resume goes on there.')
        barrier()  # a launcher ends the others as soon as one has gone
        raise SystemExit(EXIT_CODE)

    def set_aside(self, name: str, aside: str) -> None:
        """Rename a checkpoint before another of its name is written: FlexibleRunner writes into the file itself.

        ``aside`` goes only where there is one to take its place: a run may have been killed between the two.
        """
        old, kept = Path(self.out_dir) / name, Path(self.out_dir) / aside
        if is_main_process() and old.exists() and not cut_short(old):
            remove(kept)
            os.replace(old, kept)
        barrier()

    def point_to_last(self, runner) -> None:
        if is_main_process():
            write_atomic(Path(runner.work_dir) / 'last_checkpoint', str(self.last_ckpt).encode(), durable=True)

    def _save_checkpoint_with_step(self, runner, step, meta):
        self.gradients = waiting_gradients(runner)
        super()._save_checkpoint_with_step(runner, step, meta)
        self.gradients = {}
        for name in ('stopped.pth', 'stopped_before.pth'):  # older than the one just written
            stopped = self.file_backend.join_path(self.out_dir, name)
            if is_main_process() and self.file_backend.isfile(stopped):
                self.file_backend.remove(stopped)
        self.sweep()

    def _save_best_checkpoint(self, runner, metrics):
        super()._save_best_checkpoint(runner, metrics)
        self.sweep()

    def sweep(self) -> None:
        if is_main_process() and hasattr(self.file_backend, 'sweep'):
            self.file_backend.sweep()


def remove(checkpoint: Path) -> None:
    """Remove a checkpoint, a file or a folder of shards, should it be there."""
    if checkpoint.is_dir():
        shutil.rmtree(checkpoint)
    else:
        checkpoint.unlink(missing_ok=True)
