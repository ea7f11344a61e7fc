"""What the annotations of an image say about where a class activation map should be bright."""

import numpy as np
import torch
from torch.nn import functional as F

LEAST = 0.005  # share of the pixels that a class needs to be of interest


def class_of_interest(sample, num_classes=255):
    """The class that a picture of one class shows: of the largest box, or the rarest label that is not a speck.

    Args:
        sample (DetDataSample | SegDataSample): With its ground truth.
        num_classes (int): Of a segmentation: labels from it on are none.

    Returns:
        int: The class; None where there is no object or no ground truth.
    """
    boxes = _boxes(sample)
    if boxes is not None:
        sizes = (boxes[:, 2] - boxes[:, 0]) * (boxes[:, 3] - boxes[:, 1])
        return int(sample.gt_instances.labels[sizes.argmax()]) if len(sizes) else None
    if 'gt_sem_seg' not in sample:
        return None
    kinds, counts = torch.unique(sample.gt_sem_seg.data, return_counts=True)
    shares = counts / counts.sum()
    large = (shares >= LEAST) & (kinds < num_classes)
    return int(kinds[large][shares[large].argmin()]) if large.any() else None


def truth_mask(batch, label=None):
    """Where the ground truth has a class.

    Args:
        batch (dict): One image, as a test data loader gives it, with boxes in the original image's pixels.
        label (int, optional): The class. By default any object's box; a segmentation has no "any".

    Returns:
        numpy.ndarray: (H, W) bool at the size of the image in the batch; None where there is no ground truth or
        nothing of the class.
    """
    sample, (height, width) = batch['data_samples'][0], batch['inputs'][0].shape[-2:]
    mask = np.zeros((height, width), bool)
    boxes = _boxes(sample)
    if boxes is not None:
        wanted = boxes if label is None else boxes[sample.gt_instances.labels.cpu().numpy() == label]
        scale = np.tile(sample.metainfo.get('scale_factor', (1, 1))[:2], 2)
        for left, top, right, bottom in (wanted * scale).round().astype(int):
            mask[max(top, 0):bottom, max(left, 0):right] = True
    elif 'gt_sem_seg' in sample and label is not None:
        own = (sample.gt_sem_seg.data == label).float()[None]
        mask = F.interpolate(own, (height, width))[0, 0].bool().cpu().numpy()
    return mask if mask.any() else None


def share_inside(heat, mask):
    """Share of a map's sum that lies within a mask: the energy-based pointing game (Wang et al., Score-CAM, 2020).

    Args:
        heat (numpy.ndarray): (H, W), not negative.
        mask (numpy.ndarray): (H, W) bool.

    Returns:
        float: From 0 to 1; the mask's own share of the area is what an even map would get. None for a map of zeros.
    """
    total = float(heat.sum())
    return float(heat[mask].sum()) / total if total else None


def box_array(instances):
    """The boxes of mmdet's instances as an array.

    Args:
        instances (mmengine.structures.InstanceData): With ``bboxes``, a tensor or one of mmdet's box classes.

    Returns:
        numpy.ndarray: (N, 4) float64: left, top, right, bottom.
    """
    boxes = instances.bboxes
    return getattr(boxes, 'tensor', boxes).detach().cpu().double().numpy().reshape(-1, 4)


def _boxes(sample):
    """(N, 4) boxes of the objects, or None for a sample without any ground truth of this kind."""
    return box_array(sample.gt_instances) if 'bboxes' in sample.get('gt_instances', ()) else None
