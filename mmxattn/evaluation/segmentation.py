"""Segmentation metrics from the pixel counts of each image, so that images can be resampled.

mmsegmentation's IoUMetric keeps only sums over images.
"""
from collections.abc import Sequence

import numpy as np

AREAS = ('intersection', 'union', 'prediction', 'target')


def image_areas(prediction: np.ndarray, target: np.ndarray, num_classes: int, ignore_index: int = 255) -> np.ndarray:
    """Count the pixels of each class in one image, as ``IoUMetric.intersect_and_union`` does.

    Args:
        prediction: Predicted classes of shape (H, W).
        target: True classes of shape (H, W).
        num_classes: Number of classes. Other values belong to no class.
        ignore_index: Value of target pixels to ignore.

    Returns:
        Pixels of each class in the order of ``AREAS``; int64 of shape (4, num_classes).
    """
    known = target != ignore_index
    prediction, target = prediction[known], target[known]

    def count(pixels: np.ndarray) -> np.ndarray:
        inside = pixels[(pixels >= 0) & (pixels < num_classes)].astype(np.int64)
        return np.bincount(inside, minlength=num_classes)

    intersection, predicted, true = count(target[prediction == target]), count(prediction), count(target)
    return np.stack((intersection, predicted + true - intersection, predicted, true))


def class_metrics(areas: np.ndarray) -> dict[str, np.ndarray]:
    """Compute IoU and accuracy of each class.

    Args:
        areas: Sums of :func:`image_areas` over images; shape (..., 4, classes).

    Returns:
        ``IoU`` and ``Acc`` in percent, of shape (..., classes); NaN for absent classes.
    """
    intersection, union, _, target = np.moveaxis(np.asarray(areas, float), -2, 0)
    with np.errstate(invalid='ignore', divide='ignore'):
        return {'IoU': 100 * intersection / union, 'Acc': 100 * intersection / target}


def segmentation_metrics(areas: np.ndarray, small_classes: Sequence[int] = ()) -> dict[str, np.ndarray]:
    """Compute mIoU, aAcc, mAcc and mIoU@small.

    Args:
        areas: Sums of :func:`image_areas` over images; shape (..., 4, classes).
        small_classes: Classes of mIoU@small.

    Returns:
        Metrics in percent by name, of shape (...); NaN if none of the classes is present.
    """
    areas = np.asarray(areas, float)
    classes = class_metrics(areas)
    with np.errstate(invalid='ignore', divide='ignore'):
        accuracy = 100 * areas[..., 0, :].sum(-1) / areas[..., 3, :].sum(-1)
    return {
        'mIoU': _nanmean(classes['IoU']),
        'aAcc': accuracy,
        'mAcc': _nanmean(classes['Acc']),
        'mIoU@small': _nanmean(classes['IoU'][..., list(small_classes)]),
    }


def _nanmean(values: np.ndarray) -> np.ndarray:
    """Average over the last axis without NaN; unlike np.nanmean, do not warn if all values are NaN."""
    known = ~np.isnan(values)
    with np.errstate(invalid='ignore', divide='ignore'):
        return np.where(known, values, 0).sum(-1) / known.sum(-1)
