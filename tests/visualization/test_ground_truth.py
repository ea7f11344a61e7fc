import numpy as np
import pytest
import torch
from mmengine.structures import BaseDataElement, InstanceData, PixelData

from mmxattn.visualization.ground_truth import class_of_interest, energy_inside, ground_truth_mask


def detection(boxes, labels, scale=(1, 1)):
    sample = BaseDataElement(metainfo=dict(scale_factor=scale))
    sample.gt_instances = InstanceData(bboxes=torch.tensor(boxes).reshape(-1, 4).float(), labels=torch.tensor(labels))
    return sample


def segmentation(labels):
    sample = BaseDataElement()
    sample.gt_sem_seg = PixelData(data=torch.tensor(labels)[None])
    return sample


def test_class_of_interest_is_that_of_the_largest_box():
    assert class_of_interest(detection([[0, 0, 2, 2], [0, 0, 9, 4], [5, 5, 9, 9]], [1, 7, 1])) == 7
    assert class_of_interest(detection([], [])) is None
    assert class_of_interest(BaseDataElement()) is None


def test_class_of_interest_is_the_rarest_label_with_enough_pixels():
    labels = np.zeros((100, 100), int)
    labels[:20, :20], labels[50:60, 50:60], labels[90, 90] = 3, 5, 6
    labels[:, 99] = 11  # ignored
    assert class_of_interest(segmentation(labels), num_classes=8) == 5
    labels[50:60, 50:60] = 255
    assert class_of_interest(segmentation(labels), num_classes=8) == 3


def test_boxes_are_scaled_to_the_image():
    sample = detection([[2, 4, 6, 8], [0, 0, 2, 2]], [1, 0], scale=(0.5, 0.5))
    batch = dict(inputs=[torch.zeros(3, 6, 8, dtype=torch.uint8)], data_samples=[sample])
    expected = np.zeros((6, 8), bool)
    expected[2:4, 1:3] = True
    assert np.array_equal(ground_truth_mask(batch, 1), expected)
    expected[0, 0] = True
    assert np.array_equal(ground_truth_mask(batch), expected)
    assert ground_truth_mask(batch, 5) is None


def test_labels_are_resized_to_the_image():
    batch = dict(inputs=[torch.zeros(3, 2, 2, dtype=torch.uint8)],
                 data_samples=[segmentation([[1, 1, 0, 0], [1, 1, 0, 0], [0, 0, 0, 0], [0, 0, 0, 2]])])
    assert ground_truth_mask(batch, 1).tolist() == [[True, False], [False, False]]
    assert ground_truth_mask(batch) is None


def test_energy_inside_is_the_share_of_the_mask():
    heatmap = np.array([[1., 2], [3, 4]])
    assert energy_inside(heatmap, np.array([[True, False], [False, True]])) == pytest.approx(0.5)
    assert energy_inside(np.zeros((2, 2)), np.ones((2, 2), bool)) is None
