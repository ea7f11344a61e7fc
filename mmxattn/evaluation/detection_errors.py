"""What kind of mistakes a detector makes: the six types of TIDE (Bolya et al., ECCV 2020, Sections 2.2 and 2.3).

A detection that is right about no object is the first of these that it fits:

- localisation: its best object of its own class lies between background and foreground IoU;
- classification: it overlaps an object of another class by the foreground IoU;
- duplicate: it fits an object of its class that a better score has taken;
- background: it overlaps every object by the background IoU at most;
- both: what remains, which lies between the two IoU of an object of another class.

Missed is an object that is not found and that no localisation or classification error is about.
"""
from dataclasses import dataclass

import numpy as np
from pycocotools import mask

from .coco import match, matched
from .resampled_ap import Matches, precision_and_recall

TYPES = ('classification', 'localisation', 'both', 'duplicate', 'background', 'missed')
MENDED = ('classification', 'localisation')  # errors that are about an object


@dataclass
class _Detections:
    """The detections that count, as arrays: category, score, whether right, and ids."""

    category: np.ndarray
    score: np.ndarray
    right: np.ndarray
    ids: list


def detection_errors(ground_truth, results, foreground=0.5, background=0.1):
    """Count the errors of each type, and the AP at the foreground IoU that each type costs.

    All detections count whatever their score, at most 100 an image and class; those in crowds do not. An error's cost
    is found by mending all errors of its type and no other: classification and localisation errors become right,
    the best score of those about one object, if that object is not found already; all others of the type are left
    out; missed objects are taken from the ground truth (a class with no other objects stays at 0).

    Args:
        ground_truth (dict): COCO-style, see :mod:`mmxattn.evaluation.coco`.
        results (list[dict]): COCO-style.
        foreground (float): IoU from which a detection finds its object.
        background (float): IoU up to which a detection is off an object.

    Returns:
        dict[str, dict]: For each of TYPES ``count`` and ``ap_lost``, the AP gained by mending, 0 to 1.

    Raises:
        ValueError: Results of another data set.
    """
    evaluation = match(ground_truth, results, [foreground], by_size=False)
    detections, found = _outcome(evaluation)
    objects = {ann['id']: ann for ann in evaluation.cocoGt.dataset['annotations'] if not ann['iscrowd']}
    errors = _classify(evaluation, {key for key, right in zip(detections.ids, detections.right) if not right},
                       foreground, background)
    about = {target for kind in MENDED for target in errors[kind].values()}
    missed = [key for key in objects if key not in found and key not in about]
    numbers = _number_of_objects(evaluation, objects.values())
    base = _mean_ap(detections, numbers, evaluation)
    answer = {}
    for kind in TYPES[:-1]:
        mended = _mend(detections, errors[kind], objects, found, evaluation.params.catIds)
        answer[kind] = dict(count=len(errors[kind]), ap_lost=_mean_ap(mended, numbers, evaluation) - base)
    fewer = _number_of_objects(evaluation, (objects[key] for key in objects if key not in missed))
    left = np.where(fewer > 0, fewer, numbers)
    answer['missed'] = dict(count=len(missed), ap_lost=_mean_ap(detections, left, evaluation) - base)
    return answer


def _outcome(evaluation):
    """The detections that count, and the ids of the objects that are found."""
    category, score, right, ids, found = [], [], [], [], set()
    for index, record in matched(evaluation):
        for key, value, hit, ignored in zip(record['dtIds'], record['dtScores'], record['dtMatches'][0],
                                            record['dtIgnore'][0]):
            if not ignored:
                category.append(index)
                score.append(value)
                right.append(hit > 0)
                ids.append(key)
        found |= {key for key, hit in zip(record['gtIds'], record['gtMatches'][0]) if hit > 0}
    return _Detections(np.array(category, int), np.array(score, float), np.array(right, bool), ids), found


def _classify(evaluation, wrong, foreground, background):
    """For each type of wrong detection: detection id -> id of the object that it is about (None: about none)."""
    errors = {kind: {} for kind in TYPES[:-1]}
    for image in evaluation.params.imgIds:
        detections = [ann for ann in evaluation.cocoDt.imgToAnns[image] if ann['id'] in wrong]
        objects = [ann for ann in evaluation.cocoGt.imgToAnns[image] if not ann['iscrowd']]
        if not detections or not objects:
            errors['background'].update((ann['id'], None) for ann in detections)
            continue
        ious = mask.iou([ann['bbox'] for ann in detections], [ann['bbox'] for ann in objects], [0] * len(objects))
        same = np.equal.outer([ann['category_id'] for ann in detections], [ann['category_id'] for ann in objects])
        for detection, own, other in zip(detections, np.where(same, ious, 0), np.where(same, 0, ious)):
            kind = _type(own.max(), other.max(), foreground, background)
            best = dict(localisation=own, classification=other).get(kind)
            errors[kind][detection['id']] = None if best is None else objects[best.argmax()]['id']
    return errors


def _type(own, other, foreground, background):
    """The type of a wrong detection from its highest IoU with objects of its own class and of other classes."""
    if background <= own < foreground:
        return 'localisation'
    if other >= foreground:
        return 'classification'
    if own >= foreground:
        return 'duplicate'
    return 'background' if other <= background else 'both'


def _mend(detections, errors, objects, found, categories):
    """The detections once all errors of one type are put right or left out."""
    position = {key: index for index, key in enumerate(detections.ids)}
    best = {}
    for key, target in errors.items():
        if target is not None and target not in found:
            baseline = best.setdefault(target, key)
            best[target] = max(baseline, key, key=lambda one: detections.score[position[one]])
    category, right = detections.category.copy(), detections.right.copy()
    for target, key in best.items():
        category[position[key]] = categories.index(objects[target]['category_id'])
        right[position[key]] = True
    mended = set(best.values())
    kept = np.array([key not in errors or key in mended for key in detections.ids], bool)
    return _Detections(category[kept], detections.score[kept], right[kept], None)


def _number_of_objects(evaluation, objects):
    """(classes,) number of objects."""
    index = {key: position for position, key in enumerate(evaluation.params.catIds)}
    return np.bincount(np.array([index[ann['category_id']] for ann in objects], int), minlength=len(index))


def _mean_ap(detections, numbers, evaluation):
    """AP, the mean over the classes with objects; 0 where there is none."""
    order = np.argsort(-detections.score, kind='mergesort')
    category, right = detections.category[order], detections.right[order]
    values = [0.0]
    for index in np.flatnonzero(numbers):
        own = right[category == index]
        matches = Matches(np.zeros(len(own), int), own[None], np.ones((1, len(own)), bool), numbers[[index]])
        values.append(precision_and_recall(matches, np.ones((1, 1), int), evaluation.params.recThrs)[0, 0, 0])
    return float(np.mean(values[1:] or values))
