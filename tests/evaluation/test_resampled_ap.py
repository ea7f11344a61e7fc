import numpy as np
import pytest

from mmxattn.evaluation.coco import METRICS, accumulate, coco_metrics, match_detections
from mmxattn.evaluation.resampled_ap import ResampledMetrics


def assert_metrics(values, expected):
    """Compare the metrics of one resample, in which NaN means None."""
    assert {name: None if np.isnan(value) else value for name, value in values.items()} == {
        name: None if value is None else pytest.approx(value, abs=1e-12) for name, value in expected.items()}


def resample(truth, results, weights):
    """Repeat each image according to its weight, for pycocotools."""
    images, annotations, copies = [], [], []
    for image, times in zip(truth['images'], weights):
        for _ in range(times):
            number = len(images) + 1
            images.append(dict(image, id=number))
            for group, entries in ((annotations, truth['annotations']), (copies, results)):
                group += [dict(entry, image_id=number) for entry in entries if entry['image_id'] == image['id']]
    annotations = [dict(ann, id=number) for number, ann in enumerate(annotations, 1)]
    return dict(truth, images=images, annotations=annotations), copies


@pytest.mark.parametrize('seed', range(3))
def test_unit_weights_match_coco_metrics(random_scene, seed):
    evaluation = match_detections(*random_scene(seed))
    values = ResampledMetrics(evaluation)(np.ones((1, 12), int))
    assert_metrics({name: value[0] for name, value in values.items()}, coco_metrics(accumulate(evaluation)))


@pytest.mark.parametrize('seed', range(3))
def test_weights_match_pycocotools_on_copied_images(random_scene, seed):
    truth, results = random_scene(seed)
    weights = np.random.RandomState(seed).multinomial(12, [1 / 12] * 12, 6)
    assert weights.max() > 2 and weights.min() == 0
    values = ResampledMetrics(match_detections(truth, results))(weights)
    for index, row in enumerate(weights):
        expected = coco_metrics(accumulate(match_detections(*resample(truth, results, row))))
        assert_metrics({name: value[index] for name, value in values.items()}, expected)


def test_metrics_can_be_selected(random_scene):
    metrics = ResampledMetrics(match_detections(*random_scene(0)), ['AP75', 'AR_S'])
    assert list(metrics(np.ones((2, 12), int))) == ['AP75', 'AR_S']


def test_absent_classes_do_not_count(scene):
    truth, results = scene([(1, 1, 0, 0, 40, 40), (2, 2, 0, 0, 40, 40)], [(1, 1, 0, 0, 40, 40, 0.9)], images=2)
    values = ResampledMetrics(match_detections(truth, results))(np.array([[1, 1], [2, 0], [0, 2]]))
    assert values['AP'].tolist() == pytest.approx([0.5, 1, 0])
    assert values['AR'].tolist() == [0.5, 1, 0]
    assert np.isnan(values['AP_L']).all()


@pytest.mark.parametrize('empty', ['detections', 'objects'])
def test_no_detections_or_no_objects(random_scene, empty):
    truth, results = random_scene(1)
    if empty == 'detections':
        results = []
    else:
        truth = dict(truth, annotations=[])
    values = ResampledMetrics(match_detections(truth, results))(np.ones((3, 12), int))
    assert set(values) == set(METRICS)
    assert all((value == 0).all() if empty == 'detections' else np.isnan(value).all() for value in values.values())
