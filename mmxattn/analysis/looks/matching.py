"""Which detections are right: each is given to the best object of its class that no better detection has taken."""

from dataclasses import dataclass

import numpy as np

from .ground_truth import box_array


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
    """Set a detector's result against the ground truth, as COCO's evaluation does at one threshold of overlap.

    In the order of scores, each detection takes the object of its class that it overlaps most among those not taken,
    where the intersection over union reaches ``iou_thr``. One that takes none is a false positive, unless an ignored
    region (a crowd) of its class covers ``iou_thr`` of it: then it does not count.

    Args:
        sample (mmdet.structures.DetDataSample): With ``pred_instances`` and ``gt_instances``, in the same pixels:
            as mmdet's test pipelines load annotations, those of the original image.
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
    boxes, truth_boxes = box_array(predicted), box_array(truth)
    labels, truth_labels = predicted.labels.numpy(), truth.labels.numpy()
    common, area, truth_area = intersections(boxes, truth_boxes)
    overlaps = common / np.maximum(area + truth_area - common, 1e-9)
    right, found = assign(np.where(labels[:, None] == truth_labels, overlaps, 0), iou_thr)
    counts = right | ~_covered_by_ignored(sample, boxes, labels, iou_thr)
    return Detections(boxes[counts], labels[counts], predicted.scores.numpy()[counts], right[counts], truth_boxes,
                      truth_labels, found)


def assign(overlaps, iou_thr):
    """Give detections to objects.

    Args:
        overlaps (numpy.ndarray): (N, M) intersections over union, the best detection first, 0 for another class.
        iou_thr (float): The least that counts.

    Returns:
        tuple[numpy.ndarray, numpy.ndarray]: (N, ) bool, whether a detection got an object; (M, ) bool, whether an
        object was taken.
    """
    right, found = np.zeros(overlaps.shape[0], bool), np.zeros(overlaps.shape[1], bool)
    if not overlaps.size:
        return right, found
    for detection, row in enumerate(overlaps):
        best = np.where(found, -1, row).argmax()
        if not found[best] and row[best] >= max(iou_thr, np.finfo(float).tiny):
            right[detection] = found[best] = True
    return right, found


def intersections(boxes, others):
    """What boxes have in common.

    Args:
        boxes (numpy.ndarray): (N, 4) left, top, right, bottom.
        others (numpy.ndarray): (M, 4).

    Returns:
        tuple[numpy.ndarray, numpy.ndarray, numpy.ndarray]: Areas: in common (N, M), of ``boxes`` (N, 1), of ``others``
        (M, ).
    """
    first = np.maximum(boxes[:, None, :2], others[None, :, :2])
    last = np.minimum(boxes[:, None, 2:], others[None, :, 2:])
    areas = ((own[:, 2:] - own[:, :2]).prod(1) for own in (boxes, others))
    return (last - first).clip(0).prod(2), next(areas)[:, None], next(areas)


def _covered_by_ignored(sample, boxes, labels, least):
    """(N, ) bool: whether an ignored region of its class covers a detection."""
    if 'bboxes' not in sample.get('ignored_instances', ()):
        return np.zeros(len(boxes), bool)
    regions = sample.ignored_instances.cpu()
    common, area, _ = intersections(boxes, box_array(regions))
    same = labels[:, None] == regions.labels.numpy() if 'labels' in regions else True
    return ((common / np.maximum(area, 1e-9) >= least) & same).any(1)
