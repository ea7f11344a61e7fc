"""Backbones without plugin support, with SCSA in each block."""
import copy
import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from mmengine.logging import MMLogger
from mmengine.registry import init_default_scope

import recipes
from mmxattn.models import SCSA
from mmxattn.registry import MODELS

REP_VGG = dict(num_blocks=[1, 2, 1, 1], width_factor=[.25, .25, .25, .5], group_layer_map=None, se_cfg=None)
SWIN = dict(embed_dims=16, depths=[1, 2, 1, 1], num_heads=[1, 2, 2, 4])
DEPTHWISE = dict(after=r'layer1\.0\.conv\.0|layer[2-7]\.\d+\.conv\.1')  # the first block has no expansion
CONV3 = dict(before=r'layer\d\.\d+\.conv3')
ATTENTION = dict(after=r'stages\.\d\.blocks\.\d\.attn')
HOSTS = {  # toolbox and type: small arguments, a position in every block
    'mmpretrain.ResNet': (dict(depth=50, base_channels=8, stem_channels=8, out_indices=(0, 3)), CONV3),
    'mmpretrain.MobileNetV2': (dict(widen_factor=.5, out_indices=(2, 7)), DEPTHWISE),
    'mmpretrain.RepVGG': (dict(arch=REP_VGG, out_indices=(0, 3)), dict(before=r'stage_\d\.\d+\.act')),
    'mmpretrain.SwinTransformer': (dict(arch=SWIN, pad_small_map=True, out_indices=(0, 3)), ATTENTION),
    'mmdet.ResNet': (dict(depth=18, base_channels=8, stem_channels=8), dict(after=r'layer\d\.\d+\.bn2')),
    'mmdet.MobileNetV2': (dict(widen_factor=.5), dict(after=r'layer\d\.\d+\.depthwise_conv')),
    'mmdet.SwinTransformer': (SWIN | dict(depths=(1, 1, 1, 1)), ATTENTION),
    'mmseg.ResNet': (dict(depth=18, base_channels=8, stem_channels=8), dict(before=r'layer\d\.\d+\.conv2')),
    'mmseg.MobileNetV2': (dict(widen_factor=.5), dict(after=r'layer\d\.\d+\.conv\.1')),
    'mmseg.MixVisionTransformer': (dict(embed_dims=8, num_layers=[1, 1, 1, 1], num_heads=[1, 2, 4, 8]),
                                   dict(after=r'layers\.\d\.1\.\d\.ffn')),
}


@pytest.fixture(autouse=True)
def quiet():
    MMLogger.get_instance('tests', log_level='ERROR')
    yield
    init_default_scope('mmdet')  # mmpretrain would be the default scope of other tests


def build(host, scsa=None, **more):
    """The host with SCSA, without pretrained weights."""
    arguments, place = HOSTS[host]
    init_default_scope(host.split('.')[0])
    torch.manual_seed(0)
    backbone = MODELS.build(dict(type='WithPlugins', host=host, **copy.deepcopy(arguments) | more,
                                 plugins=[dict(cfg=dict(type='SCSA', **(scsa or {})), **place)]))
    backbone.init_weights()
    if getattr(backbone, 'zero_init_residual', False):  # else no block gets a gradient
        backbone.apply(lambda m: torch.nn.init.ones_(m.weight) if isinstance(m, torch.nn.BatchNorm2d) else None)
    backbone.train(False)
    return backbone


def stock_of(host, backbone):
    stock = MODELS.build(dict(type=host, **copy.deepcopy(HOSTS[host][0])))
    stock.load_state_dict({key: value for key, value in backbone.state_dict().items() if '.scsa.' not in key})
    stock.train(False)
    return stock


def image(height=97, width=131):
    return torch.randn(2, 3, height, width, generator=torch.Generator().manual_seed(0))


def parts(backbone):
    return {name: m for name, m in backbone.named_modules() if isinstance(m, SCSA)}


@pytest.mark.parametrize('host', HOSTS)
def test_zero_init_is_the_stock_backbone(host):
    backbone = build(host, dict(zero_init=True))
    stock = stock_of(host, backbone)
    assert type(backbone) is type(stock)
    added = recipes.count(backbone) - recipes.count(stock)
    assert added == sum(16 * part.norm.num_channels for part in parts(backbone).values()) > 0
    for ours, theirs in zip(backbone(image()), stock(image()), strict=True):
        assert torch.equal(ours, theirs)


@pytest.mark.parametrize('host', HOSTS)
def test_every_parameter_gets_a_gradient(host):
    backbone = build(host)
    backbone.train()
    assert not torch.equal(backbone(image())[-1], stock_of(host, backbone)(image())[-1])
    sum(x.square().mean() for x in backbone(image())).backward()
    missing = [name for name, p in backbone.named_parameters() if p.requires_grad and p.grad is None]
    assert not missing
    for name, part in parts(backbone).items():
        assert all(p.grad.isfinite().all() for p in part.parameters()), name
        assert part.v.weight.grad.any() and part.norm_h.weight.grad.any(), name


@pytest.mark.parametrize('host', HOSTS)
def test_plugin_runs_once_in_every_block(host):
    backbone = build(host)
    calls = {}
    for name, part in parts(backbone).items():
        part.register_forward_hook(lambda m, args, output, name=name: calls.setdefault(name, []).append(args[0].shape))
    backbone(image())
    assert set(calls) == set(parts(backbone))
    assert all(len(shapes) == 1 for shapes in calls.values())
    for name, [shape] in calls.items():
        assert shape[1] == parts(backbone)[name].norm.num_channels


@pytest.mark.parametrize('host', ['mmpretrain.MobileNetV2', 'mmpretrain.RepVGG', 'mmdet.SwinTransformer',
                                  'mmseg.MixVisionTransformer'])
def test_activation_checkpointing_gives_the_same_gradients(host):
    plain, saving = build(host), build(host, with_cp=True)
    for backbone in (plain, saving):
        backbone.apply(lambda m: setattr(m, 'drop_prob', 0) if hasattr(m, 'drop_prob') else None)
        backbone.train()
        sum(x.square().mean() for x in backbone(image())).backward()
    for (name, a), b in zip(plain.named_parameters(), saving.parameters(), strict=True):
        assert torch.allclose(a.grad, b.grad, rtol=1e-3, atol=1e-5), name


@pytest.mark.parametrize('host', ['mmpretrain.ResNet', 'mmpretrain.MobileNetV2', 'mmpretrain.RepVGG',
                                  'mmpretrain.SwinTransformer', 'mmdet.MobileNetV2', 'mmdet.SwinTransformer'])
def test_plugins_of_frozen_stages_stay_trainable_unless_freezable(host):
    for freezable in (False, True):
        backbone = build(host, dict(freezable=freezable), frozen_stages=1)
        for _ in range(2):
            first, *_, last = parts(backbone)
            block = first.rpartition('.')[0]
            of_the_block = [p for p in backbone.get_submodule(block).named_parameters() if '.scsa' not in f'.{p[0]}']
            assert of_the_block and not any(p.requires_grad for _, p in of_the_block)
            assert all(p.requires_grad is not freezable for p in backbone.get_submodule(first).parameters())
            assert all(p.requires_grad for p in backbone.get_submodule(last).parameters())
            backbone.train()


@given(height=st.integers(32, 100), width=st.integers(32, 100))
@settings(max_examples=10, deadline=None)
def test_plugin_gets_the_map_of_the_tokens(height, width):
    backbone = build('mmdet.SwinTransformer')
    block = backbone.stages[0].blocks[0]
    attention = []
    block.attn.register_forward_hook(lambda m, args, output: attention.append((args[1], output)))
    given_to_scsa = []
    block.scsa.register_forward_hook(lambda m, args, output: given_to_scsa.append((args[0], output)))
    with torch.no_grad():
        backbone(image(height, width))
    [(shape, tokens)], [(x, out)] = attention, given_to_scsa
    assert x.shape == (2, 16, math.ceil(height / 4), math.ceil(width / 4)) and tuple(shape) == x.shape[2:]
    assert torch.equal(tokens, out.flatten(2).transpose(1, 2))  # input of the rest of the block
    assert torch.equal(block.scsa(x), out)


def test_rep_vgg_merges_its_branches_around_the_plugin():
    backbone = build('mmpretrain.RepVGG')
    for module in backbone.modules():  # statistics that folding has to take into account
        if isinstance(module, torch.nn.BatchNorm2d):
            torch.nn.init.uniform_(module.running_mean, -.1, .1)
            torch.nn.init.uniform_(module.running_var, .5, 1)
    expected = backbone(image())
    backbone.switch_to_deploy()
    backbone.train(False)
    assert not hasattr(backbone.stage_1[0], 'branch_3x3')
    for ours, theirs in zip(backbone(image()), expected):
        assert torch.allclose(ours, theirs, atol=1e-4)


def test_tokens_without_their_shape_are_refused():
    init_default_scope('mmdet')
    backbone = MODELS.build(dict(type='WithPlugins', host='SwinTransformer', **HOSTS['mmdet.SwinTransformer'][0],
                                 plugins=[dict(cfg=dict(type='SCSA'), after=r'stages\.0\.blocks\.0\.ffn')]))
    with pytest.raises(ValueError, match=r"'stages.0.blocks.0.ffn' must pass .* got \(2, 825, 16\) and hw_shape=None"):
        backbone(image())


@pytest.mark.parametrize('host', ['MobileNetV2', 'SwinTransformer'])
def test_detector_trains_and_predicts(host):
    """A stock recipe with another backbone."""
    arguments, place = HOSTS[f'mmdet.{host}']
    cfg = recipes.stock('mmdet', 'retinanet/retinanet_r50_fpn_1x_coco.py')
    widths = [16, 32, 64, 128] if host == 'SwinTransformer' else [16, 16, 48, 1280]
    cfg.model.backbone = dict(type='WithPlugins', host=host, **arguments,
                              plugins=[dict(cfg=dict(type='SCSA'), **place)])
    cfg.model.neck.update(in_channels=widths, out_channels=32)
    cfg.model.bbox_head.update(in_channels=32, feat_channels=32)
    model = recipes.build(cfg)
    model.train()
    batch = recipes.inputs(cfg, model, [(97, 131), (75, 160)])
    loss = recipes.loss(model, copy.deepcopy(batch))
    assert loss.isfinite()
    loss.backward()
    assert all(p.grad is not None for name, p in model.named_parameters() if '.stages.' in name or '.layer' in name)
    assert all(part.v.weight.grad.any() for part in parts(model).values())
    model.train(False)
    with torch.no_grad():
        predictions = model.test_step(batch)
    assert all(p.pred_instances.scores.isfinite().all() for p in predictions)
