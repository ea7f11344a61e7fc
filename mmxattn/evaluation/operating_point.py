"""A detector at one score threshold: what it finds, what it invents, what it misses (FINE, Table 5)."""
import numpy as np

from .coco import match, matched

EVERY = 10**9  # detections of an image and class: nothing is cut off


def operating_point(ground_truth, results, iou=0.5, score=0.5):
    """Count right, wrong and missed detections at one score and one IoU.

    Matching is COCO's (see :func:`mmxattn.evaluation.coco.match`): greedy by score, within a class, one detection an
    object. Crowds are no objects to find, and detections in them do not count.

    Args:
        ground_truth (dict): COCO-style.
        results (list[dict]): COCO-style.
        iou (float): A detection with at least this IoU finds its object.
        score (float): Detections with a lower score are left out.

    Returns:
        dict: ``iou``, ``score``, ``overall`` (:func:`rates` of the sums over classes) and ``per_class`` (those of each
        class, by name).

    Raises:
        ValueError: Results of another data set.
    """
    kept = [result for result in results if result['score'] >= score]
    evaluation = match(ground_truth, kept, [iou], EVERY, by_size=False)
    counts = _counts(evaluation)
    names = {category['id']: category['name'] for category in ground_truth['categories']}
    per_class = {names[key]: rates(*counts[index].tolist()) for index, key in enumerate(evaluation.params.catIds)}
    return dict(iou=iou, score=score, overall=rates(*counts.sum(0).tolist()), per_class=per_class)


def rates(tp, fp, fn):
    """Precision, recall and F1.

    Args:
        tp (int): Objects found.
        fp (int): Detections of nothing.
        fn (int): Objects missed.

    Returns:
        dict: ``tp``, ``fp``, ``fn``, ``precision``, ``recall``, ``f1``; a rate is None where it has nothing to divide.
    """
    return dict(tp=tp, fp=fp, fn=fn,
                precision=tp / (tp + fp) if tp + fp else None,
                recall=tp / (tp + fn) if tp + fn else None,
                f1=2 * tp / (2 * tp + fp + fn) if tp + fp + fn else None)


def _counts(evaluation):
    """(classes, 3): tp, fp, fn."""
    counts = np.zeros((len(evaluation.params.catIds), 3), int)
    for index, record in matched(evaluation):
        hit, ignored = record['dtMatches'][0] > 0, record['dtIgnore'][0].astype(bool)
        missed = (record['gtMatches'][0] == 0) & (record['gtIgnore'] == 0)
        counts[index] += np.sum(hit & ~ignored), np.sum(~hit & ~ignored), np.sum(missed)
    return counts
