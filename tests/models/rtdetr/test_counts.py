"""Parameters and operations of RT-DETR with and without FINE against the published counts."""
import math
import warnings
from collections import Counter

import pytest
import torch
from mmengine.analysis import FlopAnalyzer
from mmengine.config import Config
from mmengine.registry import MODELS
from torch import nn

import recipes
import rtdetr
from mmxattn.profiling.complexity import count_macs

# recipe: published parameters (M) and operations (G, two per multiply-add), our parameters and multiply-adds
PUBLISHED = {
    'rtdetr_r18vd_8xb2-72e_coco': (20.2, 61.7, 20_184_464, 30_743_859_200),
    'rtdetr_r18vd_fine_8xb2-72e_coco': (21.2, 62.9, 21_238_672, 31_327_129_600),
    'rtdetr_r50vd_8xb2-72e_coco': (42.9, 138.0, 42_944_620, 68_890_009_600),
    'rtdetr_r50vd_fine_8xb2-72e_coco': (44.0, 139.2, 43_998_828, 69_473_280_000),
}
SIZE = (640, 640)


@pytest.fixture(scope='module', params=[
    pytest.param(name, marks=[pytest.mark.slow] if 'r50vd_fine' in name else []) for name in PUBLISHED])
def recipe(request):
    model = recipes.build(Config.fromfile(recipes.CONFIGS / 'rtdetr' / f'{request.param}.py'))
    model.train(False)
    return model, *PUBLISHED[request.param]


def forward(model):
    return model(torch.zeros(1, 3, *SIZE), [rtdetr.sample(SIZE)], mode='tensor')


def test_parameters_match_the_published_count(recipe):
    model, published, _, parameters, _ = recipe
    assert recipes.count(model) == parameters
    assert round(parameters / 1e6, 1) == published


def test_all_but_frozen_stem_and_norms_is_trainable(recipe):
    """The release logs 42,862,860 for R50."""
    model, *_, parameters, _ = recipe
    backbone = model.backbone
    frozen = []
    if backbone.norm_eval:
        frozen += [p for m in backbone.modules() if isinstance(m, nn.BatchNorm2d) for p in m.parameters()]
        frozen += [m.weight for m in backbone.stem if isinstance(m, nn.Conv2d)]
    trainable = sum(p.numel() for p in model.parameters() if p.requires_grad)
    assert trainable == parameters - sum(p.numel() for p in frozen)
    assert {42_944_620: 42_862_860}.get(parameters, trainable) == trainable


def test_multiply_adds_are_as_documented(recipe):
    """Convolutions, linear layers, matrix products and attention."""
    model, *_, macs = recipe
    assert count_macs(lambda: forward(model)) == macs


# variant of the neck in RT-DETR-R18: published additional parameters (M) and operations (G), ours
VARIANTS = {
    'ablations/rtdetr_r18vd_fine-vanilla_8xb2-12e_coco': (1.0, 18.0, 1_054_208, 8_978_432_000),
    'ablations/rtdetr_r18vd_fine-window_8xb2-12e_coco': (1.0, 8.9, 1_054_208, 4_415_580_160),
    'ablations/rtdetr_r18vd_fine-area_8xb2-12e_coco': (1.0, 10.0, 1_054_208, 4_800_512_000),
    'ablations/rtdetr_r18vd_fine-linear_8xb2-12e_coco': (1.0, 7.0, 1_054_240, 3_448_832_000),
    'rtdetr_r18vd_fine_8xb2-12e_coco': (1.0, 1.2, 1_054_208, 583_270_400),
    'baselines/rtdetr_r18vd_sni_8xb2-12e_coco': (0., 0., 0, 0),
    'baselines/rtdetr_r18vd_fapn_8xb2-12e_coco': (1.7, None, 1_830_454, 2_070_659_072),
    'baselines/rtdetr_r18vd_adafpn_8xb2-12e_coco': (2.7, 21.1, 2_609_722, 10_436_608_000),
    'baselines/rtdetr_r18vd_mgc_8xb2-12e_coco': (0.9, 7.0, 986_624, 2_969_567_232),
}


def neck_cost(name, merge=False):
    cfg = Config.fromfile(recipes.CONFIGS / 'rtdetr' / f'{name}.py')
    neck = MODELS.build(cfg.model.neck)
    neck.train(False)
    if merge:
        neck.merge()
    maps = [torch.zeros(1, channels, size, size) for channels, size in zip(cfg.model.neck.in_channels, (80, 40, 20))]
    return recipes.count(neck), count_macs(lambda: neck(maps))


@pytest.mark.parametrize('name', VARIANTS)
def test_additional_cost_of_a_variant(name):
    """Within 20% of the published counts (Tables 2 and 3). FaPN's deformable convolution is not counted."""
    published_parameters, published, parameters, macs = VARIANTS[name]
    stock, ours = neck_cost('rtdetr_r18vd_8xb2-12e_coco'), neck_cost(name)
    assert (ours[0] - stock[0], ours[1] - stock[1]) == (parameters, macs)
    assert parameters / 1e6 == pytest.approx(published_parameters, rel=0.1)
    assert published is None or 2 * macs / 1e9 == pytest.approx(published, rel=0.2)


def test_savings_of_merged_blocks():
    """Each of 12 RepVGG blocks loses the 1x1 kernel and three of four vectors: 19,983,248 remain in RT-DETR-R18."""
    stock, merged = (neck_cost('rtdetr_r18vd_8xb2-72e_coco', merge) for merge in (False, True))
    assert stock[0] - merged[0] == 12 * (128 * 128 + 3 * 128) == 20_184_464 - 19_983_248
    assert stock[1] - merged[1] == 3 * 128 * 128 * (80**2 + 2 * 40**2 + 20**2)


class Forward(nn.Module):
    def __init__(self, model):
        super().__init__()
        self.model = model

    def forward(self, anchor):
        return forward(self.model), anchor


def attention_macs(inputs, outputs):
    query, key, value = (tensor.type().sizes() for tensor in inputs[:3])
    return Counter(attention=math.prod(query[:-2]) * query[-2] * key[-2] * (query[-1] + value[-1]))


def test_operations_match_the_published_count(recipe):
    """The paper counts two operations per multiply-add of fvcore's (and mmengine's) rules.

    These include norms (except the frozen ones of R50, which the release computes as products and sums), upsampling and
    the sampling of deformable attention, and omit half of the products of its plain attention.
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
