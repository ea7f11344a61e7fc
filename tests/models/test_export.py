"""Whole models through the ONNX exporter to onnxruntime, as far as the stock ones go: images in, the heads' maps out.

``mode='tensor'``; boxes are decoded, and pictures resized, outside the graph, as with stock models. The backbones are
narrow, and have SCSA in their last stage only, for time. Height and width are multiples of 32, as the recipes' data
preprocessors pad to.
"""
import pytest
import torch
from mmengine.config import Config
from torch.export import Dim

import oracles
import recipes

UNWANTED = {'InstanceNormalization', 'SplitToSequence', 'SequenceAt', 'If', 'Loop', 'ScatterElements', 'ScatterND'}
RECIPES = {
    'FINE': 'fine/retinanet_r50_fine-fpn_1x_coco.py',
    'CFSAM': 'cfsam/retinanet_r50_fpn-cfsam_1x_coco.py',
    'SCSA': 'scsa/retinanet_r50-scsa_fpn_1x_coco.py',
    'CLA': 'cla/segformer_mit-b0_cla_8xb2-160k_ade20k-512x512.py',
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
    if cfg.model.backbone.type == 'ResNet':
        cfg.model.backbone.base_channels = 8
        neck = cfg.model.neck[0] if isinstance(cfg.model.neck, list) else cfg.model.neck
        neck.in_channels = [32, 64, 128, 256]
        for plugin in cfg.model.backbone.get('plugins', ()):
            plugin.stages = (False, False, False, True)
    return Maps(recipes.build(cfg)).eval()


@pytest.mark.slow
@pytest.mark.parametrize('name', RECIPES)
def test_onnx_of_a_whole_model_gives_the_same(name):
    onnxruntime = pytest.importorskip('onnxruntime')
    pytest.importorskip('onnxscript')
    model = build(RECIPES[name])
    # SCSA's window is 7 pixels and RetinaNet's coarsest map a 128th: 8 * 32 pixels keep both on one side of a guard
    sides = {axis: 32 * Dim(letter, min=8, max=64) for axis, letter in ((2, 'h'), (3, 'w'))}
    program = torch.export.export(model, (torch.randn(2, 3, 288, 320), ), dynamic_shapes=({0: Dim('b'), **sides}, ))
    exported = torch.onnx.export(program, dynamo=True, verbose=False)
    assert not UNWANTED.intersection(node.op_type for node in exported.model.graph)
    session = onnxruntime.InferenceSession(exported.model_proto.SerializeToString())
    for size in ((1, 3, 256, 352), (2, 3, 416, 288)):
        images = torch.randn(size)
        outs = session.run(None, {session.get_inputs()[0].name: images.numpy()})
        with torch.no_grad():
            rights = model(images)
        assert len(outs) == len(rights)
        for out, right in zip(outs, rights):
            assert oracles.relative_error(torch.from_numpy(out), right) < 1e-4
