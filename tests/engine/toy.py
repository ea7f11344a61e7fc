"""The smallest run that has everything a checkpoint has: for what the engine does with files, signals and loops."""
import os
import time

import numpy as np
import torch
from mmengine.config import Config
from mmengine.evaluator import BaseMetric
from mmengine.hooks import Hook
from mmengine.model import BaseModel
from mmengine.registry import DATASETS, HOOKS, METRICS, MODELS
from mmengine.runner import Runner
from torch import nn

import mmxattn.engine


@MODELS.register_module(force=True)
class ToyModel(BaseModel):
    """One weight a feature; dropout."""

    def __init__(self, dropout=0.5):
        super().__init__()
        self.dropout = dropout
        self.layer = nn.Linear(4, 1)

    def forward(self, inputs, mode='tensor'):
        x = torch.stack(inputs).float()
        if mode == 'loss':
            return dict(loss=self.layer(nn.functional.dropout(x, self.dropout)).square().mean())
        return [x.sum()]


@DATASETS.register_module(force=True)
class ToyNumbers(torch.utils.data.Dataset):
    """Its n-th sample is n and three random numbers."""

    def __init__(self, length=12):
        self.length = length

    def __len__(self):
        return self.length

    def __getitem__(self, index):
        return dict(inputs=torch.tensor([float(index), *np.random.rand(3)]))


@METRICS.register_module(force=True)
class ToyMetric(BaseMetric):
    """The scores that it is told, one each evaluation."""
    scores = []

    def process(self, data_batch, data_samples):
        self.results.append(0)

    def compute_metrics(self, results):
        return dict(score=self.scores.pop(0))


class Seen(Hook):
    """What each step was given: the loop's place, the batch."""
    priority = 'VERY_HIGH'

    def __init__(self, then=None, at=None):
        self.batches, self.then, self.at = [], then, at

    def after_train_iter(self, runner, batch_idx, data_batch=None, outputs=None):
        samples = [sample.tolist() for sample in data_batch['inputs']]
        self.batches.append((runner.epoch, runner.iter, batch_idx, samples))
        if runner.iter + 1 == self.at:
            self.then()


@HOOKS.register_module(force=True)
class SignalOnce(Hook):
    """Sends a signal to its process after a step."""

    def __init__(self, step, number):
        self.step, self.number = step, number

    def after_train_iter(self, runner, batch_idx, data_batch=None, outputs=None):
        if runner.iter + 1 == self.step:
            os.kill(os.getpid(), self.number)


def plain_recipe(folder, max_epochs=3, **changes) -> Config:
    """Epochs of six batches of two."""
    config = Config(dict(
        model=dict(type='ToyModel'),
        train_dataloader=dict(batch_size=2, num_workers=0, dataset=dict(type='ToyNumbers'),
                              sampler=dict(type='DefaultSampler', shuffle=True)),
        train_cfg=dict(by_epoch=True, max_epochs=max_epochs, val_interval=1),
        optim_wrapper=dict(type='OptimWrapper', optimizer=dict(type='SGD', lr=0.01, momentum=0.9)),
        param_scheduler=[dict(type='CosineAnnealingLR', by_epoch=True, convert_to_iter_based=True)],
        default_hooks=dict(checkpoint=dict(type='CheckpointHook', interval=1)),
        randomness=dict(seed=5), work_dir=str(folder), log_level='ERROR', default_scope='mmengine'))
    config.merge_from_dict(changes)
    return config


def toy_recipe(folder, max_epochs=3, **changes) -> Config:
    """The same with everything that resuming needs."""
    config = plain_recipe(folder, max_epochs, **changes)
    mmxattn.engine.make_resumable(config)
    return config


def validated(config: Config) -> Config:
    """The recipe with a validation."""
    config.val_dataloader = dict(batch_size=2, num_workers=0, dataset=dict(type='ToyNumbers', length=4),
                                 sampler=dict(type='DefaultSampler', shuffle=False))
    config.val_cfg, config.val_evaluator = dict(), dict(type='ToyMetric')
    return config


def toy_runner(config: Config, seen: Hook | None = None) -> Runner:
    config.experiment_name = f'toy-{time.time_ns()}'
    runner = Runner.from_cfg(config)
    runner.register_hook(seen or Seen())
    return runner
