import pytest
import torch

from mmxattn.models import CFSAMNeck


def maps():
    torch.manual_seed(0)
    return tuple(torch.randn(2, 8, s, s + 1) for s in (9, 5, 3, 1))


def neck(**kwargs):
    torch.manual_seed(1)
    return CFSAMNeck([8] * 4, **{**dict(channels=8, num_heads=2, depth=1), **kwargs})


def test_neck_computes_the_same_as_the_layer():
    ours = neck().eval()
    assert all(torch.equal(x, y) for x, y in zip(ours(maps()), ours.cfsam(maps())))


@pytest.mark.parametrize('stages', ['local', 'local+global', 'all'])
def test_stages_reach_the_layer(stages):
    ours = neck(stages=stages)
    assert ours.cfsam.stages == stages
    assert [x.shape for x in ours(maps())] == [x.shape for x in maps()]


@pytest.mark.parametrize('levels', [(0, 1), (2, 3), (1, )])
def test_other_levels_pass_unchanged(levels):
    for i, (x, y) in enumerate(zip(maps(), neck(levels=levels)(maps()))):
        assert torch.equal(x, y) == (i not in levels)


def test_init_weights_keeps_zero_init():
    ours = neck(residual=True, zero_init=True, init_cfg=dict(type='Normal', layer=['Conv2d', 'Linear'], std=1, bias=1))
    ours.init_weights()
    assert all(torch.equal(x, y) for x, y in zip(maps(), ours(maps())))


def test_norm_and_activation_are_built_from_configs():
    ours = neck(norm_cfg=dict(type='GN', num_groups=4), act_cfg=dict(type='GELU'))
    assert isinstance(ours.cfsam.local[0].norm, torch.nn.GroupNorm)
    assert isinstance(ours.cfsam.local[0].act, torch.nn.GELU)
    assert isinstance(neck(norm_cfg=None).cfsam.local[0].norm, torch.nn.Identity)
