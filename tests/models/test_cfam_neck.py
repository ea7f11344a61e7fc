import pytest
import torch
from mmdet.registry import MODELS
from mmengine.registry import init_default_scope

from mmxattn.models import CFAMNeck

FPN = dict(type='FPN', in_channels=[8, 16, 32], out_channels=12, num_outs=3)


def features():
    torch.manual_seed(0)
    return tuple(torch.randn(2, c, s, s + 1) for c, s in zip((8, 16, 32), (17, 9, 1)))


def chain(**arguments):
    """A stock neck with CFAM after it, as a config lists them."""
    init_default_scope('mmdet')
    torch.manual_seed(1)
    return MODELS.build([dict(FPN), dict(type='CFAMNeck', in_channels=[12] * 3, channels=8, ratio=4, **arguments)])


def test_stands_after_any_neck_and_is_the_layer():
    ours = chain()
    outs = ours(features())
    assert [tuple(x.shape) for x in outs] == [(2, 8, 17, 18), (2, 8, 9, 10), (2, 8, 1, 2)]
    assert all(torch.equal(x, y) for x, y in zip(outs, ours[1].cfam(ours[0](features()))))


def test_every_parameter_learns():
    ours = chain()
    sum(x.square().sum() for x in ours(features())).backward()
    assert not [name for name, p in ours.named_parameters() if p.grad is None or not p.grad.any()]


def test_the_checkpoint_of_the_stock_neck_loads():
    host, ours = torch.nn.Module(), torch.nn.Module()
    host.neck, ours.neck = MODELS.build(dict(FPN)), chain()
    missing, unexpected = ours.load_state_dict(host.state_dict(), strict=False)
    assert not unexpected and missing and all(key.startswith('neck.1.') for key in missing)


def test_wrong_arguments_are_named():
    with pytest.raises(ValueError, match='ratio=0'):
        CFAMNeck([8, 8], channels=8, ratio=0)
    with pytest.raises(ValueError, match='got 2 levels'):
        chain()[1](features()[1:])
