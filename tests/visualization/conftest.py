"""Models of a few layers in the shape of the toolboxes' own, whose maps and gradients can be worked out by hand."""

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
    """Modules in a row; gives the map behind each."""

    def __init__(self, *modules):
        super().__init__()
        self.modules_in_a_row = nn.ModuleList(modules)

    def forward(self, x):
        outs = []
        for module in self.modules_in_a_row:
            x = module(x)
            outs.append(x)
        return tuple(outs)


class TinyModel(BaseModel):
    """A backbone, and nothing around it; images are taken as they are."""

    def __init__(self, backbone):
        super().__init__(ImgDataPreprocessor())
        self.backbone = backbone

    def extract_feat(self, image):
        return self.backbone(image)

    def forward(self, inputs, data_samples=None, mode='tensor'):
        return self.extract_feat(inputs)


class TinyDetector(TinyModel):
    """Each pixel of the last map is a detection of class 0 with the map's first channel as its score."""

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
    """Logits are a 1x1 convolution of the last map, at the size of the image."""

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
    """Images (3, H, W) uint8, as a test data loader hands them over."""
    return dict(inputs=list(images), data_samples=samples or [
        BaseDataElement(metainfo=dict(img_shape=image.shape[1:], ori_shape=image.shape[1:])) for image in images])


def random_image(height, width, seed=0):
    return torch.from_numpy(np.random.RandomState(seed).randint(256, size=(3, height, width), dtype=np.uint8))


@pytest.fixture
def tiny():
    """The classes and functions of this file, for tests in other files of the folder."""
    return SimpleNamespace(Levels=Levels, Model=TinyModel, Detector=TinyDetector, Segmentor=TinySegmentor,
                           batch_of=batch_of, random_image=random_image)


@pytest.fixture
def recipe_of():
    """Build a stock recipe's model with random weights, and a batch of one random image."""
    def build(package, name, size):
        cfg = recipes.stock(package, name)
        model = recipes.build(cfg)
        model.eval()
        return model, recipes.inputs(cfg, model, [size])

    return build
