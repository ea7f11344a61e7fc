"""COCO's metrics for any weighting of the images, from matches that are computed once.

An image drawn n times has weight n: its objects and detections count n times. Sorting by score does not depend on the
weights, so a drawing costs cumulative sums alone, and many drawings go through NumPy together. Between detections of
one image and class with exactly equal scores the copies' order is a convention; all else is COCO's definition.
"""
from dataclasses import dataclass

import numpy as np

from .coco import METRICS


@dataclass(frozen=True)
class Matches:
    """The detections of one class and object size, best score first.

    Attributes:
        image: (D,) int, index of the image of each detection.
        right: (T, D) bool, detections that find an object at each IoU threshold.
        counted: (T, D) bool, those and the wrong ones; what remains is ignored.
        objects: (I,) int, number of objects in each image.
    """

    image: np.ndarray
    right: np.ndarray
    counted: np.ndarray
    objects: np.ndarray


class ResampledMetrics:
    """Computes COCO's metrics for drawings of images.

    Args:
        evaluation (COCOeval): Matched with COCO's ten IoU thresholds, see :func:`mmxattn.evaluation.coco.match`.
        names (Iterable[str]): Metrics, keys of ``mmxattn.evaluation.coco.METRICS``.
    """

    def __init__(self, evaluation, names=tuple(METRICS)):
        self.names = tuple(names)
        params = evaluation.params
        self._ious, self._recalls = np.asarray(params.iouThrs), np.asarray(params.recThrs)
        sizes = {METRICS[name][2] for name in self.names}
        self._matches = {size: [_matches(evaluation, index, params.areaRngLbl.index(size))
                                for index in range(len(params.catIds))] for size in sizes}

    def __call__(self, weights):
        """The metrics for each drawing.

        Args:
            weights (np.ndarray): (R, I) int, how often each of R drawings has each of the I images, in the order of
                their ids.

        Returns:
            dict[str, np.ndarray]: (R,) by name, 0 to 1; NaN where a drawing has no object of that size.
        """
        curves = {size: _mean_over_classes([precision_and_recall(matches, weights, self._recalls)
                                            for matches in classes]) for size, classes in self._matches.items()}
        return {name: self._value(curves, *METRICS[name]) for name in self.names}

    def _value(self, curves, kind, iou, size):
        values = curves[size][0 if kind == 'precision' else 1]  # (T, R)
        return values.mean(0) if iou is None else values[np.argmin(np.abs(self._ious - iou))]


def precision_and_recall(matches, weights, recalls):
    """Average precision and recall of one class for each drawing.

    Args:
        matches (Matches): Of this class.
        weights (np.ndarray): (R, I) int, how often each drawing has each image.
        recalls (np.ndarray): The recall points that precision is averaged over, ascending.

    Returns:
        np.ndarray: (2, T, R), average precision and recall; NaN where a drawing has no object of this class.
    """
    objects = weights @ matches.objects  # (R,)
    drawn = weights[:, matches.image]  # (R, D)
    values = np.zeros((2, len(matches.right), len(weights)))
    for threshold, (right, counted) in enumerate(zip(matches.right, matches.counted)):
        found = drawn[:, right].cumsum(1, dtype=np.int32)  # (R, P) at each right detection
        if found.shape[1]:
            shown = drawn[:, counted].cumsum(1, dtype=np.int32)[:, right[counted]]  # (R, P), right and wrong so far
            values[:, threshold] = _area_and_end(found, shown, objects, recalls)
    values[..., objects == 0] = np.nan
    return values


def _area_and_end(found, shown, objects, recalls):
    """Precision averaged over the recall points, and the last recall: (2, R).

    Only right detections matter: before each of them precision falls and recall stays.
    """
    precision = found / (shown + np.spacing(1))
    envelope = np.maximum.accumulate(precision[:, ::-1], axis=1)[:, ::-1]  # the best at this recall or a higher one
    recall = found / np.maximum(objects, 1)[:, None]
    reached = np.searchsorted(recalls, recall, side='right')  # recall points that lie behind each detection
    return (envelope * np.diff(reached, axis=1, prepend=0)).sum(1) / len(recalls), recall[:, -1]


def _mean_over_classes(values):
    """The mean of (2, T, R) arrays over the classes that have objects in a drawing; NaN where none has."""
    values = np.stack(values)
    known = ~np.isnan(values)
    with np.errstate(invalid='ignore', divide='ignore'):
        return np.where(known, values, 0).sum(0) / known.sum(0)


def _matches(evaluation, category, size):
    """Gather what pycocotools matched: evalImgs holds classes x sizes x images, None where nothing is."""
    sizes, images = len(evaluation.params.areaRng), len(evaluation.params.imgIds)
    start = (category * sizes + size) * images
    entries = [(image, entry) for image, entry in enumerate(evaluation.evalImgs[start:start + images]) if entry]
    objects = np.zeros(images, np.int64)
    for image, entry in entries:
        objects[image] = np.sum(entry['gtIgnore'] == 0)
    thresholds = len(evaluation.params.iouThrs)
    scores = np.concatenate([[], *(entry['dtScores'] for _, entry in entries)])
    owner = np.concatenate([[], *(np.full(len(entry['dtScores']), image) for image, entry in entries)])
    empty = np.zeros((thresholds, 0), bool)
    matched = np.concatenate([empty, *(entry['dtMatches'] > 0 for _, entry in entries)], axis=1)
    ignored = np.concatenate([empty, *(entry['dtIgnore'].astype(bool) for _, entry in entries)], axis=1)
    order = np.argsort(-scores, kind='mergesort')  # equal scores stay in the order of the images, as in pycocotools
    used = order[~ignored[:, order].all(0)]  # detections of another size are ignored everywhere
    return Matches(owner[used].astype(np.int64), (matched & ~ignored)[:, used], ~ignored[:, used], objects)
