"""A model's prediction as something that can be explained: an output for each image, and a number to differentiate."""

import contextlib
import sys
from unittest import mock

import torch
from torch import nn

DETECTIONS = 300  # of all classes; a mask head computes a mask for each


class ExplainedModel(nn.Module):
    """A detector or a segmentor as grad-cam wants it: preprocessed image in, one output for each image out."""

    def __init__(self, model, samples):
        super().__init__()
        self.model = model
        self.samples = samples
        self.is_segmentor = hasattr(model, 'encode_decode')

    def forward(self, image):
        """(1, 3, H, W) -> logits (1, classes, H, W), or a list of one detector's final instances."""
        if self.is_segmentor:
            return self.model.encode_decode(image, [sample.metainfo for sample in self.samples])
        differentiated = torch.is_grad_enabled()  # where not, it is the maps on the way that matter
        with lifted_thresholds(self.model) if differentiated else contextlib.nullcontext(), attached_scores():
            results = self.model(image, self.samples, mode='predict')
        instances = [result.get('pred_instances', ()) for result in results]
        if differentiated and not all('scores' in own for own in instances):
            raise ValueError(f'{type(self.model).__name__} predicts no instances with scores: Grad-CAM is made for '
                             f'detectors and semantic segmentors.')
        return instances


class Target:
    """The number that Grad-CAM differentiates, of one image's output.

    Args:
        is_segmentor (bool): Of logits (classes, H, W); else of a detector's instances.
        label (int, optional): The class.
        top (int): How many detections count at most, the best ones.
        led (list[torch.Tensor]): The maps that are looked at.
    """

    def __init__(self, is_segmentor, label, top, led):
        self.is_segmentor, self.label, self.top, self.led = is_segmentor, label, top, led
        self.words = self.value = None

    def __call__(self, output):
        score = self.logit_sum(output) if self.is_segmentor else self.detection_score(output)
        if not score.requires_grad:
            raise ValueError('The scores of this model do not lead back to its feature maps (they are cut off the '
                             'graph on the way to the final result): Grad-CAM cannot be had, EigenCAM can.')
        self.value = float(score.detach())
        # a map that the score does not depend on gets a gradient of zero, which grad-cam asks for
        return score + 0 * sum(feature_map.sum() for feature_map in self.led)

    def detection_score(self, instances):
        """Sum of the best scores of a class, down to half of the very best."""
        kind = 'all classes' if self.label is None else f'class {self.label}'
        scores = instances.scores if self.label is None else instances.scores[instances.labels == self.label]
        if not len(scores):
            raise ValueError(f'Not one of the {len(instances)} detections is of {kind}: take another class.')
        best = scores.topk(min(self.top, len(scores))).values
        best = best[best >= best[0] / 2]
        self.words = f'sum of the scores of the {len(best)} best detections of {kind}'
        return best.sum()

    def logit_sum(self, logits):
        """Sum of a class's logits over the pixels that are predicted to be of it."""
        if len(logits) == 1:  # one map for two classes
            logits = torch.cat((-logits, logits))
        if self.label is None or not 0 <= self.label < len(logits):
            raise ValueError(f'label={self.label}: Grad-CAM of a segmentor needs a class from 0 to {len(logits) - 1}.')
        pixels = logits.argmax(0) == self.label
        where = f'the {int(pixels.sum())} pixels predicted to be of it'
        if not pixels.any():
            pixels, where = torch.ones_like(pixels), 'all pixels, none being predicted to be of it'
        self.words = f'sum of the logits of class {self.label} over {where}'
        return logits[self.label][pixels].sum()


@contextlib.contextmanager
def lifted_thresholds(model):
    """Let a detector give its best detections whatever their score."""
    with contextlib.ExitStack() as stack:
        for module in model.modules():
            settings = getattr(module, 'test_cfg', None)
            if settings and 'score_thr' in settings:
                stack.enter_context(mock.patch.dict(settings, score_thr=0.0, max_per_img=DETECTIONS))
        yield


@contextlib.contextmanager
def attached_scores():
    """Keep the final scores of mmdet's dense heads on the graph, from which they cut them off."""
    holders = [module for name, module in sys.modules.items()
               if name.startswith('mmdet.models.') and 'select_single_mlvl' in vars(module)]
    with contextlib.ExitStack() as stack:
        for holder in holders:
            stack.enter_context(mock.patch.object(
                holder, 'select_single_mlvl', lambda maps, index, detach=True: [x[index] for x in maps]))
        yield
