"""Train one config in this process: ``python -m mmxattn.comparison.training_process CONFIG FOLDER``.

training.py starts this process and reads the progress lines that it prints.
"""

import json
import numbers
import sys
import time
from dataclasses import asdict
from pathlib import Path

from mmengine.config import Config
from mmengine.hooks import Hook
from mmengine.runner import Runner

from ..utils.atomic_files import write_json
from .training import PROGRESS, RESULT, Training, find_last_checkpoint


class ProgressHook(Hook):
    """Report progress to the parent process, measure training time and keep the metrics of the last evaluation."""

    metrics = None

    def before_train(self, runner):
        self.seconds = runner.message_hub.get_info('training_seconds', 0.0)  # restored from the checkpoint

    def before_train_epoch(self, runner):
        self.since = time.perf_counter()

    def after_train_iter(self, runner, batch_idx, data_batch=None, outputs=None):
        now = time.perf_counter()
        self.seconds, self.since = self.seconds + now - self.since, now
        runner.message_hub.update_info('training_seconds', self.seconds)
        self._report(runner, runner.iter + 1, f'loss {float(outputs["loss"].detach()):.3f}')

    def after_val_iter(self, runner, batch_idx, data_batch=None, outputs=None):
        self._report(runner, runner.iter, f'evaluating {batch_idx + 1}/{len(runner.val_dataloader)}')

    def after_val_epoch(self, runner, metrics=None):
        self.metrics = metrics
        self.since = time.perf_counter()  # do not count evaluation as training time

    @staticmethod
    def _report(runner, done, note):
        print(PROGRESS + json.dumps({'done': done, 'total': runner.max_iters, 'note': note}), flush=True)


def run(config: str | Path, folder: str | Path) -> None:
    """Train a config, evaluate it, and write the result.

    Args:
        config: Path of the config file.
        folder: Work directory.
    """
    cfg, work_dir = Config.fromfile(config), Path(folder)
    cfg.work_dir = str(work_dir)
    checkpoint = find_last_checkpoint(work_dir)
    if checkpoint is not None:
        cfg.resume, cfg.load_from = True, str(checkpoint)
    runner = Runner.from_cfg(cfg)
    hook = ProgressHook()
    runner.register_hook(hook)
    runner.train()
    metrics = hook.metrics
    if metrics is None and cfg.get('val_dataloader'):  # interrupted between the last step and its evaluation
        metrics = runner.val()
    checkpoint = find_last_checkpoint(work_dir)
    if checkpoint is None:
        raise ValueError(f'Training must leave a checkpoint in {work_dir}, got none: add a CheckpointHook to {config}.')
    result = Training(
        metrics={name: float(value) for name, value in (metrics or {}).items() if isinstance(value, numbers.Real)},
        seconds=hook.seconds,
        iterations=runner.iter,
        checkpoint=str(checkpoint))
    write_json(work_dir / RESULT, asdict(result))


if __name__ == '__main__':
    run(*sys.argv[1:])
