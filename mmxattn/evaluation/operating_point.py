"""True positives, false positives and false negatives at one score threshold (FINE, Table 5)."""
from collections.abc import Sequence

import numpy as np
from pycocotools.cocoeval import COCOeval

from .coco import iter_matches, match_detections

UNLIMITED = 10**9  # detections per image and class


def operating_point(ground_truth: dict, results: Sequence[dict], iou: float = 0.5, score: float = 0.5) -> dict:
    """Count correct, wrong and missed detections at one score and IoU threshold.

    Detections are matched as in :func:`mmxattn.evaluation.coco.match_detections`. Crowds are not objects, and
    detections inside of them are ignored.

    Args:
        ground_truth: COCO-style ground truth.
        results: COCO-style results.
        iou: Minimum IoU of a detection with its object.
        score: Minimum score of a detection.

    Returns:
        Dict of ``iou``, ``score``, ``overall`` (:func:`rates` of the sums over classes) and ``per_class`` (by name).

    Raises:
        ValueError: If the results are not of the same dataset.
    """
    kept = [result for result in results if result['score'] >= score]
    evaluation = match_detections(ground_truth, kept, [iou], UNLIMITED, by_size=False)
    counts = _counts(evaluation)
    names = {category['id']: category['name'] for category in ground_truth['categories']}
    per_class = {names[key]: rates(*own) for key, own in zip(evaluation.params.catIds, counts.tolist())}
    return {'iou': iou, 'score': score, 'overall': rates(*counts.sum(0).tolist()), 'per_class': per_class}


def rates(tp: int, fp: int, fn: int) -> dict[str, int | float | None]:
    """Compute precision, recall and F1.

    Args:
        tp: Number of true positives.
        fp: Number of false positives.
        fn: Number of false negatives.

    Returns:
        Dict of ``tp``, ``fp``, ``fn``, ``precision``, ``recall`` and ``f1``; a rate is None if its denominator is 0.
    """
    return {
        'tp': tp,
        'fp': fp,
        'fn': fn,
        'precision': tp / (tp + fp) if tp + fp else None,
        'recall': tp / (tp + fn) if tp + fn else None,
        'f1': 2 * tp / (2 * tp + fp + fn) if tp + fp + fn else None,
    }


def _counts(evaluation: COCOeval) -> np.ndarray:
    """Return tp, fp and fn of each class, int of shape (classes, 3)."""
    counts = np.zeros((len(evaluation.params.catIds), 3), int)
    for class_index, _, record in iter_matches(evaluation):
        matched, counted = record['dtMatches'][0] > 0, ~record['dtIgnore'][0].astype(bool)
        missed = (record['gtMatches'][0] == 0) & (record['gtIgnore'] == 0)
        counts[class_index] += np.sum(matched & counted), np.sum(~matched & counted), np.sum(missed)
    return counts
