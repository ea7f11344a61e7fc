"""Minimal training run with all kinds of state in a checkpoint, for tests of files, signals and loops."""
import os
import time
from collections.abc import Callable

import numpy as np
import torch
from mmengine.config import Config
from mmengine.evaluator import BaseMetric
from mmengine.hooks import Hook
from mmengine.model import BaseModel
from mmengine.registry import DATASETS, HOOKS, METRICS, MODELS, RUNNERS
from mmengine.runner import Runner
from torch import nn

from mmxattn.engine import make_resumable


@MODELS.register_module(force=True)
class ToyModel(BaseModel):
    """A linear layer with dropout."""

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
class ToyDataset(torch.utils.data.Dataset):
    """Sample n is the number n and three random numbers."""

    def __init__(self, length=12):
        self.length = length

    def __len__(self):
        return self.length

    def __getitem__(self, index):
        return dict(inputs=torch.tensor([float(index), *np.random.rand(3)]))


@METRICS.register_module(force=True)
class ToyMetric(BaseMetric):
    """Metric that returns the next of ``scores`` in each evaluation."""
    scores = []

    def process(self, data_batch, data_samples):
        self.results.append(0)

    def compute_metrics(self, results):
        return dict(score=self.scores.pop(0))


class Recorder(Hook):
    """Hook that records epoch, step, batch index and samples of each step, and calls a function after step ``at``."""
    priority = 'VERY_HIGH'

    def __init__(self, then: Callable[[], None] | None = None, at: int | None = None):
        self.steps, self.then, self.at = [], then, at

    def after_train_iter(self, runner, batch_idx, data_batch=None, outputs=None):
        samples = [sample.tolist() for sample in data_batch['inputs']]
        self.steps.append((runner.epoch, runner.iter, batch_idx, samples))
        if runner.iter + 1 == self.at:
            self.then()


@HOOKS.register_module(force=True)
class SendSignal(Hook):
    """Hook that signals the process, its parent or its process group after step ``at``, on one or all ranks."""

    def __init__(self, at: int, signal: int, to: str = 'self', rank: int | None = None):
        self.at, self.signal, self.to, self.rank = at, signal, to, rank

    def after_train_iter(self, runner, batch_idx, data_batch=None, outputs=None):
        if runner.iter + 1 == self.at and self.rank in (None, runner.rank):
            if self.to == 'group':
                os.killpg(0, self.signal)
            else:
                os.kill(os.getpid() if self.to == 'self' else os.getppid(), self.signal)
        if runner.iter + 1 >= self.at and self.to != 'self':
            time.sleep(0.1)  # give the signal time to arrive


def plain_config(work_dir, max_epochs=3, **changes) -> Config:
    """Epochs of six batches of two samples."""
    config = Config(dict(
        model=dict(type='ToyModel'),
        train_dataloader=dict(batch_size=2, num_workers=0, dataset=dict(type='ToyDataset'),
                              sampler=dict(type='DefaultSampler', shuffle=True)),
        train_cfg=dict(by_epoch=True, max_epochs=max_epochs, val_interval=1),
        optim_wrapper=dict(type='OptimWrapper', optimizer=dict(type='SGD', lr=0.01, momentum=0.9)),
        param_scheduler=[dict(type='CosineAnnealingLR', by_epoch=True, convert_to_iter_based=True)],
        default_hooks=dict(checkpoint=dict(type='CheckpointHook', interval=1)),
        randomness=dict(seed=5), work_dir=str(work_dir), log_level='ERROR', default_scope='mmengine'))
    config.merge_from_dict(changes)
    return config


def resumable_config(work_dir, max_epochs=3, **changes) -> Config:
    config = plain_config(work_dir, max_epochs, **changes)
    make_resumable(config)
    return config


def flexible_config(work_dir, **changes) -> Config:
    return resumable_config(work_dir, runner_type='FlexibleRunner', strategy=dict(type='SingleDeviceStrategy'),
                            launcher='none', env_cfg=dict(), **changes)


def with_validation(config: Config) -> Config:
    config.val_dataloader = dict(batch_size=2, num_workers=0, dataset=dict(type='ToyDataset', length=4),
                                 sampler=dict(type='DefaultSampler', shuffle=False))
    config.val_cfg, config.val_evaluator = dict(), dict(type='ToyMetric')
    return config


def build_runner(config: Config, recorder: Hook | None = None) -> Runner:
    config.experiment_name = f'toy-{time.time_ns()}'  # mmengine keeps a message hub per name
    runner = RUNNERS.build(config) if 'runner_type' in config else Runner.from_cfg(config)
    runner.register_hook(recorder or Recorder())
    return runner


def train(config: Config, recorder: Hook | None = None) -> tuple[Runner, int]:
    """Train. Return the runner and the exit code, 143 after SIGTERM."""
    runner = build_runner(config, recorder)
    try:
        runner.train()
    except SystemExit as stop:
        return runner, stop.code
    return runner, 0


def truncate(path, share=0.5) -> None:
    """Keep only the first part of a file."""
    content = path.read_bytes()
    path.write_bytes(content[:int(len(content) * share)])


def differing_keys(one: dict, other: dict) -> list[str]:
    """Return the keys whose values in two flat dicts are not equal bit for bit."""
    def equal(a, b):
        if isinstance(a, torch.Tensor):
            return torch.equal(a, b)
        return bool(np.array_equal(a, b)) if isinstance(a, np.ndarray) else a == b

    return sorted(one.keys() ^ other.keys()) + [key for key in one.keys() & other.keys()
                                                if not equal(one[key], other[key])]
