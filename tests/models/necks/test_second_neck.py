"""Necks that follow another neck in a list."""
import pytest
import torch
from mmdet.models.necks import FPN
from mmdet.registry import MODELS
from mmengine.registry import init_default_scope

FPN_CFG = dict(in_channels=[8, 16, 32], out_channels=12, num_outs=3)
NECKS = [
    dict(type='CFAMNeck', in_channels=[12] * 3, channels=8, ratio=4),
    dict(type='CFSAMNeck', in_channels=[12] * 3, channels=8, num_heads=2, depth=1),
    dict(type='PerLevelNeck', in_channels=[12] * 3, layer=dict(type='MobileViTBlock', channels=8, depth=1)),
]


def features():
    torch.manual_seed(0)
    return tuple(torch.randn(2, c, s, s + 1) for c, s in zip((8, 16, 32), (17, 9, 5)))


@pytest.fixture(params=NECKS, ids=lambda cfg: cfg['type'])
def chain(request):
    """An FPN and a second neck, as a config lists them."""
    init_default_scope('mmdet')
    torch.manual_seed(1)
    return MODELS.build([dict(type='FPN', **FPN_CFG), dict(request.param)])


def test_runs_after_the_first_neck(chain):
    chain.eval()
    outs = chain(features())
    assert [x.shape[2:] for x in outs] == [x.shape[2:] for x in features()]
    assert all(torch.equal(x, y) for x, y in zip(outs, chain[1](chain[0](features()))))


def test_every_parameter_gets_a_gradient(chain):
    sum(x.square().sum() for x in chain(features())).backward()
    assert not [name for name, p in chain.named_parameters() if p.grad is None or not p.grad.any()]


def test_checkpoint_of_the_first_neck_alone_loads(chain):
    stock, ours = torch.nn.Module(), torch.nn.Module()
    stock.neck, ours.neck = FPN(**FPN_CFG), chain
    missing, unexpected = ours.load_state_dict(stock.state_dict(), strict=False)
    assert not unexpected and missing and all(key.startswith('neck.1.') for key in missing)
    assert all(torch.equal(x, y) for x, y in zip(chain[0](features()), stock.neck(features())))
    ours.load_state_dict(ours.state_dict())  # its own keys load as they are


def test_cfam_neck_is_the_layer():
    neck = MODELS.build(dict(NECKS[0]))
    maps = [torch.randn(1, 12, s, s) for s in (4, 2, 1)]
    outs = neck(maps)
    assert [tuple(x.shape) for x in outs] == [(1, 8, 4, 4), (1, 8, 2, 2), (1, 8, 1, 1)]
    assert all(torch.equal(x, y) for x, y in zip(outs, neck.cfam(maps)))
