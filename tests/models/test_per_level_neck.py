import pytest
import torch
from mmdet.registry import MODELS
from mmengine.registry import init_default_scope

from mmxattn.models import PerLevelNeck

CHANNELS = (16, 32, 32)
LAYERS = [dict(type='SCSA'), dict(type='MobileViTBlock', channels=8, depth=1, num_heads=2), dict(type='SE', norm=False)]


def maps(sizes=((9, 7), (5, 4), (1, 1)), batch=2):
    torch.manual_seed(0)
    return tuple(torch.randn(batch, c, *size) for c, size in zip(CHANNELS, sizes))


def neck(layer):
    init_default_scope('mmdet')
    torch.manual_seed(1)
    return MODELS.build(dict(type='PerLevelNeck', in_channels=CHANNELS, layer=dict(layer)))


@pytest.fixture(params=LAYERS, ids=lambda layer: layer['type'])
def layer(request):
    if request.param['type'] == 'SE':
        pytest.importorskip('timm', exc_type=Exception)
    return request.param


def test_each_level_has_a_layer_of_its_own(layer):
    ours = neck(layer).eval()
    for x, y, one in zip(maps(), ours(maps()), ours.layers):
        assert torch.equal(one(x), y)
    weights = [next(one.parameters()) for one in ours.layers]
    assert len({w.data_ptr() for w in weights}) == 3


def test_no_level_sees_another(layer):
    ours = neck(layer).eval()
    before, after = ours(maps()), ours((maps()[0] + 1, *maps()[1:]))
    assert not torch.equal(before[0], after[0])
    assert all(torch.equal(x, y) for x, y in zip(before[1:], after[1:]))


def test_every_parameter_learns(layer):
    """One image too, whose last map has a single value a channel."""
    ours = neck(layer)
    sum(x.square().sum() for x in ours(maps(batch=1))).backward()
    sum(x.square().sum() for x in ours(maps())).backward()
    assert not [name for name, p in ours.named_parameters() if p.grad is None or not p.grad.any()]


def test_checkpoints_of_the_stock_neck_load(layer):
    init_default_scope('mmdet')
    fpn = dict(type='FPN', in_channels=[8, 8, 8], out_channels=16, num_outs=3)
    host, ours = torch.nn.Module(), torch.nn.Module()
    host.neck = MODELS.build(dict(fpn))
    ours.neck = MODELS.build([dict(fpn), dict(type='PerLevelNeck', in_channels=[16] * 3, layer=dict(layer))])
    missing, unexpected = ours.load_state_dict(host.state_dict(), strict=False)
    assert not unexpected and missing and all(key.startswith('neck.1.') for key in missing)


def test_wrong_levels_are_named():
    with pytest.raises(ValueError, match='in_channels is empty'):
        PerLevelNeck([], dict(type='SCSA'))
    with pytest.raises(ValueError, match=r'got 2 levels; in_channels=\[16, 32, 32\] asks for 3'):
        neck(LAYERS[0])(maps()[1:])
