"""Class activation maps against closed-form cases and grad-cam's own results, and on stock models."""

import sys
from unittest import mock

import numpy as np
import pytest
import torch
from mmengine.structures import InstanceData
from torch import nn
from torch.nn import functional as F

from mmxattn.visualization.cam import TargetLayer, cam, first_component, insert_target_layers, load_grad_cam
from mmxattn.visualization.cam_targets import SegmentationTarget, disable_score_thresholds

load_grad_cam()
from pytorch_grad_cam.utils.svd_on_activations import get_2d_projection  # noqa: E402


def quarters(*values):
    """8x8 image in four blocks per channel. Missing channels are zero."""
    image = torch.zeros(3, 8, 8, dtype=torch.uint8)
    for channel, four in enumerate(values):
        image[channel] = torch.tensor(four, dtype=torch.uint8).view(2, 2).kron(torch.ones(4, 4, dtype=torch.uint8))
    return image


def scaled(heatmap):
    heatmap = np.maximum(heatmap, 0)
    return (heatmap - heatmap.min()) / (heatmap.max() - heatmap.min())


def test_grad_cam_of_segmentor_matches_closed_form(tiny):
    """Logits are a 1x1 convolution, so the gradient at each predicted pixel is the weight of the class."""
    model = tiny.Segmentor(tiny.Levels(nn.Identity()), channels=3, classes=2)
    with torch.no_grad():
        model.decode_head.conv_seg.weight[:, :, 0, 0] = torch.tensor([[1., -2, 0], [-1, 1, 0]])
        model.decode_head.conv_seg.bias.zero_()
    image = quarters([100, 10, 0, 40], [10, 100, 50, 10])
    # class 0 where a - 2b > b - a, that is 2a > 3b: the first and the last block
    description, heatmap = cam(model, tiny.batch_of(image), label=0)
    expected = scaled(np.kron([[100 - 20, 10 - 200], [0 - 100, 40 - 20]], np.ones((4, 4))))
    assert np.allclose(heatmap, expected, atol=1e-6)
    assert description.target == 'sum of the logits of class 0 over the 32 pixels predicted as this class'
    assert description.score == pytest.approx(16 * (80 + 20))
    assert (description.method, description.layer, description.levels) == ('gradcam', 'backbone', (0, ))


def test_class_without_predicted_pixels_uses_all_pixels(tiny):
    model = tiny.Segmentor(tiny.Levels(nn.Identity()), channels=3, classes=2)
    with torch.no_grad():
        model.decode_head.conv_seg.weight[:, :, 0, 0] = torch.tensor([[1., 1, 0], [-1, 0, 0]])
        model.decode_head.conv_seg.bias.zero_()
    description, _ = cam(model, tiny.batch_of(quarters([1, 2, 3, 4], [0, 0, 0, 0])), label=1)
    assert description.target == 'sum of the logits of class 1 over all pixels, since none is predicted as this class'
    assert description.score == -16 * (1 + 2 + 3 + 4)


def test_grad_cam_of_detector_matches_closed_form(tiny):
    """Scores 2a - b are 15, 2, 13, 2. Two reach half of the maximum, and only there the gradient is (2, -1)."""
    score = nn.Conv2d(3, 1, 1, bias=False)
    with torch.no_grad():
        score.weight[0, :, 0, 0] = torch.tensor([2., -1, 0])
    model = tiny.Detector(tiny.Levels(nn.MaxPool2d(4), score))
    image = quarters([9, 1, 7, 5], [3, 0, 1, 8])
    description, heatmap = cam(model, tiny.batch_of(image), layer='backbone.stages.0')
    assert description.target == 'sum of the scores of the 2 best detections of all classes'
    assert description.score == (18 - 3) + (14 - 1)
    small = scaled(np.float32([[18 - 3, 2 - 0], [14 - 1, 10 - 8]]))
    smooth = F.interpolate(torch.from_numpy(small)[None, None], (8, 8), mode='bilinear')[0, 0].numpy()
    assert np.allclose(heatmap, smooth, atol=1e-5)  # cv2.resize interpolates in the same way


def test_map_without_influence_on_the_score_is_ignored(tiny):
    class Split(nn.Conv2d):
        def forward(self, x):
            return [super().forward(x), x]  # the detector uses the last

    model = tiny.Detector(Split(3, 3, 1))
    image = quarters([9, 1, 0, 0])
    description, both = cam(model, tiny.batch_of(image), top=1)
    _, last = cam(model, tiny.batch_of(image), level=-1, top=1)
    assert description.levels == (0, 1)
    assert np.allclose(both, last) and last.max() == pytest.approx(1)


@pytest.mark.parametrize('seed', range(5))
def test_first_component_matches_numpy_and_grad_cam(seed):
    activation = np.random.RandomState(seed).gamma(0.5, size=(6, 7, 5)).astype(np.float32)
    component = first_component(activation)
    pixels = activation.reshape(6, -1).T.astype(float)
    pixels -= pixels.mean(0)
    left, singular_values, _ = np.linalg.svd(pixels, full_matrices=False)
    expected = (left[:, 0] * singular_values[0]).reshape(7, 5)
    assert np.allclose(component, expected) or np.allclose(component, -expected)
    theirs = get_2d_projection(activation[None])[0]
    assert np.allclose(component, theirs, atol=1e-4) or np.allclose(component, -theirs, atol=1e-4)
    assert component.max() >= -component.min()


def test_eigen_cam_is_the_scaled_first_component(tiny):
    model = tiny.Model(tiny.Levels(nn.Conv2d(3, 5, 3, padding=1)))
    model.forward = constant_detector(model)
    image = tiny.random_image(9, 11)
    description, heatmap = cam(model, tiny.batch_of(image), 'eigencam')
    feature_map = model.backbone(image[None].float())[0][0].detach().numpy()
    assert np.allclose(heatmap, scaled(first_component(feature_map)), atol=1e-5)
    assert description.target is None and description.score is None


def constant_detector(model):
    """Forward whose scores do not depend on the feature maps."""
    def forward(inputs, data_samples, mode):
        model.extract_feat(inputs)
        for sample in data_samples:
            sample.pred_instances = InstanceData(scores=torch.ones(1), labels=torch.zeros(1).long())
        return data_samples

    return forward


def test_detached_scores_are_rejected_except_by_eigen_cam(tiny):
    model = tiny.Model(tiny.Levels(nn.Conv2d(3, 5, 3, padding=1)))
    model.forward = constant_detector(model)
    with pytest.raises(ValueError, match='must be connected to the feature maps .* Use EigenCAM'):
        cam(model, tiny.batch_of(tiny.random_image(9, 11)))
    _, heatmap = cam(model, tiny.batch_of(tiny.random_image(9, 11)), 'eigencam')
    assert heatmap.shape == (9, 11)


def test_model_without_instances_supports_eigen_cam_only(tiny):
    model = tiny.Model(tiny.Levels(nn.Conv2d(3, 5, 3, padding=1)))
    model.forward = lambda inputs, data_samples, mode: model.extract_feat(inputs) and data_samples
    with pytest.raises(ValueError, match='TinyModel must predict instances with scores'):
        cam(model, tiny.batch_of(tiny.random_image(9, 11)))
    assert cam(model, tiny.batch_of(tiny.random_image(9, 11)), 'eigencam')[1].max() == pytest.approx(1, abs=1e-5)


def test_invalid_arguments_are_rejected(tiny):
    model = tiny.Segmentor(tiny.Levels(nn.Identity()), channels=3, classes=2)
    batch = tiny.batch_of(tiny.random_image(8, 8))
    with pytest.raises(ValueError, match="method must be one of .* got 'lrp'"):
        cam(model, batch, 'lrp')
    with pytest.raises(ValueError, match='label must be a class from 0 to 1 .* got None'):
        cam(model, batch)
    with pytest.raises(ValueError, match='label must be a class from 0 to 1 .* got 2'):
        cam(model, batch, label=2)
    with pytest.raises(ValueError, match="has no module 'head'.*'decode_head'"):
        cam(model, batch, layer='head', label=0)
    with pytest.raises(ValueError, match='level must be from -1 to 0 for backbone, got 1'):
        cam(model, batch, level=1, label=0)
    with pytest.raises(ValueError, match='data_preprocessor of TinySegmentor returns none'):
        cam(model, batch, layer='data_preprocessor', label=0)
    detector = tiny.Detector(tiny.Levels(nn.Conv2d(3, 3, 1)))
    with pytest.raises(ValueError, match='None of the 64 detections belongs to class 3'):
        cam(detector, batch, label=3)


def test_single_logit_map_has_two_classes():
    logits = torch.tensor([[[3., -2], [-1, 4]]], requires_grad=True)
    assert SegmentationTarget(1, [])(logits).item() == 7
    assert SegmentationTarget(0, [])(logits).item() == 3


@pytest.mark.parametrize('order', [(0, 1, 2), (2, 0, 1), (1, 2, 0)])
def test_gradients_are_assigned_to_their_maps(tiny, order):
    """The order in which the maps are used does not matter. Their gradients are 1, 10 and 100."""
    class Three(nn.Conv2d):
        def forward(self, x):
            return [x.clone(), super().forward(x), x[:, :, ::2]]

    class Sum(tiny.Detector):
        def forward(self, inputs, data_samples=None, mode='tensor'):
            maps = self.backbone(inputs)
            score = sum(10**number * maps[number].sum() for number in order)
            data_samples[0].pred_instances = InstanceData(scores=score[None], labels=torch.zeros(1).long())
            return data_samples

    model = Sum(Three(3, 3, 1))
    image = tiny.random_image(8, 8)
    for level in range(3):
        assert [gradient.mean() for gradient in recorded_gradients(model, tiny.batch_of(image), level)] == [10**level]
    assert [gradient.mean() for gradient in recorded_gradients(model, tiny.batch_of(image), None)] == [1, 10, 100]


def recorded_gradients(model, batch, level):
    """Gradients that grad-cam computes the weights from."""
    recorded = []
    package = load_grad_cam()
    get_cam_weights = package.GradCAM.get_cam_weights

    def record(self, image, layer, targets, activations, gradients):
        recorded.append(gradients)
        return get_cam_weights(self, image, layer, targets, activations, gradients)

    with mock.patch.object(package.GradCAM, 'get_cam_weights', record):
        cam(model, batch, level=level)
    return recorded


def test_only_the_first_call_of_a_shared_module_is_used(tiny):
    module = nn.Identity()
    first, second = torch.zeros(1, 2, 3, 3), torch.ones(1, 2, 3, 3)
    with insert_target_layers(module, {0: TargetLayer()}) as feature_maps:
        module(first), module(second)
    assert len(feature_maps) == 1 and torch.equal(feature_maps[0], first)
    assert not module._forward_hooks


def test_model_is_restored(tiny):
    model = tiny.Segmentor(tiny.Levels(nn.Conv2d(3, 3, 1)), channels=3, classes=2)
    model.train()
    cam(model, tiny.batch_of(tiny.random_image(8, 8)), label=0)
    assert model.training
    assert all(p.requires_grad and p.grad is None for p in model.parameters())
    assert not any(module._forward_hooks for module in model.modules())


def test_score_thresholds_are_restored():
    module = nn.Module()
    module.test_cfg = dict(score_thr=0.05, max_per_img=100, nms=0.5)
    with disable_score_thresholds(nn.Sequential(module)):
        assert module.test_cfg == dict(score_thr=0, max_per_img=300, nms=0.5)
    assert module.test_cfg == dict(score_thr=0.05, max_per_img=100, nms=0.5)


def test_torchvision_placeholder_is_removed():
    assert type(sys.modules.get('torchvision')).__name__ != '_Placeholder'


FAMILIES = {
    'two-stage': 'faster_rcnn/faster-rcnn_r50_fpn_1x_coco.py',
    'RetinaNet': 'retinanet/retinanet_r18_fpn_1x_coco.py',
    'FCOS': 'fcos/fcos_r50-caffe_fpn_gn-head_1x_coco.py',
    'SSD': 'pascal_voc/ssd300_voc0712.py',
}


@pytest.mark.parametrize('family', FAMILIES)
def test_scores_of_each_detector_family_are_differentiable(family, build_stock):
    size = (300, 300) if family == 'SSD' else (90, 125)
    model, batch = build_stock('mmdet', FAMILIES[family], size)
    if family == 'SSD':  # saturated with random weights
        for parameter in model.bbox_head.cls_convs.parameters():
            parameter.data.mul_(1e-3)
    description, heatmap = cam(model, batch, top=3)
    assert description.layer == 'neck' and len(description.levels) >= 5
    assert description.target == 'sum of the scores of the 3 best detections of all classes'
    assert 0 < description.score < 3
    assert heatmap.shape == size  # without padding
    assert heatmap.min() == 0 and heatmap.max() > 0.5


def test_all_levels_of_a_stock_segmentor_are_used(build_stock):
    model, batch = build_stock('mmseg', 'segformer/segformer_mit-b0_8xb2-160k_ade20k-512x512.py', (64, 96))
    description, heatmap = cam(model, batch, label=3)
    assert description.layer == 'backbone' and description.levels == (0, 1, 2, 3)
    assert heatmap.shape == (64, 96) and heatmap.max() == pytest.approx(1, abs=1e-3)
