import json

import numpy as np
import pytest
from mmengine.registry import METRICS as ROOT
from mmengine.registry import DefaultScope

pytest.importorskip('mmseg')

import torch
from mmseg.evaluation import IoUMetric

from mmxattn.evaluation import SmallIoUMetric
from mmxattn.registry import METRICS

CLASSES = ('ground', 'dot', 'house')


@pytest.fixture
def samples():
    """Two images of 80x80: dots of 10x10, half found; houses of 40x40, found, one of them as a dot."""
    label, prediction = np.zeros((2, 2, 80, 80), int)
    for corner in (0, 20, 40):
        label[:, corner:corner + 10, :10] = 1
        prediction[:, corner:corner + 5, :10] = 1
    label[:, 40:, 40:] = 2
    prediction[0, 40:, 40:], prediction[1, 40:, 40:] = 2, 1
    return [dict(pred_sem_seg=dict(data=torch.tensor(guess)[None]), gt_sem_seg=dict(data=torch.tensor(truth)[None]))
            for guess, truth in zip(prediction, label)]


def evaluate(metric, samples):
    metric.dataset_meta = dict(classes=CLASSES)
    metric.process({}, samples[:1])
    metric.process({}, samples[1:])
    return metric.evaluate(len(samples))


def test_adds_mean_iou_of_small_classes(samples):
    stock, ours = evaluate(IoUMetric(), samples), evaluate(SmallIoUMetric(), samples)
    dot = 100 * 300 / (600 + 1600)  # half of six dots, and a house that is predicted as a dot
    assert ours == {**stock, 'mIoU@small': round(dot, 2)}


def test_nan_without_small_classes(samples):
    assert np.isnan(evaluate(SmallIoUMetric(area=100), samples)['mIoU@small'])
    assert evaluate(SmallIoUMetric(area=1601), samples)['mIoU@small'] > 0  # dots and houses


def test_annotation_file_replaces_components(samples, tmp_path):
    truth = dict(categories=[dict(id=1, name='house')], annotations=[dict(category_id=1, area=9, iscrowd=0)])
    (tmp_path / 'instances.json').write_text(json.dumps(truth))
    found = evaluate(SmallIoUMetric(ann_file=str(tmp_path / 'instances.json')), samples)
    assert found['mIoU@small'] == 50
    with pytest.raises(ValueError, match='ann_file must be an existing file, got .*absent.json'):
        SmallIoUMetric(ann_file=tmp_path / 'absent.json')


def test_format_only_writes_predictions(samples, tmp_path):
    metric = SmallIoUMetric(format_only=True, output_dir=str(tmp_path))
    sample = dict(samples[0], img_path='a/picture.jpg')
    assert evaluate(metric, [sample]) == {}
    assert (tmp_path / 'picture.png').is_file()


def test_registered_under_default_scope():
    assert METRICS.get('SmallIoUMetric') is SmallIoUMetric
    with DefaultScope.overwrite_default_scope('mmseg'), ROOT.switch_scope_and_registry(None) as registry:
        assert registry.get('SmallIoUMetric') is SmallIoUMetric
