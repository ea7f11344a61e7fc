"""Counts against closed-form, published and independently measured counts."""

from dataclasses import asdict

import pytest
import torch
from torch import nn
from torch.nn import functional as F

import recipes
from mmxattn.layers import SCSA
from mmxattn.profiling.complexity import Complexity, complexity, count_macs
from mmxattn.profiling.crosscheck import Crosscheck
from mmxattn.utils.config import build_model

FASTER_RCNN = 'faster_rcnn/faster-rcnn_r50_fpn_1x_coco.py'


def test_macs_of_a_convolution_match_the_formula():
    conv = nn.Conv2d(6, 8, (3, 5), stride=2, padding=(1, 2), groups=2)
    image = torch.randn(2, 6, 9, 13)
    assert count_macs(lambda: conv(image)) == 2 * 5 * 7 * 8 * (6 // 2) * 3 * 5


def test_scsa_count_does_not_depend_on_the_implementation():
    layer, x = SCSA(8), torch.randn(1, 8, 14, 14)
    assert count_macs(lambda: layer.eval()(x)) == count_macs(lambda: layer.train()(x)) > 0


def test_macs_of_a_linear_layer_match_the_formula():
    linear = nn.Linear(7, 11)
    assert count_macs(lambda: linear(torch.randn(2, 5, 7))) == 2 * 5 * 7 * 11


@pytest.mark.parametrize('masked', [False, True])
def test_macs_of_fused_attention_match_the_formula(masked):
    query, key, value = torch.randn(2, 4, 10, 16), torch.randn(2, 4, 20, 16), torch.randn(2, 4, 20, 16)
    mask = torch.zeros(10, 20) if masked else None
    macs = count_macs(lambda: F.scaled_dot_product_attention(query, key, value, mask))
    assert macs == 2 * 4 * (10 * 20 * 16 + 10 * 20 * 16)


def test_macs_of_multi_head_attention_match_the_formula_in_eval_mode():
    attention = nn.MultiheadAttention(32, 4, batch_first=True).eval()
    tokens = torch.randn(2, 10, 32)
    macs = count_macs(lambda: attention(tokens, tokens, tokens))
    assert macs == 2 * (4 * 10 * 32 * 32 + 2 * 10 * 10 * 32)  # four projections; QK^T and the product with V
    assert torch.backends.mha.get_fastpath_enabled()  # restored


def test_ssd300_matches_published_counts():
    counted = complexity(recipes.stock('mmdet', 'pascal_voc/ssd300_voc0712.py'))
    assert counted.shape == (300, 300)
    assert counted.parameters == counted.trainable_parameters == 26_285_486
    assert counted.macs == 31_373_537_792
    assert counted.flops == 2 * counted.macs


def test_two_stage_detector_is_counted_with_all_proposals():
    cfg = recipes.stock('mmdet', FASTER_RCNN)
    counted = complexity(cfg, (64, 96))
    assert counted.parameters == 41_753_056
    assert counted.parameters - counted.trainable_parameters == 225_344  # frozen stem and first stage

    cfg.model.test_cfg.rpn.max_per_img -= 10
    fewer = complexity(cfg, (64, 96))
    one_proposal = 256 * 7 * 7 * 1024 + 1024 * 1024 + 1024 * (81 + 4 * 80)
    assert counted.macs - fewer.macs == 10 * one_proposal


def test_counts_use_the_padded_size_and_keep_the_mode():
    cfg = recipes.stock('mmdet', 'retinanet/retinanet_r18_fpn_1x_coco.py')  # pads to a multiple of 32
    model = build_model(cfg)
    model.train()
    assert complexity(model, (60, 90)).macs == complexity(model, (64, 96)).macs
    assert model.training


def test_segmentor_is_counted_at_its_input_size():
    cfg = recipes.stock('mmseg', 'segformer/segformer_mit-b0_8xb2-160k_ade20k-512x512.py')
    counted = complexity(cfg)
    assert counted.shape == (512, 512)
    assert counted.parameters == 3_753_718
    cfg.model.decode_head.num_classes = 100
    assert counted.macs - complexity(cfg).macs == 50 * 256 * 128 * 128  # classifier at stride 4


def test_submodules_add_up_and_uncounted_operators_are_listed():
    counted = complexity(recipes.stock('mmdet', FASTER_RCNN), (64, 96))
    modules = counted.modules
    top = [cost for name, cost in modules.items() if '.' not in name]
    assert sum(cost.macs for cost in top) == counted.macs
    assert sum(cost.parameters for cost in top) == counted.parameters
    pixels_and_channels = [(16 * 24, 256), (8 * 12, 512), (4 * 6, 1024), (2 * 3, 2048)]
    laterals = sum(pixels * channels * 256 for pixels, channels in pixels_and_channels)
    assert modules['neck.lateral_convs'].macs == laterals  # a ModuleList, which is never called
    assert modules['neck'].type == 'FPN' and modules['neck'].flops == 2 * modules['neck'].macs
    uncounted = {operator.name: operator for operator in counted.uncounted}
    assert uncounted['mmcv.roi_align_forward'].elements == 1000 * 256 * 7 * 7
    assert uncounted['aten.native_batch_norm'].calls == 53
    assert Complexity.from_dict(asdict(counted)) == counted


STOCK = [  # base recipes of this package, at a small size
    ('mmdet', 'faster_rcnn/faster-rcnn_r50_fpn_1x_coco'), ('mmdet', 'retinanet/retinanet_r50_fpn_1x_coco'),
    ('mmdet', 'fcos/fcos_r50-caffe_fpn_gn-head_1x_coco'), ('mmdet', 'mask_rcnn/mask-rcnn_r50_fpn_1x_coco'),
    ('mmdet', 'cascade_rcnn/cascade-rcnn_r50_fpn_1x_coco'), ('mmdet', 'faster_rcnn/faster-rcnn_r101_fpn_1x_coco'),
    ('mmdet', 'cascade_rcnn/cascade-rcnn_r101_fpn_1x_coco'), ('mmdet', 'retinanet/retinanet_r101_fpn_1x_coco'),
    ('mmdet', 'ssd/ssd300_coco'), ('mmdet', 'pascal_voc/ssd300_voc0712'),
    ('mmseg', 'upernet/upernet_r50_4xb4-160k_ade20k-512x512'),
    ('mmseg', 'upernet/upernet_r101_4xb4-160k_ade20k-512x512'),
    ('mmseg', 'segformer/segformer_mit-b0_8xb2-160k_ade20k-512x512'),
    ('mmseg', 'segformer/segformer_mit-b1_8xb2-160k_ade20k-512x512'),
]


@pytest.mark.parametrize('package, name', STOCK, ids=[name.split('/')[1] for _, name in STOCK])
def test_counters_agree_on_stock_recipes(package, name):
    counted = complexity(recipes.stock(package, f'{name}.py'), None if 'ssd' in name else (64, 96))
    assert counted.crosscheck == Crosscheck(counted.macs, [])


def test_model_without_shape_is_rejected():
    with pytest.raises(ValueError, match='Linear has no image size: .*Pass a shape'):
        complexity(nn.Linear(1, 1))
