"""Ground truth of an image, to check where a class activation map is bright."""

import numpy as np
import torch
from mmengine.structures import BaseDataElement, InstanceData
from torch.nn import functional as F

MIN_SHARE = 0.005  # minimum share of pixels for a segmentation class to be selected


def class_of_interest(sample: BaseDataElement, num_classes: int = 255) -> int | None:
    """Select the class to explain: that of the largest box, or the rarest label that covers enough pixels.

    Args:
        sample: Data sample of mmdet or mmseg with ground truth.
        num_classes: Number of classes of a segmentor. Larger labels are ignored.

    Returns:
        The class, or None if there are no objects or no ground truth.
    """
    boxes = _gt_boxes(sample)
    if boxes is not None:
        areas = (boxes[:, 2] - boxes[:, 0]) * (boxes[:, 3] - boxes[:, 1])
        return int(sample.gt_instances.labels[areas.argmax()]) if len(areas) else None
    if 'gt_sem_seg' not in sample:
        return None
    labels, counts = torch.unique(sample.gt_sem_seg.data, return_counts=True)
    shares = counts / counts.sum()
    candidates = (shares >= MIN_SHARE) & (labels < num_classes)
    return int(labels[candidates][shares[candidates].argmin()]) if candidates.any() else None


def ground_truth_mask(batch: dict, label: int | None = None) -> np.ndarray | None:
    """Create a mask of the objects or pixels of a class.

    Args:
        batch: Batch of one image from a test data loader, with boxes in pixels of the original image.
        label: Class. None selects all boxes; for segmentation a class is required.

    Returns:
        bool array of shape (H, W) at the size of the image in the batch, or None if there is no ground truth of this
        class.
    """
    sample, (height, width) = batch['data_samples'][0], batch['inputs'][0].shape[-2:]
    mask = np.zeros((height, width), bool)
    boxes = _gt_boxes(sample)
    if boxes is not None:
        selected = boxes if label is None else boxes[sample.gt_instances.labels.cpu().numpy() == label]
        scale = np.tile(sample.metainfo.get('scale_factor', (1, 1))[:2], 2)
        for left, top, right, bottom in (selected * scale).round().astype(int):
            mask[max(top, 0):bottom, max(left, 0):right] = True
    elif 'gt_sem_seg' in sample and label is not None:
        pixels = (sample.gt_sem_seg.data == label).float()[None]
        mask = F.interpolate(pixels, (height, width))[0, 0].bool().cpu().numpy()
    return mask if mask.any() else None


def energy_inside(heatmap: np.ndarray, mask: np.ndarray) -> float | None:
    """Compute the share of a map's energy inside a mask (energy-based pointing game, Score-CAM, Wang et al. 2020).

    Args:
        heatmap: Non-negative map (H, W).
        mask: bool array of shape (H, W).

    Returns:
        Share from 0 to 1, or None for a map of zeros. A uniform map gets the area share of the mask.
    """
    total = float(heatmap.sum())
    return float(heatmap[mask].sum()) / total if total else None


def box_array(instances: InstanceData) -> np.ndarray:
    """Convert ``bboxes``, a tensor or one of mmdet's box classes, to float64 (N, 4): left, top, right, bottom."""
    boxes = instances.bboxes
    return getattr(boxes, 'tensor', boxes).detach().cpu().double().numpy().reshape(-1, 4)


def _gt_boxes(sample):
    """Boxes (N, 4), or None for a sample without box annotations."""
    return box_array(sample.gt_instances) if 'bboxes' in sample.get('gt_instances', ()) else None
