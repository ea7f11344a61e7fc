"""Adapters for the ``grad-cam`` package: a wrapper for the model's output, and targets to differentiate."""

import contextlib
import sys
from collections.abc import Iterator, Sequence
from unittest import mock

import torch
from mmengine.model import BaseModel
from mmengine.structures import BaseDataElement, InstanceData
from torch import Tensor, nn

MAX_DETECTIONS = 300  # of all classes together, since a mask head computes a mask for each


class ModelOutputWrapper(nn.Module):
    """Wrap a detector or segmentor in a model that maps a preprocessed image to one output per image.

    Args:
        model: Detector or segmentor.
        samples: Data samples of the images.
    """

    def __init__(self, model: BaseModel, samples: Sequence[BaseDataElement]):
        super().__init__()
        self.model = model
        self.samples = samples
        self.is_segmentor = hasattr(model, 'encode_decode')

    def forward(self, image: Tensor) -> Tensor | list[InstanceData]:
        """Map an image (1, 3, H, W) to logits (1, classes, H, W), or to a list with the instances of a detector."""
        if self.is_segmentor:
            return self.model.encode_decode(image, [sample.metainfo for sample in self.samples])
        needs_scores = torch.is_grad_enabled()  # EigenCAM runs without gradients and only uses feature maps
        thresholds = disable_score_thresholds(self.model) if needs_scores else contextlib.nullcontext()
        with thresholds, differentiable_scores():
            results = self.model(image, self.samples, mode='predict')
        instances = [result.get('pred_instances', ()) for result in results]
        if needs_scores and not all('scores' in predicted for predicted in instances):
            raise ValueError(f'{type(self.model).__name__} must predict instances with scores. Grad-CAM supports '
                             f'detectors and semantic segmentors.')
        return instances


class Target:
    """Scalar that Grad-CAM differentiates, computed from the output for one image.

    Args:
        label: Class to explain.
        feature_maps: Outputs of the target layers.

    Attributes:
        description: Definition of the scalar, set by the call.
        value: Its value, set by the call.
    """

    def __init__(self, label: int | None, feature_maps: Sequence[Tensor]):
        self.label, self.feature_maps = label, feature_maps
        self.description: str | None = None
        self.value: float | None = None

    def __call__(self, output) -> Tensor:
        score = self.score(output)
        if not score.requires_grad:
            raise ValueError('The scores must be connected to the feature maps by gradients, but this model detaches '
                             'them. Use EigenCAM instead of Grad-CAM.')
        self.value = float(score.detach())
        # Maps that the score does not depend on get a zero gradient, which grad-cam requires.
        return score + 0 * sum(feature_map.sum() for feature_map in self.feature_maps)

    def score(self, output) -> Tensor:
        """Compute the scalar and set ``description``."""
        raise NotImplementedError


class DetectionTarget(Target):
    """Sum of the scores of the best detections of a class, down to half of the highest score.

    Args:
        label: Class to explain. None for all classes.
        feature_maps: Outputs of the target layers.
        top: Maximum number of detections.
    """

    def __init__(self, label: int | None, feature_maps: Sequence[Tensor], top: int = 10):
        super().__init__(label, feature_maps)
        self.top = top

    def score(self, instances: InstanceData) -> Tensor:
        name = 'all classes' if self.label is None else f'class {self.label}'
        scores = instances.scores if self.label is None else instances.scores[instances.labels == self.label]
        if not len(scores):
            raise ValueError(f'None of the {len(instances)} detections belongs to {name}. Use another class.')
        best = scores.topk(min(self.top, len(scores))).values
        best = best[best >= best[0] / 2]
        self.description = f'sum of the scores of the {len(best)} best detections of {name}'
        return best.sum()


class SegmentationTarget(Target):
    """Sum of the logits of a class over the pixels predicted as this class, or over all pixels if there are none."""

    def score(self, logits: Tensor) -> Tensor:
        if len(logits) == 1:  # binary segmentation
            logits = torch.cat((-logits, logits))
        if self.label is None or not 0 <= self.label < len(logits):
            raise ValueError(f'label must be a class from 0 to {len(logits) - 1} for Grad-CAM of a segmentor, got '
                             f'{self.label}.')
        pixels = logits.argmax(0) == self.label
        where = f'the {int(pixels.sum())} pixels predicted as this class'
        if not pixels.any():
            pixels, where = torch.ones_like(pixels), 'all pixels, since none is predicted as this class'
        self.description = f'sum of the logits of class {self.label} over {where}'
        return logits[self.label][pixels].sum()


@contextlib.contextmanager
def disable_score_thresholds(model: BaseModel) -> Iterator[None]:
    """Make a detector return its best detections regardless of their scores."""
    with contextlib.ExitStack() as stack:
        for module in model.modules():
            settings = getattr(module, 'test_cfg', None)
            if settings and 'score_thr' in settings:
                stack.enter_context(mock.patch.dict(settings, score_thr=0.0, max_per_img=MAX_DETECTIONS))
        yield


@contextlib.contextmanager
def differentiable_scores() -> Iterator[None]:
    """Keep gradients of the final scores, which mmdet's dense heads detach in ``select_single_mlvl``."""
    modules = [module for name, module in sys.modules.items()
               if name.startswith('mmdet.models.') and 'select_single_mlvl' in vars(module)]
    with contextlib.ExitStack() as stack:
        for module in modules:
            stack.enter_context(mock.patch.object(
                module, 'select_single_mlvl', lambda maps, index, detach=True: [x[index] for x in maps]))
        yield
