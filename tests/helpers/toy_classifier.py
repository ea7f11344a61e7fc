"""Classifier of bright and dark images, which trains in seconds, and a config of it that can be interrupted."""

import os
from pathlib import Path

import torch
from mmengine.evaluator import BaseMetric
from mmengine.hooks import Hook
from mmengine.model import BaseModel
from mmengine.registry import DATASETS, HOOKS, METRICS, MODELS
from mmengine.structures import BaseDataElement
from torch import nn
from torch.nn import functional as F

CONFIG = """
custom_imports = dict(imports=['toy_classifier'])
default_scope = 'mmengine'
model = dict(type='ToyClassifier', width={width}, data_preprocessor=dict(type='ImgDataPreprocessor'))
train_dataloader = dict(batch_size=4, num_workers=0, dataset=dict(type='ToyImages'),
                        sampler=dict(type='DefaultSampler', shuffle=True))
val_dataloader = dict(batch_size=4, num_workers=0, dataset=dict(type='ToyImages'),
                      sampler=dict(type='DefaultSampler', shuffle=False))
train_cfg = dict(by_epoch=True, max_epochs=3, val_interval=1)
val_cfg = dict()
val_evaluator = dict(type='ToyAccuracy')
optim_wrapper = dict(optimizer=dict(type='SGD', lr={lr}))
custom_hooks = [dict(type='StepLog', path='{folder}/{name}.steps', crash_at={crash_at})]
"""


def write_config(folder: Path, name: str = 'toy', width: int = 4, lr: float = 0.1, crash_at: int | None = None) -> Path:
    """Write a config whose training steps are logged in ``folder`` and that crashes once at step ``crash_at``."""
    path = folder / f'{name}.py'
    path.write_text(CONFIG.format(folder=folder, name=name, width=width, lr=lr, crash_at=crash_at))
    return path


def read_steps(folder: Path, name: str = 'toy') -> list[int]:
    """Return the training steps of all runs of a config."""
    return [int(step) for step in (folder / f'{name}.steps').read_text().split()]


@MODELS.register_module()
class ToyClassifier(BaseModel):

    def __init__(self, width, data_preprocessor=None):
        super().__init__(data_preprocessor)
        self.conv = nn.Conv2d(3, width, 3, padding=1, bias=False)
        self.classify = nn.Linear(width, 2)

    def forward(self, inputs, data_samples=None, mode='tensor'):
        logits = self.classify(self.conv(inputs / 255).mean((2, 3)))
        if mode == 'tensor':
            return logits
        labels = torch.tensor([sample.label for sample in data_samples])
        if mode == 'loss':
            return dict(loss=F.cross_entropy(logits, labels))
        return list(zip(logits.argmax(1).tolist(), labels.tolist()))


@DATASETS.register_module()
class ToyImages(torch.utils.data.Dataset):

    def __len__(self):
        return 16

    def __getitem__(self, index):
        label = index % 2
        image = torch.full((3, 8, 12), 200 * label, dtype=torch.uint8)
        return dict(inputs=image, data_samples=BaseDataElement(label=label))


@METRICS.register_module()
class ToyAccuracy(BaseMetric):
    default_prefix = 'toy'

    def process(self, data_batch, data_samples):
        self.results.extend(prediction == target for prediction, target in data_samples)

    def compute_metrics(self, results):
        return dict(accuracy=sum(results) / len(results), comment='not a number, as in metrics of mmdet')


@HOOKS.register_module()
class StepLog(Hook):
    """Log each step to a file, and crash at one step the first time it is reached."""

    def __init__(self, path, crash_at=None):
        self.path, self.crash_at = path, crash_at

    def after_train_iter(self, runner, batch_idx, data_batch=None, outputs=None):
        steps = open(self.path).read().split() if os.path.exists(self.path) else []
        with open(self.path, 'a') as file:
            file.write(f'{runner.iter} ')
        if runner.iter == self.crash_at and str(self.crash_at) not in steps:
            print('simulated crash', flush=True)
            os._exit(1)
