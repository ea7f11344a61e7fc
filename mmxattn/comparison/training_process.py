"""The process that trains one recipe: ``python -m mmxattn.comparison.training_process CONFIG FOLDER``.

Started by training.py, which reads the progress lines that this prints.
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

from ..utils.json_files import write_json
from .training import PROGRESS, RESULT, Training, last_checkpoint


class ReportHook(Hook):
    """Tell the parent process how far training is, take its time, and keep the last evaluation."""

    metrics = None

    def before_train(self, runner):
        self.seconds = runner.message_hub.get_info('training_seconds', 0.0)  # the checkpoint brings it back

    def before_train_epoch(self, runner):
        self.since = time.perf_counter()

    def after_train_iter(self, runner, batch_idx, data_batch=None, outputs=None):
        now = time.perf_counter()
        self.seconds, self.since = self.seconds + now - self.since, now
        runner.message_hub.update_info('training_seconds', self.seconds)
        self._tell(runner, runner.iter + 1, f'loss {float(outputs["loss"].detach()):.3f}')

    def after_val_iter(self, runner, batch_idx, data_batch=None, outputs=None):
        self._tell(runner, runner.iter, f'evaluating {batch_idx + 1}/{len(runner.val_dataloader)}')

    def after_val_epoch(self, runner, metrics=None):
        self.metrics = metrics
        self.since = time.perf_counter()  # evaluation is no training time

    @staticmethod
    def _tell(runner, done, note):
        print(PROGRESS + json.dumps(dict(done=done, total=runner.max_iters, note=note)), flush=True)


def run(config, folder):
    """Train in this process, evaluate, and write the result into the folder.

    Args:
        config (str): The config file.
        folder (str): The work directory.
    """
    cfg, folder = Config.fromfile(config), Path(folder)
    cfg.work_dir = str(folder)
    checkpoint = last_checkpoint(folder)
    if checkpoint is not None:
        cfg.resume, cfg.load_from = True, str(checkpoint)
    runner = Runner.from_cfg(cfg)
    report = ReportHook()
    runner.register_hook(report)
    runner.train()
    metrics = report.metrics
    if metrics is None and cfg.get('val_dataloader'):  # resumed behind the last step: nothing was left to evaluate
        metrics = runner.val()
    checkpoint = last_checkpoint(folder)
    if checkpoint is None:
        raise ValueError(f'Training left no checkpoint in {folder}: give {config} a CheckpointHook.')
    result = Training(
        metrics={name: float(value) for name, value in (metrics or {}).items() if isinstance(value, numbers.Real)},
        seconds=report.seconds,
        iterations=runner.iter,
        checkpoint=str(checkpoint))
    write_json(folder / RESULT, asdict(result))


if __name__ == '__main__':
    run(*sys.argv[1:])
