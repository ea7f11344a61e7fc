"""Matching against cases by hand and a literal search."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from mmdet.structures import DetDataSample
from mmdet.structures.bbox import HorizontalBoxes, bbox_overlaps
from mmengine.structures import InstanceData

from mmxattn.visualization.matching import match


def sample_of(detections, objects, ignored=()):
    """A data sample; detections are (box, label, score), objects and ignored regions (box, label)."""
    sample = DetDataSample()
    boxes = lambda rows: torch.tensor([row[0] for row in rows], dtype=torch.float32).reshape(-1, 4)  # noqa: E731
    labels = lambda rows: torch.tensor([row[1] for row in rows], dtype=torch.long)  # noqa: E731
    sample.pred_instances = InstanceData(bboxes=boxes(detections), labels=labels(detections),
                                         scores=torch.tensor([row[2] for row in detections], dtype=torch.float32))
    sample.gt_instances = InstanceData(bboxes=HorizontalBoxes(boxes(objects)), labels=labels(objects))
    sample.ignored_instances = InstanceData(bboxes=HorizontalBoxes(boxes(ignored)), labels=labels(ignored))
    return sample


A, NEAR_A, B = [0, 0, 10, 10], [0, 0, 10, 8], [20, 20, 30, 30]  # NEAR_A overlaps A by 0.8


def test_right_wrong_and_missed():
    result = match(sample_of([(NEAR_A, 1, 0.6), (A, 1, 0.9), (B, 0, 0.8)], [(A, 1), (B, 1)]))
    assert result.scores.tolist() == pytest.approx([0.9, 0.8, 0.6])
    assert result.right.tolist() == [True, False, False]  # then: another class; a second one for the same object
    assert result.found.tolist() == [True, False]
    assert result.counts() == dict(true_positives=1, false_positives=2, false_negatives=1)


def test_thresholds_of_score_and_overlap():
    sample = sample_of([(NEAR_A, 1, 0.6)], [(A, 1)])
    assert match(sample, score_thr=0.6, iou_thr=0.8).right.tolist() == [True]
    assert match(sample, iou_thr=0.81).right.tolist() == [False]
    assert match(sample, score_thr=0.61).counts() == dict(true_positives=0, false_positives=0, false_negatives=1)


def test_in_an_ignored_region_a_wrong_detection_does_not_count():
    crowd = [0, 0, 100, 100]
    result = match(sample_of([(A, 1, 0.9), (B, 1, 0.8), (B, 0, 0.7)], [(A, 1)], [(crowd, 1)]))
    assert result.labels.tolist() == [1, 0]  # right, and of a class that the crowd is not of
    assert result.right.tolist() == [True, False]


def test_an_ignored_region_without_a_class_is_one_of_every_class():
    sample = sample_of([(A, 1, 0.9), (B, 1, 0.8), (B, 0, 0.7)], [(A, 1)], [([0, 0, 100, 100], 1)])
    del sample.ignored_instances.labels
    assert match(sample).counts() == dict(true_positives=1, false_positives=0, false_negatives=0)


def test_nothing_found_and_nothing_there():
    assert match(sample_of([], [(A, 1)])).counts() == dict(true_positives=0, false_positives=0, false_negatives=1)
    assert match(sample_of([(A, 1, 0.9)], [])).counts() == dict(true_positives=0, false_positives=1, false_negatives=0)


def test_missing_annotations_are_told():
    sample = sample_of([], [])
    sample.gt_instances = InstanceData()  # as packed without any
    with pytest.raises(ValueError, match='no ground truth .*LoadAnnotations'):
        match(sample)
    sample = sample_of([], [])
    del sample.pred_instances  # a panoptic segmentor's
    with pytest.raises(ValueError, match='predicts no boxes'):
        match(sample)


boxes = st.lists(st.tuples(*(st.integers(0, 20) for _ in range(4)), st.integers(0, 1)), max_size=8)


def as_rows(numbers):
    return [([x, y, x + 1 + w, y + 1 + h], kind) for x, y, w, h, kind in numbers]


@settings(deadline=None, max_examples=40)
@given(boxes, boxes, st.sampled_from([0.3, 0.5, 0.75]))
def test_matching_is_a_greedy_search(detections, objects, iou_thr):
    detections = [(*row, 0.99 - 0.01 * k) for k, row in enumerate(as_rows(detections))]
    objects = as_rows(objects)
    result = match(sample_of(detections, objects), score_thr=0, iou_thr=iou_thr)
    right, found = greedy(detections, objects, iou_thr)
    assert result.right.tolist() == right
    assert result.found.sum() == found


def greedy(detections, objects, iou_thr):
    """Each detection in turn takes the best free object of its class; which are right, and how many objects are taken.

    Of objects that overlap equally the last one is taken, as pycocotools does it.
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
