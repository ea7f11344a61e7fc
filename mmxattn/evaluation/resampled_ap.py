"""COCO metrics of resampled images, computed from matches that are found once.

An image that is drawn n times has weight n, and so do its objects and detections. The order of detections by score does
not depend on the weights, so a resample costs only cumulative sums, and many are computed at once. Ties between
detections of equal score are resolved in the order of the images; everything else follows COCO's definition.
"""
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
from pycocotools.cocoeval import COCOeval

from .coco import METRICS, iter_matches


@dataclass(frozen=True)
class Matches:
    """Detections of one class and object size, sorted by descending score.

    Attributes:
        image: Image index of each detection; int of shape (D,).
        correct: Whether a detection matches an object at each IoU threshold; bool of shape (T, D).
        counted: Whether a detection is correct or wrong, not ignored; bool of shape (T, D).
        num_objects: Number of objects in each image; int of shape (I,).
    """

    image: np.ndarray
    correct: np.ndarray
    counted: np.ndarray
    num_objects: np.ndarray


class ResampledMetrics:
    """Compute COCO metrics of resampled images.

    Args:
        evaluation: Evaluation matched at the ten IoU thresholds of COCO, see
            :func:`mmxattn.evaluation.coco.match_detections`.
        names: Metrics, keys of :data:`mmxattn.evaluation.coco.METRICS`.
    """

    def __init__(self, evaluation: COCOeval, names: Iterable[str] = tuple(METRICS)):
        self.names = tuple(names)
        self._ious = np.asarray(evaluation.params.iouThrs)
        self._recalls = np.asarray(evaluation.params.recThrs)
        sizes = {METRICS[name][2] for name in self.names}
        self._matches = {size: _matches_by_class(evaluation, size) for size in sizes}

    def __call__(self, weights: np.ndarray) -> dict[str, np.ndarray]:
        """Compute the metrics of each resample.

        Args:
            weights: Number of times that each of R resamples contains each of I images, which are sorted by id; int of
                shape (R, I).

        Returns:
            Metrics from 0 to 1 of shape (R,) by name; NaN where a resample has no object of the size.
        """
        curves = {size: _mean_over_classes([precision_and_recall(matches, weights, self._recalls)
                                            for matches in classes]) for size, classes in self._matches.items()}
        return {name: self._select(curves, *METRICS[name]) for name in self.names}

    def _select(self, curves: dict[str, np.ndarray], kind: str, iou: float | None, size: str) -> np.ndarray:
        values = curves[size][0 if kind == 'precision' else 1]  # (T, R)
        return values.mean(0) if iou is None else values[np.argmin(np.abs(self._ious - iou))]


def precision_and_recall(matches: Matches, weights: np.ndarray, recalls: np.ndarray) -> np.ndarray:
    """Compute average precision and recall of one class in each resample.

    Args:
        matches: Matches of the class.
        weights: Number of times that each resample contains each image; int of shape (R, I).
        recalls: Ascending recall points over which precision is averaged.

    Returns:
        Average precision and recall of shape (2, T, R); NaN where a resample has no object of the class.
    """
    num_objects = weights @ matches.num_objects  # (R,)
    detection_weights = weights[:, matches.image]  # (R, D)
    values = np.zeros((2, len(matches.correct), len(weights)))
    for threshold, (correct, counted) in enumerate(zip(matches.correct, matches.counted)):
        true_positives = detection_weights[:, correct].cumsum(1, dtype=np.int32)  # (R, P), at correct detections
        if true_positives.shape[1]:
            detections = detection_weights[:, counted].cumsum(1, dtype=np.int32)[:, correct[counted]]  # (R, P)
            values[:, threshold] = _average_precision(true_positives, detections, num_objects, recalls)
    values[..., num_objects == 0] = np.nan
    return values


def _average_precision(
    true_positives: np.ndarray, detections: np.ndarray, num_objects: np.ndarray, recalls: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Return average precision and final recall, each of shape (R,).

    Only correct detections matter: between two of them, precision decreases and recall is constant.
    """
    precision = true_positives / (detections + np.spacing(1))
    envelope = np.maximum.accumulate(precision[:, ::-1], axis=1)[:, ::-1]  # best at this or a higher recall
    recall = true_positives / np.maximum(num_objects, 1)[:, None]
    reached = np.searchsorted(recalls, recall, side='right')  # number of recall points up to each detection
    return (envelope * np.diff(reached, axis=1, prepend=0)).sum(1) / len(recalls), recall[:, -1]


def _mean_over_classes(values: Sequence[np.ndarray]) -> np.ndarray:
    """Average (2, T, R) arrays over the classes with objects in a resample; NaN if there is none."""
    stacked = np.stack(values)
    known = ~np.isnan(stacked)
    with np.errstate(invalid='ignore', divide='ignore'):
        return np.where(known, stacked, 0).sum(0) / known.sum(0)


def _matches_by_class(evaluation: COCOeval, size: str) -> list[Matches]:
    records: list[list[tuple[int, dict]]] = [[] for _ in evaluation.params.catIds]
    for class_index, image_index, record in iter_matches(evaluation, size):
        records[class_index].append((image_index, record))
    num_images, num_thresholds = len(evaluation.params.imgIds), len(evaluation.params.iouThrs)
    return [_class_matches(own, num_images, num_thresholds) for own in records]


def _class_matches(records: Sequence[tuple[int, dict]], num_images: int, num_thresholds: int) -> Matches:
    num_objects = np.zeros(num_images, np.int64)
    for index, record in records:
        num_objects[index] = np.sum(record['gtIgnore'] == 0)
    scores = np.concatenate([[], *(record['dtScores'] for _, record in records)])
    image = np.concatenate([[], *(np.full(len(record['dtScores']), index) for index, record in records)])
    empty = np.zeros((num_thresholds, 0), bool)
    matched = np.concatenate([empty, *(record['dtMatches'] > 0 for _, record in records)], axis=1)
    ignored = np.concatenate([empty, *(record['dtIgnore'].astype(bool) for _, record in records)], axis=1)
    order = np.argsort(-scores, kind='mergesort')  # stable, as in pycocotools
    kept = order[~ignored[:, order].all(0)]  # drop detections that are ignored at every threshold
    return Matches(image[kept].astype(np.int64), (matched & ~ignored)[:, kept], ~ignored[:, kept], num_objects)
