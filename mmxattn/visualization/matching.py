"""Which detections of one image are right, for pictures."""

from dataclasses import dataclass

import numpy as np

from ..evaluation import coco
from ..evaluation.operating_point import EVERY
from .ground_truth import box_array

IMAGE = 1  # there is but one


@dataclass(frozen=True)
class Detections:
    """The detections of one image set against its ground truth.

    Attributes:
        boxes: (N, 4) left, top, right, bottom of the detections that count, the best first.
        labels: (N, ) their classes.
        scores: (N, ) their scores.
        right: (N, ) bool, whether they are true positives; the others are false positives.
        truth: (M, 4) the objects' boxes.
        truth_labels: (M, ) their classes.
        found: (M, ) bool, whether a detection was given to them; the others are false negatives.
    """

    boxes: np.ndarray
    labels: np.ndarray
    scores: np.ndarray
    right: np.ndarray
    truth: np.ndarray
    truth_labels: np.ndarray
    found: np.ndarray

    def counts(self):
        """True positives, false positives and false negatives by name."""
        return dict(true_positives=int(self.right.sum()), false_positives=int((~self.right).sum()),
                    false_negatives=int((~self.found).sum()))


def match(sample, score_thr=0.5, iou_thr=0.5):
    """Set a detector's result against the ground truth, by the rule of :func:`mmxattn.evaluation.coco.match`.

    Args:
        sample (mmdet.structures.DetDataSample): With ``pred_instances`` and ``gt_instances``, in the same pixels:
            as mmdet's test pipelines load annotations, those of the original image. Its ``ignored_instances`` are
            crowds: a wrong detection in one does not count.
        score_thr (float): Detections with lower scores do not count.
        iou_thr (float): Intersection over union from which on a detection is right.

    Returns:
        Detections: The result.

    Raises:
        ValueError: The sample has no ground truth, or no boxes are predicted.
    """
    if 'bboxes' not in sample.get('gt_instances', ()):
        raise ValueError('The batches hold no ground truth to set detections against: the test pipeline needs '
                         "dict(type='LoadAnnotations', with_bbox=True) before it packs.")
    if 'bboxes' not in sample.get('pred_instances', ()):
        raise ValueError('The model predicts no boxes to set against the ground truth.')
    predicted, truth = sample.pred_instances.cpu(), sample.gt_instances.cpu()
    predicted = predicted[predicted.scores >= score_thr]
    predicted = predicted[predicted.scores.argsort(descending=True, stable=True)]
    labels, truth_labels = predicted.labels.numpy(), truth.labels.numpy()
    detections = [dict(entry, score=score)
                  for entry, score in zip(_entries(box_array(predicted), labels), predicted.scores.tolist())]
    objects = [*_entries(box_array(truth), truth_labels, iscrowd=0), *_crowds(sample, np.unique(labels))]
    kinds = {entry['category_id'] for entry in (*objects, *detections)}
    evaluation = coco.match(
        dict(images=[dict(id=IMAGE)], categories=[dict(id=kind, name=str(kind)) for kind in kinds],
             annotations=[dict(entry, id=number) for number, entry in enumerate(objects, 1)]),
        detections, [iou_thr], EVERY, by_size=False)
    right, counts, found = (np.zeros(len(own), bool) for own in (detections, detections, objects))
    for _, record in coco.matched(evaluation):  # their ids are places, counted from 1
        own = np.array(record['dtIds'], int) - 1
        right[own], counts[own] = record['dtMatches'][0] > 0, record['dtIgnore'][0] == 0
        found[np.array(record['gtIds'], int) - 1] = record['gtMatches'][0] > 0
    return Detections(box_array(predicted)[counts], labels[counts], predicted.scores.numpy()[counts], right[counts],
                      box_array(truth), truth_labels, found[:len(truth)])


def _entries(boxes, labels, **more):
    """Boxes (N, 4) and their classes (N, ) as COCO's entries."""
    return [dict(image_id=IMAGE, category_id=kind, bbox=[left, top, right - left, bottom - top],
                 area=(right - left) * (bottom - top), **more)
            for (left, top, right, bottom), kind in zip(boxes.tolist(), labels.tolist())]


def _crowds(sample, kinds):
    """Ignored regions as COCO's entries; those without a class, once for each of ``kinds``."""
    if 'bboxes' not in sample.get('ignored_instances', ()):
        return []
    regions = sample.ignored_instances.cpu()
    boxes = box_array(regions)
    if 'labels' in regions:
        return _entries(boxes, regions.labels.numpy(), iscrowd=1)
    return [entry for kind in kinds for entry in _entries(boxes, np.full(len(boxes), kind), iscrowd=1)]
