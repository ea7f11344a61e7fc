"""Match the detections of one image with its ground truth, for pictures."""

from dataclasses import dataclass

import numpy as np
from mmengine.structures import BaseDataElement

from ..evaluation import coco
from ..evaluation.operating_point import UNLIMITED
from .ground_truth import box_array

IMAGE_ID = 1


@dataclass(frozen=True)
class MatchedDetections:
    """Detections of one image matched with its objects.

    Attributes:
        boxes: Boxes of the detections (N, 4), left, top, right, bottom, highest score first.
        labels: Classes of the detections (N, ).
        scores: Scores of the detections (N, ).
        true_positive: bool (N, ), False for false positives.
        gt_boxes: Boxes of the objects (M, 4).
        gt_labels: Classes of the objects (M, ).
        gt_detected: bool (M, ), False for false negatives.
    """

    boxes: np.ndarray
    labels: np.ndarray
    scores: np.ndarray
    true_positive: np.ndarray
    gt_boxes: np.ndarray
    gt_labels: np.ndarray
    gt_detected: np.ndarray

    def counts(self) -> dict[str, int]:
        """Count true positives, false positives and false negatives."""
        return dict(true_positives=int(self.true_positive.sum()), false_positives=int((~self.true_positive).sum()),
                    false_negatives=int((~self.gt_detected).sum()))


def match_detections(sample: BaseDataElement, score_thr: float = 0.5, iou_thr: float = 0.5) -> MatchedDetections:
    """Match predictions with ground truth by the rule of :func:`mmxattn.evaluation.coco.match_detections`.

    Args:
        sample: ``DetDataSample`` with ``pred_instances`` and ``gt_instances`` in the same coordinates. mmdet's test
            pipelines keep those of the original image. ``ignored_instances`` are crowds: unmatched detections inside
            them are ignored.
        score_thr: Minimum score of a detection.
        iou_thr: Minimum intersection over union of a true positive.

    Returns:
        Detections and objects with their matches.

    Raises:
        ValueError: If the sample has no ground truth or no predicted boxes.
    """
    if 'bboxes' not in sample.get('gt_instances', ()):
        raise ValueError("Batches must contain ground truth boxes. Add dict(type='LoadAnnotations', with_bbox=True) to "
                         'the test pipeline, before it packs the inputs.')
    if 'bboxes' not in sample.get('pred_instances', ()):
        raise ValueError('The model must predict boxes to match with the ground truth, got none. Use a detector.')
    predicted, truth = sample.pred_instances.cpu(), sample.gt_instances.cpu()
    predicted = predicted[predicted.scores >= score_thr]
    predicted = predicted[predicted.scores.argsort(descending=True, stable=True)]
    labels, gt_labels = predicted.labels.numpy(), truth.labels.numpy()
    detections = [dict(annotation, score=score)
                  for annotation, score in zip(_annotations(box_array(predicted), labels), predicted.scores.tolist())]
    objects = [*_annotations(box_array(truth), gt_labels, iscrowd=0), *_crowds(sample, np.unique(labels))]
    categories = {annotation['category_id'] for annotation in (*objects, *detections)}
    evaluation = coco.match_detections(
        dict(images=[dict(id=IMAGE_ID)], categories=[dict(id=label, name=str(label)) for label in categories],
             annotations=[dict(annotation, id=number) for number, annotation in enumerate(objects, 1)]),
        detections, [iou_thr], UNLIMITED, by_size=False)
    true_positive, counted, detected = (np.zeros(len(rows), bool) for rows in (detections, detections, objects))
    for *_, matches in coco.iter_matches(evaluation):  # IDs are 1-based indices
        indices = np.array(matches['dtIds'], int) - 1
        true_positive[indices], counted[indices] = matches['dtMatches'][0] > 0, matches['dtIgnore'][0] == 0
        detected[np.array(matches['gtIds'], int) - 1] = matches['gtMatches'][0] > 0
    return MatchedDetections(box_array(predicted)[counted], labels[counted], predicted.scores.numpy()[counted],
                             true_positive[counted], box_array(truth), gt_labels, detected[:len(truth)])


def _annotations(boxes, labels, **fields):
    """Convert boxes (N, 4) and classes (N, ) to COCO annotations."""
    return [dict(image_id=IMAGE_ID, category_id=label, bbox=[left, top, right - left, bottom - top],
                 area=(right - left) * (bottom - top), **fields)
            for (left, top, right, bottom), label in zip(boxes.tolist(), labels.tolist())]


def _crowds(sample, labels):
    """Convert ignored regions to COCO annotations. Regions without a class apply to each of ``labels``."""
    if 'bboxes' not in sample.get('ignored_instances', ()):
        return []
    regions = sample.ignored_instances.cpu()
    boxes = box_array(regions)
    if 'labels' in regions:
        return _annotations(boxes, regions.labels.numpy(), iscrowd=1)
    return [crowd for label in labels for crowd in _annotations(boxes, np.full(len(boxes), label), iscrowd=1)]
