"""Whole models in ONNX Runtime, from images to the maps of the heads.

As in stock models (``mode='tensor'``), boxes are decoded and images resized outside the graph. To save time, backbones
have few channels and SCSA only in the last stage. Height and width are multiples of 32, as padded by the recipes' data
preprocessors. Two stock segmentors only export with a fixed size and a dynamic batch: mmseg's Upsample multiplies the
size with a float, and the exporter turns UPerNet's pooling sizes into constants.
"""
import pytest
import torch
from mmengine.config import Config
from torch.export import Dim

import oracles
import recipes
from exports import through_onnx

RECIPES = {
    'FINE': 'fine/retinanet_r50_fine-fpn_1x_coco.py',
    'CFSAM': 'cfsam/retinanet_r50_fpn-cfsam_1x_coco.py',
    'SCSA': 'scsa/retinanet_r50-scsa_fpn_1x_coco.py',
    'CLA': 'cla/segformer_mit-b0_cla_8xb2-160k_ade20k-512x512.py',
}
FIXED_SIZE = {
    'FINE, Semantic FPN': 'fine/fpn_r50_fine_4xb2-80k_cityscapes-512x1024.py',
    'SCSA, UperNet': 'scsa/upernet_r50-scsa_4xb4-80k_ade20k-512x512.py',
}


class Maps(torch.nn.Module):
    """Wrap a model as a function from images to all maps of its head."""

    def __init__(self, model):
        super().__init__()
        self.model = model

    def forward(self, images):
        return tuple(flat(self.model(images, None, mode='tensor')))


def flat(outputs):
    return [outputs] if isinstance(outputs, torch.Tensor) else [x for each in outputs for x in flat(each)]


def build(recipe):
    cfg = Config.fromfile(recipes.CONFIGS / recipe)
    model = cfg.model
    if model.backbone.type in ('ResNet', 'ResNetV1c'):
        model.backbone.base_channels = 8
        for plugin in model.backbone.get('plugins', ()):
            plugin.stages = (False, False, False, True)
        widths = [32, 64, 128, 256]
        neck = model.get('neck')
        after = model.decode_head if neck is None else neck[0] if isinstance(neck, list) else neck
        after.in_channels = widths
        if 'auxiliary_head' in model:
            model.auxiliary_head.in_channels = widths[model.auxiliary_head.in_index]
    return Maps(recipes.build(cfg)).eval()


def check_export(recipe, dynamic_shapes, sizes):
    """Export at one size and compare with the model at others."""
    model = build(recipe)
    run = through_onnx(torch.export.export(model, (torch.randn(2, 3, 288, 320), ), dynamic_shapes=(dynamic_shapes, )))
    for size in sizes:
        images = torch.randn(size)
        outs = run(images)
        with torch.no_grad():
            rights = model(images)
        assert len(outs) == len(rights)
        for out, right in zip(outs, rights):
            assert oracles.relative_error(out, right) < 1e-4


@pytest.mark.slow
@pytest.mark.parametrize('name', RECIPES)
def test_onnx_agrees_at_dynamic_sizes(name):
    # From 8 * 32 pixels RetinaNet's coarsest map and SCSA's 7 pixel window stay on one side of their shape guards
    sides = {axis: 32 * Dim(letter, min=8, max=64) for axis, letter in ((2, 'h'), (3, 'w'))}
    check_export(RECIPES[name], {0: Dim('b'), **sides}, [(1, 3, 256, 352), (2, 3, 416, 288)])


@pytest.mark.slow
@pytest.mark.parametrize('name', FIXED_SIZE)
def test_onnx_agrees_at_dynamic_batch(name):
    check_export(FIXED_SIZE[name], {0: Dim('b')}, [(1, 3, 288, 320), (3, 3, 288, 320)])
