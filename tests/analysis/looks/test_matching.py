"""Matching against cases by hand, a literal search and pycocotools."""

import contextlib
import io

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from mmdet.structures import DetDataSample
from mmdet.structures.bbox import HorizontalBoxes, bbox_overlaps
from mmengine.structures import InstanceData
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval

from mmxattn.analysis.looks.matching import assign, intersections, match


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
def test_counts_are_those_of_pycocotools(detections, objects, iou_thr):
    detections = [(*row, 0.99 - 0.01 * k) for k, row in enumerate(as_rows(detections))]
    objects = as_rows(objects)
    counts = match(sample_of(detections, objects), score_thr=0, iou_thr=iou_thr).counts()
    assert counts['true_positives'] == true_positives_of_coco(detections, objects, iou_thr)
    assert counts['true_positives'] + counts['false_positives'] == len(detections)
    assert counts['true_positives'] + counts['false_negatives'] == len(objects)


def true_positives_of_coco(detections, objects, iou_thr):
    if not detections or not objects:
        return 0

    def wide(box):
        return [box[0], box[1], box[2] - box[0], box[3] - box[1]]

    truth = COCO()
    with contextlib.redirect_stdout(io.StringIO()):
        truth.dataset = dict(
            images=[dict(id=1)], categories=[dict(id=0), dict(id=1)], info={},
            annotations=[dict(id=k + 1, image_id=1, category_id=kind, bbox=wide(box), iscrowd=0,
                              area=wide(box)[2] * wide(box)[3]) for k, (box, kind) in enumerate(objects)])
        truth.createIndex()
        found = truth.loadRes([dict(image_id=1, category_id=kind, bbox=wide(box), score=score)
                               for box, kind, score in detections])
        evaluation = COCOeval(truth, found, 'bbox')
        evaluation.params.iouThrs = np.array([iou_thr])
        evaluation.evaluate()
    in_all_sizes = [entry for entry in evaluation.evalImgs if entry and entry['aRng'] == [0, 1e10]]
    return sum(int((entry['dtMatches'] > 0).sum()) for entry in in_all_sizes)


@settings(deadline=None, max_examples=30)
@given(boxes, boxes)
def test_overlaps_are_mmdets(first, second):
    first, second = (np.array([row[0] for row in as_rows(own)], float).reshape(-1, 4) for own in (first, second))
    common, areas, others = intersections(first, second)
    expected = bbox_overlaps(torch.from_numpy(first), torch.from_numpy(second))
    assert np.allclose(common / (areas + others - common), expected)


def test_the_better_detection_chooses_first():
    right, found = assign(np.array([[0.6, 0.7], [0.0, 0.9], [0.55, 0.8]]), 0.5)
    assert right.tolist() == [True, False, True]  # the second finds its only object taken, the third takes the other
    assert found.tolist() == [True, True]
