"""Predictions next to the ground truth: counts, and pixels of the pictures."""

import numpy as np
import pytest
import torch
from mmdet.structures import DetDataSample
from mmengine.structures import BaseDataElement, InstanceData, PixelData
from torch import nn

from mmxattn.visualization.images import BLUE, ORANGE, PURPLE
from mmxattn.visualization.side_by_side import (
    DARK,
    compare_detections,
    compare_segmentations,
    find_errors,
    paint,
    predict,
)


class FixedDetector(nn.Module):
    """Detector that always predicts the same."""

    def __init__(self, boxes, labels, scores):
        super().__init__()
        self.result = InstanceData(bboxes=torch.tensor(boxes).reshape(-1, 4).float(), labels=torch.tensor(labels),
                                   scores=torch.tensor(scores))

    def test_step(self, batch):
        assert not self.training and not torch.is_grad_enabled()
        for sample in batch['data_samples']:
            sample.pred_instances = self.result
        return batch['data_samples']


@pytest.fixture
def batch(tiny):
    """Gray image at half of its original size. Boxes are in pixels of the original."""
    sample = DetDataSample(metainfo=dict(img_shape=(40, 60), ori_shape=(80, 120), scale_factor=(0.5, 0.5)))
    sample.gt_instances = InstanceData(bboxes=torch.tensor([[20., 20, 60, 60], [70, 20, 100, 60]]),
                                       labels=torch.tensor([0, 1]))
    return tiny.batch_of(torch.full((3, 40, 60), 128, dtype=torch.uint8), samples=[sample])


def has_color(picture, color):
    return (np.asarray(picture) == color).all(2)


def test_detections_are_counted_and_drawn_per_model(batch):
    models = {'good': FixedDetector([[20, 20, 60, 60], [70, 20, 100, 60]], [0, 1], [0.9, 0.8]),
              'bad': FixedDetector([[20, 20, 60, 60], [0, 0, 10, 10]], [1, 0], [0.9, 0.4])}
    numbers, picture = compare_detections(models, batch, classes=['ball', 'cube'])
    assert numbers == {'good': dict(true_positives=2, false_positives=0, false_negatives=0),
                       'bad': dict(true_positives=0, false_positives=1, false_negatives=2)}
    # three panels of 480 x 320: ground truth, good, bad; a key below
    assert picture.width == 3 * (480 + 8) + 16
    columns = [slice(8 + k * 488, 8 + k * 488 + 480) for k in range(3)]
    panels = np.asarray(picture)[30:348]
    assert [has_color(panels[:, own], BLUE).any() for own in columns] == [False, True, False]
    assert [has_color(panels[:, own], ORANGE).any() for own in columns] == [False, False, True]
    assert [has_color(panels[:, own], PURPLE).any() for own in columns] == [False, False, True]
    assert 'pred_instances' not in batch['data_samples'][0]  # not modified


def test_box_positions_in_the_enlarged_image(batch):
    _, picture = compare_detections({'good': FixedDetector([[20, 20, 60, 60]], [0], [0.9])}, batch)
    panel = has_color(picture, BLUE)[28:348, 496:976]  # without margin and title
    rows, columns = np.flatnonzero(panel.any(1)), np.flatnonzero(panel.any(0))
    # 20..60 of the original are 10..30 of the image are 80..240 of the picture; the label is on top of the box
    assert abs(rows[-1] - 240) <= 2 and abs(columns[0] - 80) <= 2 and abs(columns[-1] - 240) <= 2


def test_score_threshold_and_missing_ground_truth(batch):
    model = FixedDetector([[20, 20, 60, 60]], [0], [0.4])
    assert compare_detections({'m': model}, batch)[0]['m']['false_negatives'] == 2
    assert compare_detections({'m': model}, batch, score_thr=0.3)[0]['m']['true_positives'] == 1
    batch['data_samples'][0].gt_instances = InstanceData()
    with pytest.raises(ValueError, match='must contain ground truth boxes'):
        compare_detections({'m': model}, batch)


@pytest.fixture
def scene(tiny):
    """Image with a red left half, whose ground truth has an ignored corner."""
    image = torch.zeros(3, 32, 32, dtype=torch.uint8)
    image[2, :, :16] = 200
    labels = torch.zeros(1, 32, 32, dtype=torch.long)
    labels[:, :, :16], labels[:, :8, :8] = 1, 255
    sample = BaseDataElement()
    sample.gt_sem_seg = PixelData(data=labels)
    return tiny.batch_of(image, samples=[sample])


def segmentor(tiny, bias):
    """Segmentor that predicts 1 where red exceeds ``bias``."""
    model = tiny.Segmentor(tiny.Levels(nn.Identity()), channels=3, classes=2)
    nn.init.zeros_(model.decode_head.conv_seg.weight)
    model.decode_head.conv_seg.weight.data[1, 2] = 1
    model.decode_head.conv_seg.bias.data = torch.tensor([float(bias), 0])
    return model


def test_wrong_pixels_are_counted_and_drawn_per_model(tiny, scene):
    models = {'right': segmentor(tiny, 100), 'blind': segmentor(tiny, 300)}
    numbers, picture = compare_segmentations(models, scene, ['else', 'red'], [(0, 0, 255), (255, 0, 0)])
    counted = 32 * 32 - 64
    assert numbers == {'right': dict(wrong_pixels=0, pixels=counted),
                       'blind': dict(wrong_pixels=16 * 32 - 64, pixels=counted)}
    zoom = 10 * 10
    assert has_color(picture, DARK).sum() >= 2 * 64 * zoom  # the ignored corner, once per model and in the key
    assert abs(has_color(picture, ORANGE).sum() - (16 * 32 - 64) * zoom) <= 14 * 14
    # ground truth and correct labels, and a patch in the legend
    assert abs(has_color(picture, (255, 0, 0)).sum() - ((16 * 32 - 64) + 16 * 32) * zoom) <= 14 * 14


def test_short_palette_is_replaced(tiny, scene):
    _, picture = compare_segmentations({'m': segmentor(tiny, 100)}, scene, palette=[(1, 2, 3)])
    assert not has_color(picture, (1, 2, 3)).any()
    with pytest.raises(ValueError, match='must contain ground truth labels'):
        compare_segmentations({'m': segmentor(tiny, 100)}, tiny.batch_of(tiny.random_image(32, 32)))


def test_labels_without_a_class_are_ignored():
    class Model:
        num_classes = 3
        decode_head = type('Head', (), dict(ignore_index=1))

    valid, wrong = find_errors(np.array([[0, 0, 0, 0]]), np.array([[0, 1, 2, 7]]), Model)
    assert valid.tolist() == [[True, False, True, False]]
    assert wrong.tolist() == [[False, False, True, False]]
    table = np.uint8([[1, 1, 1], [2, 2, 2], [3, 3, 3]])
    assert paint(np.array([[0, 2, 7]]), table)[0, :, 0].tolist() == [1, 3, 150]


def test_predict_keeps_batch_and_mode(tiny, scene):
    model = segmentor(tiny, 100)
    model.train()
    sample, = predict(model, scene)
    assert 'pred_sem_seg' in sample and 'pred_sem_seg' not in scene['data_samples'][0]
    assert model.training
