"""Matching against small examples and a greedy reference implementation."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from mmdet.structures import DetDataSample
from mmdet.structures.bbox import HorizontalBoxes, bbox_overlaps
from mmengine.structures import InstanceData

from mmxattn.visualization.matching import match_detections


def sample_of(detections, objects, ignored=()):
    """Data sample from detections (box, label, score), objects and ignored regions (box, label)."""
    sample = DetDataSample()
    boxes = lambda rows: torch.tensor([row[0] for row in rows], dtype=torch.float32).reshape(-1, 4)  # noqa: E731
    labels = lambda rows: torch.tensor([row[1] for row in rows], dtype=torch.long)  # noqa: E731
    sample.pred_instances = InstanceData(bboxes=boxes(detections), labels=labels(detections),
                                         scores=torch.tensor([row[2] for row in detections], dtype=torch.float32))
    sample.gt_instances = InstanceData(bboxes=HorizontalBoxes(boxes(objects)), labels=labels(objects))
    sample.ignored_instances = InstanceData(bboxes=HorizontalBoxes(boxes(ignored)), labels=labels(ignored))
    return sample


def counts(true_positives, false_positives, false_negatives):
    return dict(true_positives=true_positives, false_positives=false_positives, false_negatives=false_negatives)


A, NEAR_A, B = [0, 0, 10, 10], [0, 0, 10, 8], [20, 20, 30, 30]  # NEAR_A overlaps A by 0.8


def test_wrong_classes_and_duplicates_are_false_positives():
    result = match_detections(sample_of([(NEAR_A, 1, 0.6), (A, 1, 0.9), (B, 0, 0.8)], [(A, 1), (B, 1)]))
    assert result.scores.tolist() == pytest.approx([0.9, 0.8, 0.6])
    assert result.true_positive.tolist() == [True, False, False]  # wrong class; second detection of an object
    assert result.gt_detected.tolist() == [True, False]
    assert result.counts() == counts(1, 2, 1)


def test_thresholds_include_equal_values():
    sample = sample_of([(NEAR_A, 1, 0.6)], [(A, 1)])
    assert match_detections(sample, score_thr=0.6, iou_thr=0.8).true_positive.tolist() == [True]
    assert match_detections(sample, iou_thr=0.81).true_positive.tolist() == [False]
    assert match_detections(sample, score_thr=0.61).counts() == counts(0, 0, 1)


def test_false_positives_in_ignored_regions_are_dropped():
    crowd = [0, 0, 100, 100]
    result = match_detections(sample_of([(A, 1, 0.9), (B, 1, 0.8), (B, 0, 0.7)], [(A, 1)], [(crowd, 1)]))
    assert result.labels.tolist() == [1, 0]  # correct, and of another class than the crowd
    assert result.true_positive.tolist() == [True, False]


def test_ignored_region_without_class_applies_to_all_classes():
    sample = sample_of([(A, 1, 0.9), (B, 1, 0.8), (B, 0, 0.7)], [(A, 1)], [([0, 0, 100, 100], 1)])
    del sample.ignored_instances.labels
    assert match_detections(sample).counts() == counts(1, 0, 0)


def test_unmatched_objects_and_detections_are_counted():
    assert match_detections(sample_of([], [(A, 1)])).counts() == counts(0, 0, 1)
    assert match_detections(sample_of([(A, 1, 0.9)], [])).counts() == counts(0, 1, 0)


def test_missing_boxes_are_rejected():
    sample = sample_of([], [])
    sample.gt_instances = InstanceData()  # packed without annotations
    with pytest.raises(ValueError, match='must contain ground truth boxes.*LoadAnnotations'):
        match_detections(sample)
    sample = sample_of([], [])
    del sample.pred_instances  # like a panoptic segmentor
    with pytest.raises(ValueError, match='must predict boxes'):
        match_detections(sample)


boxes = st.lists(st.tuples(*(st.integers(0, 20) for _ in range(4)), st.integers(0, 1)), max_size=8)


def as_rows(numbers):
    return [([x, y, x + 1 + w, y + 1 + h], kind) for x, y, w, h, kind in numbers]


@settings(deadline=None, max_examples=40)
@given(boxes, boxes, st.sampled_from([0.3, 0.5, 0.75]))
def test_matching_equals_greedy_reference(detections, objects, iou_thr):
    detections = [(*row, 0.99 - 0.01 * k) for k, row in enumerate(as_rows(detections))]
    objects = as_rows(objects)
    result = match_detections(sample_of(detections, objects), score_thr=0, iou_thr=iou_thr)
    right, found = greedy(detections, objects, iou_thr)
    assert result.true_positive.tolist() == right
    assert result.gt_detected.sum() == found


def greedy(detections, objects, iou_thr):
    """Assign each detection to the best free object of its class. Returns true positives and the number of objects.

    Of objects with equal overlap the last one is assigned, as in pycocotools.
    """
    right, taken = [], set()
    for box, kind, _ in detections:
        overlaps = {k: float(bbox_overlaps(torch.tensor([box]).double(), torch.tensor([other]).double()))
                    for k, (other, other_kind) in enumerate(objects) if other_kind == kind and k not in taken}
        best = max(overlaps, key=lambda k: (overlaps[k], k), default=None)
        right.append(best is not None and overlaps[best] >= iou_thr)
        if right[-1]:
            taken.add(best)
    return right, len(taken)
