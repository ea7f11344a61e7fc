"""Parameters and operations of RT-DETR, with FINE and without, against what is published."""
import math
import warnings
from collections import Counter

import pytest
import torch
from mmengine.analysis import FlopAnalyzer
from mmengine.config import Config
from torch import nn

import recipes
import rtdetr
from mmxattn.analysis.complexity import count_macs

# recipe: published parameters (M) and operations (G, two a multiply-add), ours exactly: parameters, multiply-adds
PUBLISHED = {
    'rtdetr_r18vd_8xb2-72e_coco': (20.2, 61.7, 20_184_464, 30_743_859_200),
    'rtdetr_r18vd_fine_8xb2-72e_coco': (21.2, 62.9, 21_238_672, 31_327_129_600),
    'rtdetr_r50vd_8xb2-72e_coco': (42.9, 138.0, 42_944_620, 68_890_009_600),
    'rtdetr_r50vd_fine_8xb2-72e_coco': (44.0, 139.2, 43_998_828, 69_473_280_000),
}
SIZE = (640, 640)


@pytest.fixture(scope='module', params=PUBLISHED)
def recipe(request):
    model = recipes.build(Config.fromfile(recipes.CONFIGS / 'rtdetr' / f'{request.param}.py'))
    model.train(False)
    return model, *PUBLISHED[request.param]


def forward(model):
    return model(torch.zeros(1, 3, *SIZE), [rtdetr.sample(SIZE)], mode='tensor')


def test_parameters(recipe):
    model, published, _, parameters, _ = recipe
    assert recipes.count(model) == parameters
    assert round(parameters / 1e6, 1) == published


def test_what_trains_is_all_but_the_frozen_stem_and_norms(recipe):
    """The release's log of R50 says 42,862,860."""
    model, *_, parameters, _ = recipe
    backbone = model.backbone
    frozen = []
    if backbone.norm_eval:
        frozen += [p for m in backbone.modules() if isinstance(m, nn.BatchNorm2d) for p in m.parameters()]
        frozen += [m.weight for m in backbone.stem if isinstance(m, nn.Conv2d)]
    trainable = sum(p.numel() for p in model.parameters() if p.requires_grad)
    assert trainable == parameters - sum(p.numel() for p in frozen)
    assert {42_944_620: 42_862_860}.get(parameters, trainable) == trainable


def test_multiply_adds(recipe):
    """Of convolutions, linear layers, matrix products and attention."""
    model, *_, macs = recipe
    assert count_macs(lambda: forward(model)) == macs


class Forward(nn.Module):
    def __init__(self, model):
        super().__init__()
        self.model = model

    def forward(self, anchor):
        return forward(self.model), anchor


def attention_macs(inputs, outputs):
    query, key, value = (tensor.type().sizes() for tensor in inputs[:3])
    return Counter(attention=math.prod(query[:-2]) * query[-2] * key[-2] * (query[-1] + value[-1]))


def test_operations_as_published(recipe):
    """The paper's figures are those of fvcore's rules, which are mmengine's, each counted twice.

    They also count norms (the frozen ones of R50, which the release writes as products and sums, excepted),
    upsampling and the sampling of deformable attention, and leave out half of what its plain attention multiplies.
    """
    model, _, published, *_ = recipe
    with warnings.catch_warnings():
        warnings.simplefilter('ignore')
        analyzer = FlopAnalyzer(Forward(model), (torch.zeros(1), ))
        analyzer.unsupported_ops_warnings(False).uncalled_modules_warnings(False).tracer_warnings('none')
        analyzer.set_op_handle('aten::scaled_dot_product_attention', attention_macs)
        counts = analyzer.by_module_and_operator()
    number = sum(counts[''].values())
    if model.backbone.norm_eval:
        number -= counts['model.backbone']['batch_norm']
    assert round(2 * number / 1e9, 1) == published
