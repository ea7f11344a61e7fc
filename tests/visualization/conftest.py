"""Tiny models with the interface of the toolboxes, whose feature maps and gradients are known in closed form."""

from types import SimpleNamespace

import numpy as np
import pytest
import torch
from mmengine.model import BaseModel, ImgDataPreprocessor
from mmengine.structures import BaseDataElement, InstanceData, PixelData
from torch import nn
from torch.nn import functional as F

import recipes


class Levels(nn.Module):
    """Sequence of modules that returns all intermediate maps."""

    def __init__(self, *modules):
        super().__init__()
        self.stages = nn.ModuleList(modules)

    def forward(self, x):
        outs = []
        for module in self.stages:
            x = module(x)
            outs.append(x)
        return tuple(outs)


class TinyModel(BaseModel):
    """Backbone without a head and without normalization of the image."""

    def __init__(self, backbone):
        super().__init__(ImgDataPreprocessor())
        self.backbone = backbone

    def extract_feat(self, image):
        return self.backbone(image)

    def forward(self, inputs, data_samples=None, mode='tensor'):
        return self.extract_feat(inputs)


class TinyDetector(TinyModel):
    """Each pixel of the last map is a detection of class 0. Its score is the first channel."""

    def forward(self, inputs, data_samples=None, mode='tensor'):
        scores = self.extract_feat(inputs)[-1][:, 0].flatten(1)
        for sample, own in zip(data_samples, scores):
            boxes = torch.zeros(len(own), 4)
            sample.pred_instances = InstanceData(bboxes=boxes, scores=own, labels=torch.zeros(len(own)).long())
        return data_samples


class TinyHead(nn.Module):

    def __init__(self, channels, classes):
        super().__init__()
        self.conv_seg = nn.Conv2d(channels, classes, 1)
        self.ignore_index = 255

    def forward(self, maps):
        return self.conv_seg(maps[-1])


class TinySegmentor(TinyModel):
    """Segmentor whose logits are a 1x1 convolution of the last map, resized to the image."""

    def __init__(self, backbone, channels, classes):
        super().__init__(backbone)
        self.num_classes = classes
        self.decode_head = TinyHead(channels, classes)

    def encode_decode(self, image, metas):
        return F.interpolate(self.decode_head(self.extract_feat(image)), image.shape[2:])

    def forward(self, inputs, data_samples=None, mode='tensor'):
        for sample, logits in zip(data_samples, self.encode_decode(inputs, None)):
            sample.pred_sem_seg = PixelData(data=logits.argmax(0, keepdim=True))
        return data_samples


def batch_of(*images, samples=None):
    """Batch of images (3, H, W) uint8 in the format of a test data loader."""
    return dict(inputs=list(images), data_samples=samples or [
        BaseDataElement(metainfo=dict(img_shape=image.shape[1:], ori_shape=image.shape[1:])) for image in images])


def random_image(height, width, seed=0):
    return torch.from_numpy(np.random.RandomState(seed).randint(256, size=(3, height, width), dtype=np.uint8))


@pytest.fixture
def tiny():
    """Classes and functions of this file."""
    return SimpleNamespace(Levels=Levels, Model=TinyModel, Detector=TinyDetector, Segmentor=TinySegmentor,
                           batch_of=batch_of, random_image=random_image)


@pytest.fixture
def build_stock():
    """Builder of a stock model with random weights and a batch of one random image."""
    def build(package, name, size):
        cfg = recipes.stock(package, name)
        model = recipes.build(cfg)
        model.eval()
        return model, recipes.inputs(cfg, model, [size])

    return build
