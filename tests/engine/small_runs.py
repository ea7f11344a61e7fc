"""Small runs of a detector and a segmentor, with everything random that recipes have; as a script, a run to be killed.

    python small_runs.py KIND WORK_DIR STEP SIGNAL WORKERS

It sends SIGNAL to itself after STEP; with KIND-group to all its processes.
"""
import copy
import os
import random
import signal
import sys
import time
from pathlib import Path

import numpy as np
import torch
from mmengine.config import Config
from mmengine.hooks import Hook
from mmengine.registry import HOOKS
from mmengine.runner import Runner

import mmxattn.engine

CONFIGS = Path(__file__).parents[2] / 'configs' / 'demo'
FLIP = dict(type='RandomFlip', prob=0.5)
STEPS = 10


class Recorder(Hook):
    """Each step's number, images and loss, as they were trained."""

    def __init__(self):
        self.steps = []

    def after_train_iter(self, runner, batch_idx, data_batch=None, outputs=None):
        files = [Path(sample.img_path).name for sample in data_batch['data_samples']]
        pixels = [float(image.float().mul(torch.arange(image.shape[-1])).mean()) for image in data_batch['inputs']]
        self.steps.append((runner.iter, batch_idx, files, pixels, float(outputs['loss'].detach())))


@HOOKS.register_module(force=True)
class SignalAt(Hook):
    """Sends a signal when a step has been made, to this process or to its whole group, as a cluster does."""

    def __init__(self, step, number, group=False):
        self.step, self.number, self.group = step, number, group

    def after_train_iter(self, runner, batch_idx, data_batch=None, outputs=None):
        if runner.iter + 1 == self.step:
            os.killpg(0, self.number) if self.group else os.kill(os.getpid(), self.number)
            time.sleep(0.2)


def detector() -> Config:
    """Faster R-CNN with FINE, by epochs of five batches."""
    config = Config.fromfile(CONFIGS / 'faster-rcnn_r18-w32_fine-fpn64_digits.py')
    config.model.backbone.base_channels = 8
    config.model.neck.update(in_channels=[8, 16, 32, 64], out_channels=32)
    config.model.rpn_head.update(in_channels=32, feat_channels=32)
    config.model.roi_head.bbox_roi_extractor.out_channels = 32
    config.model.roi_head.bbox_head.update(in_channels=32, conv_out_channels=16, fc_out_channels=32)
    config.train_cfg = dict(by_epoch=True, max_epochs=2, val_interval=10)
    config.train_dataloader.update(batch_size=2, dataset=dict(indices=10))
    return config


def segmentor() -> Config:
    """SegFormer with CLA, by steps."""
    config = Config.fromfile(CONFIGS / 'segformer_mit-b0_cla_digits-160x160.py')
    config.model.backbone.update(num_layers=[1, 1, 1, 1], drop_path_rate=0.2)
    config.model.decode_head.update(channels=16, dropout_ratio=0.2)
    config.train_cfg = dict(type='IterBasedTrainLoop', max_iters=STEPS, val_interval=100)
    config.train_dataloader.update(batch_size=2, dataset=dict(indices=10), sampler=dict(type='InfiniteSampler'))
    config.param_scheduler = [dict(type='PolyLR', power=1.0, eta_min=0.0, begin=0, end=STEPS, by_epoch=False)]
    return config


def recipe(kind: str, work_dir, workers: int = 0) -> Config:
    """One of the two, with augmentation, a checkpoint every third step, and everything that resuming needs."""
    config = detector() if kind == 'detector' else segmentor()
    config.train_dataloader.update(num_workers=workers, persistent_workers=workers > 0)
    config.train_dataloader.dataset.pipeline.insert(-1, dict(FLIP))
    config.default_hooks.checkpoint.update(interval=3, by_epoch=False, max_keep_ckpts=2)
    config.default_hooks.logger.interval = 1
    for name in ('val_cfg', 'val_dataloader', 'val_evaluator', 'test_cfg', 'test_dataloader', 'test_evaluator'):
        config[name] = None  # another two data sets to read
    config.update(work_dir=str(work_dir), log_level='WARNING', launcher='none')
    mmxattn.engine.make_resumable(config)
    return config


def start(config: Config, step: int = 0, number: int = signal.SIGTERM, group: bool = False):
    """Train; a signal comes after ``step``. Returns the runner and the steps that were made.

    The runner's exit, should the signal end it, is in ``runner.exit_code``.
    """
    config = copy.deepcopy(config)
    config.experiment_name = f'run-{time.time_ns()}'  # mmengine keeps one message hub a name
    if step:
        config.custom_hooks.append(dict(type='SignalAt', step=step, number=int(number), group=group))
    runner, recorder = Runner.from_cfg(config), Recorder()
    runner.register_hook(recorder, priority='NORMAL')
    runner.exit_code = 0
    try:
        runner.train()
    except SystemExit as stop:
        runner.exit_code = stop.code
    return runner, recorder.steps


def resume(config: Config, checkpoint: str | None = None, **signals):
    """As ``start``, from the newest checkpoint or the given one."""
    config = copy.deepcopy(config)
    config.update(resume=True, load_from=checkpoint)
    return start(config, **signals)


def everything(runner) -> dict:
    """What has to be the same after two runs, flat: weights, optimizer, schedules, log, generators."""
    state = dict(model=runner.model.state_dict(), optimizer=runner.optim_wrapper.state_dict(),
                 schedules=[schedule.state_dict() for schedule in runner.param_schedulers],
                 losses=runner.message_hub.get_scalar('train/loss')._log_history,
                 rates=runner.message_hub.get_scalar('train/lr')._log_history,
                 place=(runner.iter, runner.epoch),
                 generators=(random.getstate(), np.random.get_state(), torch.get_rng_state()))
    return flat(state)


def flat(value, name='') -> dict:
    if isinstance(value, dict):
        items = value.items()
    elif isinstance(value, (list, tuple)):
        items = enumerate(value)
    else:
        return {name: value}
    return {key: leaf for k, v in items for key, leaf in flat(v, f'{name}.{k}').items()}


def differing(one: dict, other: dict) -> list:
    """The names under which two states are not the same, bit for bit."""
    def same(a, b):
        if isinstance(a, torch.Tensor):
            return torch.equal(a, b)
        return bool(np.array_equal(a, b)) if isinstance(a, np.ndarray) else a == b

    return sorted(one.keys() ^ other.keys()) + [name for name in one.keys() & other.keys()
                                                if not same(one[name], other[name])]


if __name__ == '__main__':
    kind, folder, step, number, workers = sys.argv[1:]
    runner, _ = start(recipe(kind.removesuffix('-group'), folder, int(workers)), int(step), int(number),
                      kind.endswith('-group'))
    sys.exit(runner.exit_code)
