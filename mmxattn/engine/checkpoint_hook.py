"""CheckpointHook for runs that may be stopped or killed."""
import copy
import os
import shutil
from pathlib import Path
from typing import Any

from mmengine.dist import barrier, is_main_process
from mmengine.hooks import CheckpointHook
from mmengine.runner import Runner
from torch import Tensor

from ..registry import HOOKS
from ..utils.atomic_files import remove_partial_files, write_atomic
from .checkpoint_files import is_truncated
from .loops import ResumableEpochLoop, ResumableIterLoop
from .resume import resolve_resume
from .state import accumulated_gradients, is_update_step, restore_gradients, restore_sizes, sampled_sizes
from .stop_request import StopRequest

__all__ = ['ResumableCheckpointHook']

EXIT_CODE = 143  # 128 + SIGTERM, as in a shell
STOPPED, STOPPED_BEFORE = 'stopped.pth', 'stopped_before.pth'


@HOOKS.register_module()
class ResumableCheckpointHook(CheckpointHook):
    """CheckpointHook that never loses the latest complete checkpoint and saves one on SIGTERM.

    - Checkpoints are written atomically, then ``last_checkpoint`` is updated, then old checkpoints are removed.
    - On SIGTERM the current step is completed (with gradient accumulation, all steps up to the next update),
      ``stopped.pth`` is written, and the process exits with code 143. During validation nothing is written, and the
      run resumes from the previous checkpoint.
    - ``resume=True`` uses the latest complete checkpoint; all processes follow the main process. Truncated checkpoints
      are logged and skipped.
    - Checkpoints also hold accumulated gradients and the image size that mmdet's BatchSyncRandomResize has drawn.

    Args:
        *args: Arguments of CheckpointHook.
        backend_args: File backend. With a backend other than the default, writes are only as safe as that backend.
        **kwargs: Arguments of CheckpointHook.

    Raises:
        ValueError: If the checkpoint to resume from is truncated, or if not all processes find the same file.
        SystemExit: With code 143, after SIGTERM.
    """

    def __init__(self, *args, backend_args: dict | None = None, **kwargs):
        backend_args = backend_args or dict(backend='mmxattn.AtomicBackend')
        super().__init__(*args, backend_args=backend_args, **kwargs)
        self.stop_request = StopRequest()
        self.gradients: dict[str, Tensor] = {}

    def before_run(self, runner: Runner) -> None:
        resolve_resume(runner)  # needed for loops other than ours, before the runner loads

    def before_train(self, runner: Runner) -> None:
        super().before_train(runner)
        if is_main_process():
            remove_partial_files(self.out_dir)
        self.stop_request.install()

    def before_train_epoch(self, runner: Runner) -> None:
        if isinstance(runner.train_loop, ResumableIterLoop):
            runner.train_loop.run_missed_validation()

    # The keys of the checkpoint and of the message hub are those of mmxattn 0.1.0.

    def before_save_checkpoint(self, runner: Runner, checkpoint: dict) -> None:
        if self.gradients:
            checkpoint['waiting_gradients'] = self.gradients
        if sizes := sampled_sizes(runner):
            checkpoint['batch_sizes'] = sizes

    def after_load_checkpoint(self, runner: Runner, checkpoint: dict) -> None:
        if getattr(runner, '_resume', False):
            restore_gradients(runner, checkpoint.get('waiting_gradients', {}))
            restore_sizes(runner, checkpoint.get('batch_sizes', {}))

    def after_train_iter(self, runner: Runner, batch_idx: int, data_batch: Any = None, outputs: Any = None) -> None:
        if isinstance(runner.train_loop, ResumableEpochLoop):
            runner.message_hub.update_info('batches_of_epoch', (batch_idx + 1, len(runner.train_dataloader)))
        super().after_train_iter(runner, batch_idx, data_batch, outputs)
        if is_update_step(runner) and self.stop_request.received_by_any():
            self._save_and_exit(runner)

    def after_train_epoch(self, runner: Runner) -> None:
        runner.message_hub.pop_info('batches_of_epoch')
        super().after_train_epoch(runner)

    def after_val_iter(self, runner: Runner, batch_idx: int, data_batch: Any = None, outputs: Any = None) -> None:
        # No communication here: processes may validate different numbers of batches.
        if self.stop_request.received:
            last = self.last_ckpt or runner._load_from
            runner.logger.info(f'SIGTERM during validation: resume from {last}.')
            raise SystemExit(EXIT_CODE)

    def after_train(self, runner: Runner) -> None:
        self.stop_request.uninstall()
        super().after_train(runner)

    def _save_and_exit(self, runner: Runner) -> None:
        self.last_ckpt = self.file_backend.join_path(self.out_dir, STOPPED)
        if isinstance(runner.train_loop, ResumableIterLoop):
            runner.message_hub.update_info('stopped_at_step', runner.iter + 1)
        self._keep_previous_stop()
        runner.save_checkpoint(self.out_dir, STOPPED, save_optimizer=True, save_param_scheduler=True,
                               meta=dict(epoch=runner.epoch, iter=runner.iter + 1), by_epoch=False,
                               backend_args=copy.copy(self.backend_args))
        if is_main_process():
            write_atomic(Path(runner.work_dir) / 'last_checkpoint', str(self.last_ckpt).encode(), durable=True)
            _remove(Path(self.out_dir) / STOPPED_BEFORE)
        runner.logger.info(f'SIGTERM at step {runner.iter + 1}: saved {self.last_ckpt}, use --resume to continue.')
        barrier()  # launchers kill the other processes as soon as one exits
        raise SystemExit(EXIT_CODE)

    def _keep_previous_stop(self) -> None:
        """Rename a complete ``stopped.pth``, since FlexibleRunner overwrites files in place."""
        stopped, kept = Path(self.out_dir) / STOPPED, Path(self.out_dir) / STOPPED_BEFORE
        if is_main_process() and stopped.exists() and not is_truncated(stopped):
            _remove(kept)
            os.replace(stopped, kept)
        barrier()

    def _save_checkpoint_with_step(self, runner: Runner, step: int, meta: dict) -> None:
        self.gradients = accumulated_gradients(runner)
        super()._save_checkpoint_with_step(runner, step, meta)
        self.gradients = {}
        for name in (STOPPED, STOPPED_BEFORE):  # older than the checkpoint just written
            stopped = self.file_backend.join_path(self.out_dir, name)
            if is_main_process() and self.file_backend.isfile(stopped):
                self.file_backend.remove(stopped)
        self._flush_removals()

    def _save_best_checkpoint(self, runner: Runner, metrics: dict) -> None:
        super()._save_best_checkpoint(runner, metrics)
        self._flush_removals()

    def _flush_removals(self) -> None:
        if is_main_process() and hasattr(self.file_backend, 'flush'):
            self.file_backend.flush()


def _remove(checkpoint: Path) -> None:
    """Remove a checkpoint file or a folder of shards, if present."""
    if checkpoint.is_dir():
        shutil.rmtree(checkpoint)
    else:
        checkpoint.unlink(missing_ok=True)
