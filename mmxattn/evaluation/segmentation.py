"""mIoU from counts of each image, so that images can be drawn again (mmseg's IoUMetric keeps sums only)."""
import numpy as np

AREAS = ('intersection', 'union', 'prediction', 'label')


def image_areas(prediction, label, num_classes, ignore_index=255):
    """Count the pixels of each class in one image, as mmseg's ``IoUMetric.intersect_and_union`` does.

    Args:
        prediction (np.ndarray): (H, W) predicted classes.
        label (np.ndarray): (H, W) true classes.
        num_classes (int): Number of classes; other labels belong to none.
        ignore_index (int): True pixels of this value are left out.

    Returns:
        np.ndarray: (4, num_classes) int64 in the order of ``AREAS``, in pixels.
    """
    known = label != ignore_index
    prediction, label = prediction[known], label[known]

    def count(pixels):
        inside = pixels[(pixels >= 0) & (pixels < num_classes)].astype(np.int64)
        return np.bincount(inside, minlength=num_classes)

    intersection, predicted, true = count(label[prediction == label]), count(prediction), count(label)
    return np.stack((intersection, predicted + true - intersection, predicted, true))


def class_metrics(areas):
    """IoU and accuracy of each class.

    Args:
        areas (np.ndarray): (..., 4, classes), sums over images of :func:`image_areas`.

    Returns:
        dict[str, np.ndarray]: ``IoU`` and ``Acc``, (..., classes) in percent; NaN for a class that is absent.
    """
    intersection, union, _, label = np.moveaxis(np.asarray(areas, float), -2, 0)
    with np.errstate(invalid='ignore', divide='ignore'):
        return dict(IoU=100 * intersection / union, Acc=100 * intersection / label)


def segmentation_metrics(areas, small=()):
    """mIoU, aAcc, mAcc, and the mIoU of some classes.

    Args:
        areas (np.ndarray): (..., 4, classes), sums over images of :func:`image_areas`.
        small (Sequence[int]): The classes of mIoU@small.

    Returns:
        dict[str, np.ndarray]: ``mIoU``, ``aAcc``, ``mAcc``, ``mIoU@small``, each (...) in percent; NaN where none of
        its classes is there.
    """
    areas = np.asarray(areas, float)
    classes = class_metrics(areas)
    with np.errstate(invalid='ignore', divide='ignore'):
        accuracy = 100 * areas[..., 0, :].sum(-1) / areas[..., 3, :].sum(-1)
    return {'mIoU': _mean(classes['IoU']), 'aAcc': accuracy, 'mAcc': _mean(classes['Acc']),
            'mIoU@small': _mean(classes['IoU'][..., list(small)])}


def _mean(values):
    """The mean over the last axis without NaN; NaN where nothing else is there."""
    known = ~np.isnan(values)
    with np.errstate(invalid='ignore', divide='ignore'):
        return np.where(known, values, 0).sum(-1) / known.sum(-1)
