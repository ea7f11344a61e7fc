"""Class activation maps against small cases by hand, against grad-cam's own numbers, and on the toolboxes' families."""

import sys
from unittest import mock

import numpy as np
import pytest
import torch
from mmengine.structures import InstanceData
from torch import nn
from torch.nn import functional as F

from mmxattn.visualization.cam import Tap, cam, first_component, led_through, load_grad_cam
from mmxattn.visualization.cam_targets import Target, lifted_thresholds
from mmxattn.visualization.hooks import single_images

load_grad_cam()  # grad-cam is one of the test suite's requirements
from pytorch_grad_cam.utils.svd_on_activations import get_2d_projection  # noqa: E402


def quarters(*values):
    """Two channels of an 8x8 image in four blocks; the third channel is empty."""
    image = torch.zeros(3, 8, 8, dtype=torch.uint8)
    for channel, four in enumerate(values):
        image[channel] = torch.tensor(four, dtype=torch.uint8).view(2, 2).kron(torch.ones(4, 4, dtype=torch.uint8))
    return image


def scaled(heat):
    heat = np.maximum(heat, 0)
    return (heat - heat.min()) / (heat.max() - heat.min())


def test_grad_cam_of_a_segmentor_by_hand(tiny):
    """Logits are a 1x1 convolution of the map, so its gradient at each predicted pixel is the class's weights."""
    model = tiny.Segmentor(tiny.Levels(nn.Identity()), channels=3, classes=2)
    with torch.no_grad():
        model.decode_head.conv_seg.weight[:, :, 0, 0] = torch.tensor([[1., -2, 0], [-1, 1, 0]])
        model.decode_head.conv_seg.bias.zero_()
    image = quarters([100, 10, 0, 40], [10, 100, 50, 10])
    # class 0 where a - 2b > b - a, that is 2a > 3b: the first and the last block
    what, heat = cam(model, tiny.batch_of(image), label=0)
    expected = scaled(np.kron([[100 - 20, 10 - 200], [0 - 100, 40 - 20]], np.ones((4, 4))))
    assert np.allclose(heat, expected, atol=1e-6)
    assert what.target == 'sum of the logits of class 0 over the 32 pixels predicted to be of it'
    assert what.score == pytest.approx(16 * (80 + 20))
    assert (what.method, what.layer, what.levels) == ('gradcam', 'backbone', (0, ))


def test_a_class_that_is_not_predicted_is_explained_everywhere(tiny):
    model = tiny.Segmentor(tiny.Levels(nn.Identity()), channels=3, classes=2)
    with torch.no_grad():
        model.decode_head.conv_seg.weight[:, :, 0, 0] = torch.tensor([[1., 1, 0], [-1, 0, 0]])
        model.decode_head.conv_seg.bias.zero_()
    what, _ = cam(model, tiny.batch_of(quarters([1, 2, 3, 4], [0, 0, 0, 0])), label=1)
    assert what.target == 'sum of the logits of class 1 over all pixels, none being predicted to be of it'
    assert what.score == -16 * (1 + 2 + 3 + 4)


def test_grad_cam_of_a_detector_by_hand(tiny):
    """The score of a pixel is 2a - b: 15, 2, 13, 2. Two reach half of the best: the gradient is (2, -1) there alone."""
    score = nn.Conv2d(3, 1, 1, bias=False)
    with torch.no_grad():
        score.weight[0, :, 0, 0] = torch.tensor([2., -1, 0])
    model = tiny.Detector(tiny.Levels(nn.MaxPool2d(4), score))
    image = quarters([9, 1, 7, 5], [3, 0, 1, 8])
    what, heat = cam(model, tiny.batch_of(image), layer='backbone.modules_in_a_row.0')
    assert what.target == 'sum of the scores of the 2 best detections of all classes'
    assert what.score == (18 - 3) + (14 - 1)
    small = scaled(np.float32([[18 - 3, 2 - 0], [14 - 1, 10 - 8]]))
    smooth = F.interpolate(torch.from_numpy(small)[None, None], (8, 8), mode='bilinear')[0, 0].numpy()
    assert np.allclose(heat, smooth, atol=1e-5)  # cv2.resize is the same interpolation


def test_a_map_the_score_does_not_depend_on_takes_no_part(tiny):
    class Split(nn.Conv2d):
        def forward(self, x):
            return [super().forward(x), x]  # the detector takes the last

    model = tiny.Detector(Split(3, 3, 1))
    image = quarters([9, 1, 0, 0])
    what, both = cam(model, tiny.batch_of(image), top=1)
    _, last = cam(model, tiny.batch_of(image), level=-1, top=1)
    assert what.levels == (0, 1)
    assert np.allclose(both, last) and last.max() == pytest.approx(1)


@pytest.mark.parametrize('seed', range(5))
def test_the_first_component_is_numpys_and_grad_cams(seed):
    activation = np.random.RandomState(seed).gamma(0.5, size=(6, 7, 5)).astype(np.float32)
    component = first_component(activation)
    pixels = activation.reshape(6, -1).T.astype(float)
    pixels -= pixels.mean(0)
    left, strengths, _ = np.linalg.svd(pixels, full_matrices=False)
    expected = (left[:, 0] * strengths[0]).reshape(7, 5)
    assert np.allclose(component, expected) or np.allclose(component, -expected)
    theirs = get_2d_projection(activation[None])[0]
    assert np.allclose(component, theirs, atol=1e-4) or np.allclose(component, -theirs, atol=1e-4)
    assert component.max() >= -component.min()


def test_eigen_cam_is_the_scaled_first_component(tiny):
    model = tiny.Model(tiny.Levels(nn.Conv2d(3, 5, 3, padding=1)))
    model.forward = detector_of_constants(model)
    image = tiny.random_image(9, 11)
    what, heat = cam(model, tiny.batch_of(image), 'eigencam')
    feature_map = model.backbone(image[None].float())[0][0].detach().numpy()
    assert np.allclose(heat, scaled(first_component(feature_map)), atol=1e-5)
    assert what.target is None and what.score is None


def detector_of_constants(model):
    """A forward whose scores do not come from the maps."""
    def forward(inputs, data_samples, mode):
        model.extract_feat(inputs)
        for sample in data_samples:
            sample.pred_instances = InstanceData(scores=torch.ones(1), labels=torch.zeros(1).long())
        return data_samples

    return forward


def test_scores_that_are_cut_off_are_told_and_eigen_cam_goes_on(tiny):
    model = tiny.Model(tiny.Levels(nn.Conv2d(3, 5, 3, padding=1)))
    model.forward = detector_of_constants(model)
    with pytest.raises(ValueError, match='do not lead back to its feature maps .* EigenCAM can'):
        cam(model, tiny.batch_of(tiny.random_image(9, 11)))
    _, heat = cam(model, tiny.batch_of(tiny.random_image(9, 11)), 'eigencam')
    assert heat.shape == (9, 11)


def test_a_model_without_instances_has_an_eigen_cam(tiny):
    model = tiny.Model(tiny.Levels(nn.Conv2d(3, 5, 3, padding=1)))
    model.forward = lambda inputs, data_samples, mode: model.extract_feat(inputs) and data_samples
    with pytest.raises(ValueError, match='TinyModel predicts no instances with scores'):
        cam(model, tiny.batch_of(tiny.random_image(9, 11)))
    assert cam(model, tiny.batch_of(tiny.random_image(9, 11)), 'eigencam')[1].max() == pytest.approx(1, abs=1e-5)


def test_what_cannot_be_asked_for_is_told(tiny):
    model = tiny.Segmentor(tiny.Levels(nn.Identity()), channels=3, classes=2)
    batch = tiny.batch_of(tiny.random_image(8, 8))
    with pytest.raises(ValueError, match="method='lrp' is none of"):
        cam(model, batch, 'lrp')
    with pytest.raises(ValueError, match='label=None: Grad-CAM of a segmentor needs a class from 0 to 1'):
        cam(model, batch)
    with pytest.raises(ValueError, match='label=2: .* from 0 to 1'):
        cam(model, batch, label=2)
    with pytest.raises(ValueError, match="has no module 'head'.*'decode_head'"):
        cam(model, batch, layer='head', label=0)
    with pytest.raises(ValueError, match='level=1, but backbone gives 1 maps'):
        cam(model, batch, level=1, label=0)
    with pytest.raises(ValueError, match='data_preprocessor gives no map'):
        cam(model, batch, layer='data_preprocessor', label=0)
    detector = tiny.Detector(tiny.Levels(nn.Conv2d(3, 3, 1)))
    with pytest.raises(ValueError, match='Not one of the 64 detections is of class 3'):
        cam(detector, batch, label=3)


def test_one_map_of_logits_is_two_classes():
    logits = torch.tensor([[[3., -2], [-1, 4]]], requires_grad=True)
    assert Target(True, 1, 10, [])(logits).item() == 7
    assert Target(True, 0, 10, [])(logits).item() == 3


@pytest.mark.parametrize('order', [(0, 1, 2), (2, 0, 1), (1, 2, 0)])
def test_gradients_of_several_maps_are_not_mixed_up(tiny, order):
    """Whatever the order in which the maps are used, each has its own weight: 1, 10, 100 times the mean gradient."""
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
        assert [gradient.mean() for gradient in gradients_seen(model, tiny.batch_of(image), level)] == [10**level]
    assert [gradient.mean() for gradient in gradients_seen(model, tiny.batch_of(image), None)] == [1, 10, 100]


def gradients_seen(model, batch, level):
    """The gradients that grad-cam weights the maps with."""
    seen = []
    package = load_grad_cam()
    weigh = package.GradCAM.get_cam_weights

    def listen(self, image, layer, targets, activations, gradients):
        seen.append(gradients)
        return weigh(self, image, layer, targets, activations, gradients)

    with mock.patch.object(package.GradCAM, 'get_cam_weights', listen):
        cam(model, batch, level=level)
    return seen


def test_only_the_first_run_of_a_shared_module_is_led(tiny):
    module = nn.Identity()
    first, second = torch.zeros(1, 2, 3, 3), torch.ones(1, 2, 3, 3)
    with led_through(module, {0: Tap()}) as led:
        module(first), module(second)
    assert len(led) == 1 and torch.equal(led[0], first)
    assert not module._forward_hooks


def test_the_model_is_left_as_it_was(tiny):
    model = tiny.Segmentor(tiny.Levels(nn.Conv2d(3, 3, 1)), channels=3, classes=2)
    model.train()
    cam(model, tiny.batch_of(tiny.random_image(8, 8)), label=0)
    assert model.training
    assert all(p.requires_grad and p.grad is None for p in model.parameters())
    assert not any(module._forward_hooks for module in model.modules())


def test_thresholds_are_lifted_for_a_moment():
    module = nn.Module()
    module.test_cfg = dict(score_thr=0.05, max_per_img=100, nms=0.5)
    with lifted_thresholds(nn.Sequential(module)):
        assert module.test_cfg == dict(score_thr=0, max_per_img=300, nms=0.5)
    assert module.test_cfg == dict(score_thr=0.05, max_per_img=100, nms=0.5)


def test_no_stand_in_is_left_behind():
    assert type(sys.modules.get('torchvision')).__name__ != '_StandIn'


FAMILIES = {
    'two-stage': 'faster_rcnn/faster-rcnn_r50_fpn_1x_coco.py',
    'RetinaNet': 'retinanet/retinanet_r18_fpn_1x_coco.py',
    'FCOS': 'fcos/fcos_r50-caffe_fpn_gn-head_1x_coco.py',
    'SSD': 'pascal_voc/ssd300_voc0712.py',
}


@pytest.mark.parametrize('family', FAMILIES)
def test_the_final_scores_of_each_family_lead_back_to_the_neck(family, recipe_of):
    size = (300, 300) if family == 'SSD' else (90, 125)
    model, batch = recipe_of('mmdet', FAMILIES[family], size)
    if family == 'SSD':  # its random scores are 1 to the last digit
        for parameter in model.bbox_head.cls_convs.parameters():
            parameter.data.mul_(1e-3)
    what, heat = cam(model, batch, top=3)
    assert what.layer == 'neck' and len(what.levels) >= 5
    assert what.target == 'sum of the scores of the 3 best detections of all classes'
    assert 0 < what.score < 3
    assert heat.shape == size  # the preprocessor's padding is gone
    assert heat.min() == 0 and heat.max() > 0.5


def test_a_stock_segmentor(recipe_of):
    model, batch = recipe_of('mmseg', 'segformer/segformer_mit-b0_8xb2-160k_ade20k-512x512.py', (64, 96))
    what, heat = cam(model, batch, label=3)
    assert what.layer == 'backbone' and what.levels == (0, 1, 2, 3)
    assert heat.shape == (64, 96) and heat.max() == pytest.approx(1, abs=1e-3)
    assert len(single_images([batch])) == 1
