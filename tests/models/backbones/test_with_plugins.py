"""Behavior of WithPlugins for all backbones; test_with_plugins_hosts.py tests each backbone."""
import copy
import gc
import io

import pytest
import torch
from mmcv.cnn import fuse_conv_bn
from mmdet.models.backbones import ResNet
from mmengine.logging import MMLogger
from mmengine.model import ExponentialMovingAverage, revert_sync_batchnorm
from mmengine.registry import init_default_scope

from mmxattn.models import SCSA
from mmxattn.models.backbones.plugin_hooks import PluginHook
from mmxattn.registry import MODELS

SMALL = dict(depth=50, base_channels=8, stem_channels=8)
ONE_STAGE = dict(num_stages=1, strides=(1, ), dilations=(1, ), out_indices=(0, ))
AFTER_CONV2 = dict(before=r'layer\d\.\d+\.conv3')  # the input of the third convolution is what mmdet hands its plugin
AFTER_CONV3 = dict(after=r'layer\d\.\d+\.bn3')


@pytest.fixture(autouse=True)
def quiet():
    MMLogger.get_instance('tests', log_level='ERROR')  # init_weights lists every parameter
    init_default_scope('mmdet')


def build(*places, seed=0, scsa=None, **arguments):
    torch.manual_seed(seed)
    plugins = [dict(cfg=dict(type='SCSA', **(scsa or {}))) | place for place in places or [AFTER_CONV2]]
    backbone = MODELS.build(dict(type='WithPlugins', **{**dict(host='ResNet', **SMALL), **arguments}, plugins=plugins))
    backbone.train(False)
    return backbone


def image(*size):
    return torch.randn(2, 3, *(size or (65, 95)), generator=torch.Generator().manual_seed(1))


def same(ours, theirs, **tolerance):
    return len(ours) == len(theirs) and all(torch.allclose(a, b, **tolerance) if tolerance else torch.equal(a, b)
                                            for a, b in zip(ours, theirs))


@pytest.mark.parametrize('place, position', [(AFTER_CONV2, 'after_conv2'), (AFTER_CONV3, 'after_conv3')])
def test_agrees_with_the_plugins_of_mmdets_resnet(place, position):
    ours = build(place)
    theirs = ResNet(**SMALL, plugins=[dict(cfg=dict(type='SCSA'), position=position)])
    theirs.load_state_dict(ours.state_dict())
    theirs.train(False)
    assert type(ours) is ResNet
    assert set(ours.state_dict()) == set(theirs.state_dict())
    assert same(ours(image()), theirs(image()))


def test_plugins_run_in_the_given_order():
    both = build(AFTER_CONV2, AFTER_CONV3 | dict(cfg=dict(type='SCSA', postfix='_2')))
    assert both.layer1[0].scsa.norm.num_channels == 8 and both.layer1[0].scsa_2.norm.num_channels == 32
    chained = build(AFTER_CONV2, AFTER_CONV2 | dict(cfg=dict(type='SCSA', postfix='_2')))
    seen = []
    block = chained.layer1[0]
    block.scsa.register_forward_hook(lambda module, args, output: seen.append(output))
    block.scsa_2.register_forward_hook(lambda module, args, output: seen.extend((args[0], output)))
    block.conv3.register_forward_hook(lambda module, args, output: seen.append(args[0]))
    chained(image())
    assert seen[0] is seen[1] and seen[2] is seen[3]


def test_matched_block_gets_the_plugin_itself():
    whole = build(dict(after=r'layer[12]\.\d+'))
    assert [name for name, m in whole.named_modules() if isinstance(m, SCSA)] == (
        [f'layer1.{i}.scsa' for i in range(3)] + [f'layer2.{i}.scsa' for i in range(4)])
    assert whole.layer2[0].scsa.norm.num_channels == 64
    inputs = []
    whole.layer1[0].scsa.register_forward_hook(lambda module, args, output: inputs.append((args[0], output)))
    given = []
    whole.layer1[1].register_forward_pre_hook(lambda module, args: given.append(args[0]))
    whole(image())
    assert (inputs[0][0] >= 0).all() and inputs[0][1] is given[0]  # after the block's last ReLU


def test_sequential_backbone_does_not_run_the_plugin_as_a_layer():
    class Plain(torch.nn.Sequential):
        def __init__(self):
            super().__init__(torch.nn.Conv2d(3, 8, 3), torch.nn.ReLU())

    torch.manual_seed(0)
    backbone = MODELS.build(dict(type='WithPlugins', host=Plain, plugins=[dict(cfg=dict(type='SCSA'), after='0')]))
    scsa = backbone[0].scsa
    expected = scsa(torch.nn.functional.conv2d(image(), backbone[0].weight, backbone[0].bias)).relu()
    assert torch.equal(backbone(image()), expected)


@torch.no_grad()
def test_copies_and_pickles_have_their_own_plugins():
    backbone = build()
    expected = backbone(image())
    file = io.BytesIO()
    torch.save(backbone, file)
    file.seek(0)
    duplicates = [copy.deepcopy(backbone), ExponentialMovingAverage(backbone).module,
                  torch.load(file, weights_only=False)]
    for parameter in backbone.parameters():
        parameter.data.zero_()
    for duplicate in duplicates:
        duplicate.train(False)
        assert same(duplicate(image()), expected)
        duplicate.layer1[0].scsa.v.weight.data.add_(1)
        assert not same(duplicate(image()), expected)


def test_init_weights_of_a_copy_initializes_its_own_plugins():
    backbone = build(scsa=dict(zero_init=True))
    duplicate = copy.deepcopy(backbone)
    before = copy.deepcopy(backbone.state_dict())
    duplicate.init_weights()
    assert all(torch.equal(value, before[key]) for key, value in backbone.state_dict().items())
    assert not torch.equal(duplicate.conv1.weight, backbone.conv1.weight)
    assert not duplicate.layer1[0].scsa.v.weight.any()


@pytest.mark.parametrize('place', [AFTER_CONV2, AFTER_CONV3], ids=str)
def test_plugins_survive_module_replacement(place):
    """SyncBN conversion and BN folding create modules without hooks."""
    backbone = build(place)
    expected = backbone(image())
    converted = torch.nn.SyncBatchNorm.convert_sync_batchnorm(copy.deepcopy(backbone))
    converted.train(False)
    assert isinstance(converted.layer1[0].bn3, torch.nn.SyncBatchNorm)
    assert same(converted(image()), expected)
    assert same(revert_sync_batchnorm(converted)(image()), expected)
    fused = fuse_conv_bn(copy.deepcopy(backbone))
    assert isinstance(fused.layer1[0].bn3, torch.nn.Identity)
    assert same(fused(image()), expected, atol=1e-5)
    assert len(fused.layer1[0].bn3._forward_hooks) == (place is AFTER_CONV3)  # not one per forward


@pytest.mark.parametrize('place', [AFTER_CONV2, AFTER_CONV3], ids=str)
def test_compiles_without_a_graph_break(place):
    backbone = build(place, **ONE_STAGE)
    torch._dynamo.reset()
    compiled = torch.compile(backbone, backend='eager', fullgraph=True)
    assert same(compiled(image()), backbone(image()), atol=1e-5)
    torch._dynamo.reset()
    converted = torch.nn.SyncBatchNorm.convert_sync_batchnorm(copy.deepcopy(backbone))
    converted.train(False)
    assert same(torch.compile(converted, backend='eager')(image()), backbone(image()), atol=1e-5)


@pytest.mark.parametrize('strict', [False, True])
def test_exported_program_computes_the_same_maps(strict):
    backbone = build(**ONE_STAGE)
    exported = torch.export.export(backbone, (image(), ), strict=strict)
    assert same(exported.module()(image()), backbone(image()), atol=1e-5)


def test_activation_checkpointing_gives_the_same_gradients():
    plain, saving = build(AFTER_CONV3), build(AFTER_CONV3, with_cp=True)
    for backbone in (plain, saving):
        backbone.train()
        sum(x.square().mean() for x in backbone(image())).backward()
    for (name, a), b in zip(plain.named_parameters(), saving.parameters()):
        assert torch.allclose(a.grad, b.grad, rtol=1e-4, atol=1e-6), name
        assert a.grad.any() or 'bn' in name or 'conv' in name, name


def test_runs_in_ddp(tmp_path):
    torch.distributed.init_process_group('gloo', init_method=f'file://{tmp_path}/rendezvous', rank=0, world_size=1)
    try:
        backbone = build()
        wrapped = torch.nn.parallel.DistributedDataParallel(backbone)
        sum(x.square().mean() for x in wrapped(image())).backward()
        assert all(p.grad is not None for p in backbone.layer1[0].scsa.parameters())
        del wrapped  # else destroying the group deadlocks
        gc.collect()
    finally:
        torch.distributed.destroy_process_group()


def test_plugins_in_frozen_stages_stay_trainable_unless_freezable():
    for freezable in (False, True):
        backbone = build(frozen_stages=1, scsa=dict(freezable=freezable))
        for _ in range(2):
            block = backbone.layer1[0]
            assert not any(p.requires_grad for p in block.conv2.parameters())
            assert all(p.requires_grad is not freezable for p in block.scsa.parameters())
            assert all(p.requires_grad for p in backbone.layer2[0].scsa.parameters())
            backbone.train()


def test_plugins_frozen_by_the_user_stay_frozen():
    backbone = build(frozen_stages=1)
    backbone.requires_grad_(False)
    backbone.train()
    assert not any(p.requires_grad for p in backbone.parameters())


def test_init_weights_of_the_host_keeps_zero_init():
    backbone, stock = build(scsa=dict(zero_init=True)), ResNet(**SMALL)
    backbone.init_weights()
    stock.load_state_dict({key: value for key, value in backbone.state_dict().items() if 'scsa' not in key})
    stock.train(False)
    assert same(backbone(image()), stock(image()))


@pytest.mark.parametrize('rules', [[], [dict(type='Constant', val=.5, layer=['Conv2d', 'GroupNorm'])]], ids=str)
def test_checkpoint_with_plugins_loads_completely(tmp_path, rules):
    trained = build(seed=1)
    torch.save(dict(state_dict=trained.state_dict()), tmp_path / 'trained.pth')
    backbone = build(init_cfg=[*rules, dict(type='Pretrained', checkpoint=str(tmp_path / 'trained.pth'))])
    backbone.init_weights()
    assert all(torch.equal(value, trained.state_dict()[key]) for key, value in backbone.state_dict().items())


def test_checkpoint_without_plugins_keeps_their_initialization(tmp_path):
    torch.save(dict(state_dict=ResNet(**SMALL).state_dict()), tmp_path / 'stock.pth')
    backbone = build(scsa=dict(zero_init=True),
                     init_cfg=[dict(type='Constant', val=.5, layer=['Conv2d', 'GroupNorm']),
                               dict(type='Pretrained', checkpoint=str(tmp_path / 'stock.pth'))])
    backbone.init_weights()
    assert not backbone.layer1[0].scsa.v.weight.any() and not backbone.layer1[0].scsa.norm_h.weight.any()
    assert not (backbone.layer1[0].conv1.weight == .5).any()


def test_init_weights_runs_once():
    backbone = build(scsa=dict(zero_init=True))
    backbone.init_weights()
    torch.nn.init.ones_(backbone.layer1[0].scsa.v.weight)
    backbone.init_weights()
    assert (backbone.layer1[0].scsa.v.weight == 1).all()


def test_outputs_other_than_maps_and_tokens_are_refused():
    class Pair(torch.nn.Module):
        out_channels = 8

        def forward(self, x):
            return x, x

    backbone = torch.nn.Sequential(Pair())
    PluginHook(SCSA(8), backbone, '0')
    with pytest.raises(ValueError, match=r"'0' must pass a map .* got tuple and hw_shape=None"):
        backbone(image())


def test_wrapped_module_does_not_apply_the_plugin_twice():
    backbone = build(dict(after=r'layer1\.\d'))
    expected = backbone(image())
    backbone.layer1[0] = torch.nn.Sequential(backbone.layer1[0])
    assert same(backbone(image()), expected)


def test_removed_module_is_refused():
    backbone = build(dict(before='conv1', cfg=dict(type='SCSA', in_channels=3, kernel_sizes=(3, ))))
    del backbone.conv1
    with pytest.raises(ValueError, match="SCSA is attached to 'conv1', which no longer exists"):
        backbone(image())


def test_stages_and_activations_can_be_matched():
    staged = build(dict(after='layer2'))
    assert staged.scsa.norm.num_channels == 64
    in_stem = build(dict(before='maxpool', cfg=dict(type='SCSA', in_channels=8)))
    assert in_stem.scsa.norm.num_channels == 8
    seen = []
    for backbone in (staged, in_stem):
        backbone.scsa.register_forward_hook(lambda module, args, output: seen.append(module))
        backbone(image())
    assert seen == [staged.scsa, in_stem.scsa]
