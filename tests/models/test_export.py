"""Whole models through the ONNX exporter to onnxruntime, as far as the stock ones go: images in, the heads' maps out.

``mode='tensor'``; boxes are decoded, and pictures resized, outside the graph, as with stock models. The backbones are
narrow, and have SCSA in their last stage only, for time. Height and width are multiples of 32, as the recipes' data
preprocessors pad to. Of two segmentors the stock model has its sizes built in, and only the batch is open:
MMSegmentation's Upsample rounds a product with a float, and the exporter gathers UperNet's pooling by whole numbers.
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
OF_ONE_SIZE = {
    'FINE, Semantic FPN': 'fine/fpn_r50_fine_4xb2-80k_cityscapes-512x1024.py',
    'SCSA, UperNet': 'scsa/upernet_r50-scsa_4xb4-80k_ade20k-512x512.py',
}


class Maps(torch.nn.Module):
    """A model of a toolbox as a function of images: all maps of its head, in one tuple."""

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


def agrees(recipe, dynamic_shapes, sizes):
    """Whether what is exported at one size gives at ``sizes`` what the model gives."""
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
def test_onnx_of_a_whole_model_gives_the_same(name):
    # SCSA's window is 7 pixels and RetinaNet's coarsest map a 128th: 8 * 32 pixels keep both on one side of a guard
    sides = {axis: 32 * Dim(letter, min=8, max=64) for axis, letter in ((2, 'h'), (3, 'w'))}
    agrees(RECIPES[name], {0: Dim('b'), **sides}, [(1, 3, 256, 352), (2, 3, 416, 288)])


@pytest.mark.slow
@pytest.mark.parametrize('name', OF_ONE_SIZE)
def test_onnx_of_a_whole_model_of_one_size_gives_the_same(name):
    agrees(OF_ONE_SIZE[name], {0: Dim('b')}, [(1, 3, 288, 320), (3, 3, 288, 320)])
