"""Small runs of a detector and a segmentor, with all sources of randomness in real configs.

As a script, a run to be killed: python small_training.py KIND WORK_DIR STEP SIGNAL TARGET WORKERS
"""
import copy
import random
import signal
import sys
import time
from pathlib import Path

import numpy as np
import torch
from mmengine.config import Config
from mmengine.hooks import Hook
from mmengine.runner import Runner
from toy_training import SendSignal  # noqa: F401  registers the hook

import mmxattn.engine

CONFIGS = Path(__file__).parents[2] / 'configs' / 'demo'
STEPS = 10


class Recorder(Hook):
    """Hook that records the number, images and loss of each step."""

    def __init__(self):
        self.steps = []

    def after_train_iter(self, runner, batch_idx, data_batch=None, outputs=None):
        files = [Path(sample.img_path).name for sample in data_batch['data_samples']]
        pixels = [float(image.float().mul(torch.arange(image.shape[-1])).mean()) for image in data_batch['inputs']]
        self.steps.append((runner.iter, batch_idx, files, pixels, float(outputs['loss'].detach())))


def detector() -> Config:
    """Faster R-CNN with FINE, two epochs of five batches."""
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
    """SegFormer with CLA, trained by steps."""
    config = Config.fromfile(CONFIGS / 'segformer_mit-b0_cla_digits-160x160.py')
    config.model.backbone.update(num_layers=[1, 1, 1, 1], drop_path_rate=0.2)
    config.model.decode_head.update(channels=16, dropout_ratio=0.2)
    config.train_cfg = dict(type='IterBasedTrainLoop', max_iters=STEPS, val_interval=100)
    config.train_dataloader.update(batch_size=2, dataset=dict(indices=10), sampler=dict(type='InfiniteSampler'))
    config.param_scheduler = [dict(type='PolyLR', power=1.0, eta_min=0.0, begin=0, end=STEPS, by_epoch=False)]
    return config


def small_config(kind: str, work_dir, workers: int = 0) -> Config:
    """One of the two with augmentation and a checkpoint every three steps."""
    config = detector() if kind == 'detector' else segmentor()
    config.train_dataloader.update(num_workers=workers, persistent_workers=workers > 0)
    config.train_dataloader.dataset.pipeline.insert(-1, dict(type='RandomFlip', prob=0.5))
    config.default_hooks.checkpoint.update(interval=3, by_epoch=False, max_keep_ckpts=2)
    config.default_hooks.logger.interval = 1
    for mode in ('val', 'test'):
        config.update({f'{mode}_{part}': None for part in ('cfg', 'dataloader', 'evaluator')})
    config.update(work_dir=str(work_dir), log_level='WARNING', launcher='none')
    mmxattn.engine.make_resumable(config)
    return config


def train(config: Config, stop_at: int | None = None, number: int = signal.SIGTERM, to: str = 'self'):
    """Train, with a signal after step ``stop_at``. Return the runner, its steps and its exit code."""
    config = copy.deepcopy(config)
    config.experiment_name = f'run-{time.time_ns()}'  # mmengine keeps a message hub per name
    if stop_at:
        config.custom_hooks.append(dict(type='SendSignal', at=stop_at, signal=int(number), to=to))
    runner, recorder, code = Runner.from_cfg(config), Recorder(), 0
    runner.register_hook(recorder, priority='NORMAL')
    try:
        runner.train()
    except SystemExit as stop:
        code = stop.code
    return runner, recorder.steps, code


def resume(config: Config, **signals):
    config = copy.deepcopy(config)
    config.resume = True
    return train(config, **signals)


def training_state(runner) -> dict:
    """Weights, optimizer, schedules, log and generators as a flat dict."""
    return flatten(dict(
        model=runner.model.state_dict(), optimizer=runner.optim_wrapper.state_dict(),
        schedules=[schedule.state_dict() for schedule in runner.param_schedulers],
        losses=runner.message_hub.get_scalar('train/loss')._log_history,
        rates=runner.message_hub.get_scalar('train/lr')._log_history, position=(runner.iter, runner.epoch),
        generators=(random.getstate(), np.random.get_state(), torch.get_rng_state())))


def flatten(value, name='') -> dict:
    if isinstance(value, dict):
        items = value.items()
    elif isinstance(value, (list, tuple)):
        items = enumerate(value)
    else:
        return {name: value}
    return {key: leaf for k, v in items for key, leaf in flatten(v, f'{name}.{k}').items()}


if __name__ == '__main__':
    kind, work_dir, step, number, to, workers = sys.argv[1:]
    sys.exit(train(small_config(kind, work_dir, int(workers)), int(step), int(number), to)[2])
