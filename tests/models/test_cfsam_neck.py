import pytest
import torch
from mmdet.models.necks import FPN
from mmdet.registry import MODELS
from mmengine.registry import init_default_scope
from mmengine.runner import load_state_dict

from mmxattn.models import CFSAMNeck

FPN_CFG = dict(type='FPN', in_channels=[8, 16, 32], out_channels=8, num_outs=4)


def maps(channels=(8, 8, 8, 8)):
    torch.manual_seed(0)
    return tuple(torch.randn(2, c, s, s + 1) for c, s in zip(channels, (9, 5, 3, 1)))


def neck(in_channels=(8, 8, 8, 8), **arguments):
    torch.manual_seed(1)
    return CFSAMNeck(in_channels, **{**dict(channels=8, num_heads=2, depth=1), **arguments})


def chain(**arguments):
    """A stock neck with CFSAM after it, as a config lists them."""
    init_default_scope('mmdet')
    cfsam = dict(type='CFSAMNeck', in_channels=[8] * 4, channels=8, num_heads=2, depth=1, **arguments)
    return MODELS.build([dict(FPN_CFG), cfsam])


def features():
    torch.manual_seed(0)
    return tuple(torch.randn(1, c, s, s) for c, s in zip((8, 16, 32), (17, 9, 5)))


def test_is_the_layer():
    ours = neck().eval()
    for x, y in zip(ours(maps()), ours.cfsam(maps())):
        assert torch.equal(x, y)


def test_stands_after_any_neck():
    outs = chain()(features())
    assert [tuple(x.shape) for x in outs] == [(1, 8, 17, 17), (1, 8, 9, 9), (1, 8, 5, 5), (1, 8, 3, 3)]


@pytest.mark.parametrize('stages', ['local', 'local+global', 'all'])
def test_stages_go_through(stages):
    ours = neck(stages=stages)
    assert ours.cfsam.stages == stages
    assert [x.shape for x in ours(maps())] == [x.shape for x in maps()]


@pytest.mark.parametrize('levels', [(0, 1), (2, 3), (1, )])
def test_levels_that_take_no_part_pass(levels):
    ours = neck(levels=levels)
    for i, (x, y) in enumerate(zip(maps(), ours(maps()))):
        assert torch.equal(x, y) == (i not in levels)


def test_the_checkpoint_of_the_stock_neck_loads():
    """Its keys are ``neck.x``; in the chain they are ``neck.0.x``."""
    torch.manual_seed(3)
    stock = FPN(**{k: v for k, v in FPN_CFG.items() if k != 'type'})
    host, ours = torch.nn.Module(), torch.nn.Module()
    host.neck, ours.neck = stock, chain(residual=True, zero_init=True)
    missing, unexpected = ours.load_state_dict(host.state_dict(), strict=False)
    assert not unexpected and missing and all(key.startswith('neck.1.') for key in missing)
    for x, y in zip(ours.neck(features()), stock(features())):
        assert torch.equal(x, y)
    again = torch.nn.Module()
    again.neck = chain(residual=True)
    load_state_dict(again, ours.state_dict(), strict=True)  # and its own keys load as they are


def test_initialisation_does_not_end_an_identity_start():
    ours = neck(residual=True, zero_init=True, init_cfg=dict(type='Normal', layer=['Conv2d', 'Linear'], std=1, bias=1))
    ours.init_weights()
    assert all(torch.equal(x, y) for x, y in zip(maps(), ours(maps())))


def test_norm_and_activation_come_from_the_registry():
    ours = neck(norm_cfg=dict(type='GN', num_groups=4), act_cfg=dict(type='GELU'))
    assert isinstance(ours.cfsam.local[0].norm, torch.nn.GroupNorm)
    assert isinstance(ours.cfsam.local[0].act, torch.nn.GELU)
    assert isinstance(neck(norm_cfg=None).cfsam.local[0].norm, torch.nn.Identity)


@pytest.mark.parametrize('arguments, message', [
    (dict(levels=(0, 4)), r'levels=\[0, 4\] must be different indices below 4'),
    (dict(levels=(1, 1)), r'levels=\[1, 1\]'),
    (dict(levels=()), r'levels=\[\] must be different indices'),
    (dict(channels=9), 'channels=9'),
    (dict(zero_init=True), 'residual=True'),
])
def test_wrong_arguments_are_named(arguments, message):
    with pytest.raises(ValueError, match=message):
        neck(**arguments)


def test_wrong_inputs_are_named():
    with pytest.raises(ValueError, match='got 3 levels'):
        neck()(maps()[1:])
    with pytest.raises(ValueError, match=r'channels \(8, 8, 8, 4\)'):
        neck()(maps((8, 8, 8, 4)))
