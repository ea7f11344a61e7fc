import copy

import numpy as np
import pytest
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval

from mmxattn.evaluation.coco import accumulate, coco_metrics, coco_per_class, match, precision_curve

STATS = dict(AP=0, AP50=1, AP75=2, AP_S=3, AP_M=4, AP_L=5, AR=8, AR_S=9, AR_M=10, AR_L=11)


def official(truth, results):
    """pycocotools' own summary."""
    coco = COCO()
    coco.dataset = copy.deepcopy(truth)
    coco.createIndex()
    evaluation = COCOeval(coco, coco.loadRes(copy.deepcopy(results)), 'bbox')
    evaluation.evaluate()
    evaluation.accumulate()
    evaluation.summarize()
    return {name: evaluation.stats[index] for name, index in STATS.items()}


def metrics(truth, results):
    return coco_metrics(accumulate(match(truth, results)))


@pytest.mark.parametrize('seed', range(4))
def test_the_metrics_are_the_official_ones(random_scene, seed):
    truth, results = random_scene(seed)
    before = copy.deepcopy((truth, results))
    assert metrics(truth, results) == pytest.approx(official(truth, results), abs=1e-12)
    assert (truth, results) == before


def test_a_class_alone_scores_what_it_scores_among_others(random_scene):
    truth, results = random_scene(5)
    per_class = coco_per_class(accumulate(match(truth, results)))
    assert list(per_class) == ['c1', 'c2', 'c3', 'c4']
    assert per_class['c4'] is None  # it has no objects
    for category in (1, 2, 3):
        alone = dict(truth, categories=[truth['categories'][category - 1]],
                     annotations=[ann for ann in truth['annotations'] if ann['category_id'] == category])
        own = metrics(alone, [result for result in results if result['category_id'] == category])
        objects = [ann for ann in alone['annotations'] if not ann['iscrowd']]
        assert per_class[f'c{category}'] == dict(own, instances=len(objects))


def test_nothing_to_find_is_none_and_nothing_found_is_zero(scene):
    truth, _ = scene([(1, 1, 10, 10, 20, 20)])  # small
    values = metrics(truth, [])
    assert values['AP'] == values['AP_S'] == values['AR'] == 0
    assert values['AP_M'] is values['AP_L'] is values['AR_L'] is None
    assert set(metrics(scene([])[0], []).values()) == {None}


def test_the_curve_ends_where_the_detector_does(scene):
    boxes = [(1, 1, 50 * k, 10, 40, 40) for k in range(4)]
    truth, results = scene(boxes, [(*boxes[0], 0.9), (1, 1, 300, 300, 40, 40, 0.8), (*boxes[1], 0.7)])
    curve = precision_curve(accumulate(match(truth, results)), 0.5)
    assert len(curve) == 101
    assert np.allclose(curve, [1] * 26 + [2 / 3] * 25 + [0] * 50)  # a quarter found at 1 of 1, a half at 2 of 3
    assert precision_curve(accumulate(match(scene([])[0], [])), 0.5) == []


@pytest.mark.parametrize('wrong, said', [(dict(image_id=9), 'image_id=9, which is not among the 1 images'),
                                         (dict(category_id=7), 'category_id=7, which is not among the 2 categories')])
def test_results_of_another_data_set_are_refused(scene, wrong, said):
    truth, results = scene([(1, 1, 0, 0, 9, 9)], [(1, 1, 0, 0, 9, 9, 0.5)])
    with pytest.raises(ValueError, match=said):
        match(truth, [dict(results[0], **wrong)])
