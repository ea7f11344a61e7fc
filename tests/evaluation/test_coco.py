import copy

import numpy as np
import pytest
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval

from mmxattn.evaluation.coco import accumulate, coco_metrics, coco_metrics_per_class, match_detections, precision_curve

STATS = dict(AP=0, AP50=1, AP75=2, AP_S=3, AP_M=4, AP_L=5, AR=8, AR_S=9, AR_M=10, AR_L=11)


def official(truth, results):
    """Compute the summary of pycocotools."""
    coco = COCO()
    coco.dataset = copy.deepcopy(truth)
    coco.createIndex()
    evaluation = COCOeval(coco, coco.loadRes(copy.deepcopy(results)), 'bbox')
    evaluation.evaluate()
    evaluation.accumulate()
    evaluation.summarize()
    return {name: evaluation.stats[index] for name, index in STATS.items()}


def metrics(truth, results):
    return coco_metrics(accumulate(match_detections(truth, results)))


@pytest.mark.parametrize('seed', range(4))
def test_metrics_match_pycocotools_summary(random_scene, seed):
    truth, results = random_scene(seed)
    before = copy.deepcopy((truth, results))
    assert metrics(truth, results) == pytest.approx(official(truth, results), abs=1e-12)
    assert (truth, results) == before


def test_per_class_metrics_match_single_class_evaluation(random_scene):
    truth, results = random_scene(5)
    per_class = coco_metrics_per_class(accumulate(match_detections(truth, results)))
    assert list(per_class) == ['c1', 'c2', 'c3', 'c4']
    assert per_class['c4'] is None  # no objects
    for category in (1, 2, 3):
        alone = dict(truth, categories=[truth['categories'][category - 1]],
                     annotations=[ann for ann in truth['annotations'] if ann['category_id'] == category])
        own = metrics(alone, [result for result in results if result['category_id'] == category])
        objects = [ann for ann in alone['annotations'] if not ann['iscrowd']]
        assert per_class[f'c{category}'] == dict(own, instances=len(objects))


def test_no_objects_give_none_and_no_detections_give_zero(scene):
    truth, _ = scene([(1, 1, 10, 10, 20, 20)])  # small
    values = metrics(truth, [])
    assert values['AP'] == values['AP_S'] == values['AR'] == 0
    assert values['AP_M'] is values['AP_L'] is values['AR_L'] is None
    assert set(metrics(scene([])[0], []).values()) == {None}


def test_precision_curve_is_sampled_at_101_recalls(scene):
    boxes = [(1, 1, 50 * k, 10, 40, 40) for k in range(4)]
    truth, results = scene(boxes, [(*boxes[0], 0.9), (1, 1, 300, 300, 40, 40, 0.8), (*boxes[1], 0.7)])
    curve = precision_curve(accumulate(match_detections(truth, results)), 0.5)
    assert len(curve) == 101
    assert np.allclose(curve, [1] * 26 + [2 / 3] * 25 + [0] * 50)  # 1 of 1 at recall 0.25, 2 of 3 at 0.5
    assert precision_curve(accumulate(match_detections(scene([])[0], [])), 0.5) == []


@pytest.mark.parametrize('wrong, message', [(dict(image_id=9), 'image_id .* among the 1 images .*, got 9'),
                                         (dict(category_id=7), 'category_id .* among the 2 categories .*, got 7')])
def test_results_of_another_dataset_are_rejected(scene, wrong, message):
    truth, results = scene([(1, 1, 0, 0, 9, 9)], [(1, 1, 0, 0, 9, 9, 0.5)])
    with pytest.raises(ValueError, match=message):
        match_detections(truth, [dict(results[0], **wrong)])
