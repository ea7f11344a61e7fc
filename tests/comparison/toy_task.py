"""A task that mmengine's Runner trains in a blink: is an image bright or dark? And a way to stop its training."""

import os

import torch
from mmengine.evaluator import BaseMetric
from mmengine.hooks import Hook
from mmengine.model import BaseModel
from mmengine.registry import DATASETS, HOOKS, METRICS, MODELS
from mmengine.structures import BaseDataElement
from torch import nn
from torch.nn import functional as F


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
        self.results.extend(guess == truth for guess, truth in data_samples)

    def compute_metrics(self, results):
        return dict(accuracy=sum(results) / len(results), comment='a text, as mmdet adds one to be copied')


@HOOKS.register_module()
class Diary(Hook):
    """Write each step into a file; leave without a word at one step, the first time."""

    def __init__(self, path, leave_at=None):
        self.path, self.leave_at = path, leave_at

    def after_train_iter(self, runner, batch_idx, data_batch=None, outputs=None):
        steps = open(self.path).read().split() if os.path.exists(self.path) else []
        with open(self.path, 'a') as file:
            file.write(f'{runner.iter} ')
        if runner.iter == self.leave_at and str(self.leave_at) not in steps:
            print('the lights went out', flush=True)
            os._exit(1)
