"""Error types of detectors (TIDE, Bolya et al., ECCV 2020, Sections 2.2 and 2.3).

A wrong detection is assigned the first type that applies:

- localization: the IoU with an object of its class is between the background and the foreground threshold;
- classification: the IoU with an object of another class reaches the foreground threshold;
- duplicate: a detection with a higher score is matched with the same object;
- background: the IoU with every object is at most the background threshold;
- both: otherwise, when the IoU with an object of another class is between the thresholds.

An object is missed if it is neither found nor the target of a localization or classification error.
"""
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
from pycocotools import mask
from pycocotools.cocoeval import COCOeval

from .coco import iter_matches, match_detections
from .resampled_ap import Matches, precision_and_recall

DETECTION_ERRORS = ('classification', 'localization', 'both', 'duplicate', 'background')
ERROR_TYPES = (*DETECTION_ERRORS, 'missed')
ERRORS_WITH_TARGET = ('classification', 'localization')


@dataclass
class _Detections:
    """Detections that are not ignored, as arrays: class index, score, whether correct, and id."""

    class_index: np.ndarray
    score: np.ndarray
    correct: np.ndarray
    ids: list[int]


def detection_errors(
    ground_truth: dict, results: Sequence[dict], foreground: float = 0.5, background: float = 0.1
) -> dict[str, dict]:
    """Count the errors of each type, and compute the AP that is lost to each type.

    Up to 100 detections per image and class are counted, regardless of their score; those in crowds are ignored. The
    AP lost to a type is the gain in AP when its errors are fixed: for classification and localization errors, the best
    detection of each object that was not found becomes correct; other detections of the type are removed; missed
    objects are removed from the ground truth. A class whose objects are all missed keeps an AP of 0.

    Args:
        ground_truth: COCO-style ground truth, see :mod:`mmxattn.evaluation.coco`.
        results: COCO-style results.
        foreground: Minimum IoU of a correct detection.
        background: Maximum IoU of a background detection.

    Returns:
        For each of ``ERROR_TYPES``, a dict of ``count`` and ``ap_lost`` (0 to 1).

    Raises:
        ValueError: If the results are not of the same dataset.
    """
    evaluation = match_detections(ground_truth, results, [foreground], by_size=False)
    detections, found = _collect(evaluation)
    wrong = {key for key, correct in zip(detections.ids, detections.correct) if not correct}
    errors = _classify(evaluation, wrong, foreground, background)
    objects = {ann['id']: ann for ann in evaluation.cocoGt.dataset['annotations'] if not ann['iscrowd']}
    num_objects = _count_objects(evaluation, objects.values())
    base_ap = _mean_ap(detections, num_objects, evaluation)
    summary = {}
    for kind in DETECTION_ERRORS:
        fixed = _fix(detections, errors[kind], objects, found, evaluation.params.catIds)
        summary[kind] = {'count': len(errors[kind]), 'ap_lost': _mean_ap(fixed, num_objects, evaluation) - base_ap}
    targets = {target for kind in ERRORS_WITH_TARGET for target in errors[kind].values()}
    missed = set(objects) - found - targets
    remaining = _count_objects(evaluation, (ann for key, ann in objects.items() if key not in missed))
    remaining = np.where(remaining > 0, remaining, num_objects)
    summary['missed'] = {'count': len(missed), 'ap_lost': _mean_ap(detections, remaining, evaluation) - base_ap}
    return summary


def _collect(evaluation: COCOeval) -> tuple[_Detections, set[int]]:
    """Return the detections that are not ignored and the ids of the objects that are found."""
    entries, found = [], set()
    for class_index, _, record in iter_matches(evaluation):
        for key, score, match, ignored in zip(record['dtIds'], record['dtScores'], record['dtMatches'][0],
                                              record['dtIgnore'][0]):
            if not ignored:
                entries.append((class_index, score, match > 0, key))
        found |= {key for key, match in zip(record['gtIds'], record['gtMatches'][0]) if match > 0}
    classes, scores, correct, ids = zip(*entries) if entries else ((), (), (), ())
    return _Detections(np.array(classes, int), np.array(scores, float), np.array(correct, bool), list(ids)), found


def _classify(
    evaluation: COCOeval, wrong: set[int], foreground: float, background: float
) -> dict[str, dict[int, int | None]]:
    """Map detection ids to the id of their target object, or None if there is none, for each error type."""
    errors: dict[str, dict[int, int | None]] = {kind: {} for kind in DETECTION_ERRORS}
    for image in evaluation.params.imgIds:
        detections = [ann for ann in evaluation.cocoDt.imgToAnns[image] if ann['id'] in wrong]
        objects = [ann for ann in evaluation.cocoGt.imgToAnns[image] if not ann['iscrowd']]
        if not detections or not objects:
            errors['background'].update((ann['id'], None) for ann in detections)
            continue
        ious = mask.iou([ann['bbox'] for ann in detections], [ann['bbox'] for ann in objects], [0] * len(objects))
        same = np.equal.outer([ann['category_id'] for ann in detections], [ann['category_id'] for ann in objects])
        for detection, own, other in zip(detections, np.where(same, ious, 0), np.where(same, 0, ious)):
            kind = _error_type(own.max(), other.max(), foreground, background)
            best = {'localization': own, 'classification': other}.get(kind)
            errors[kind][detection['id']] = None if best is None else objects[best.argmax()]['id']
    return errors


def _error_type(own: float, other: float, foreground: float, background: float) -> str:
    """Classify a wrong detection by its maximum IoU with objects of its own class and of other classes."""
    if background <= own < foreground:
        return 'localization'
    if other >= foreground:
        return 'classification'
    if own >= foreground:
        return 'duplicate'
    return 'background' if other <= background else 'both'


def _fix(
    detections: _Detections, errors: dict[int, int | None], objects: dict[int, dict], found: set[int],
    category_ids: list[int]
) -> _Detections:
    """Return the detections with the errors of one type corrected or removed."""
    index = {key: position for position, key in enumerate(detections.ids)}
    best: dict[int, int] = {}  # target -> detection with the highest score
    for key, target in errors.items():
        if target is not None and target not in found:
            best[target] = max(best.get(target, key), key, key=lambda one: detections.score[index[one]])
    class_index, correct = detections.class_index.copy(), detections.correct.copy()
    for target, key in best.items():
        class_index[index[key]] = category_ids.index(objects[target]['category_id'])
        correct[index[key]] = True
    fixed = set(best.values())
    kept = np.array([key not in errors or key in fixed for key in detections.ids], bool)
    return _Detections(class_index[kept], detections.score[kept], correct[kept], [])


def _count_objects(evaluation: COCOeval, objects: Iterable[dict]) -> np.ndarray:
    """Return the number of objects of each class."""
    index = {key: position for position, key in enumerate(evaluation.params.catIds)}
    return np.bincount(np.array([index[ann['category_id']] for ann in objects], int), minlength=len(index))


def _mean_ap(detections: _Detections, num_objects: np.ndarray, evaluation: COCOeval) -> float:
    """Return the mean AP of the classes with objects, or 0 if there is none."""
    order = np.argsort(-detections.score, kind='mergesort')
    class_index, correct = detections.class_index[order], detections.correct[order]
    values = []
    for index in np.flatnonzero(num_objects):
        own = correct[class_index == index]
        matches = Matches(np.zeros(len(own), int), own[None], np.ones((1, len(own)), bool), num_objects[[index]])
        values.append(precision_and_recall(matches, np.ones((1, 1), int), evaluation.params.recThrs)[0, 0, 0])
    return float(np.mean(values)) if values else 0.0
