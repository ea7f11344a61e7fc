import pytest
import torch
from mmdet.registry import MODELS
from mmengine.registry import init_default_scope

CHANNELS = (16, 32, 32)
LAYERS = [dict(type='SCSA'), dict(type='MobileViTBlock', channels=8, depth=1, num_heads=2), dict(type='SE', norm=False)]


def maps(batch=2):
    torch.manual_seed(0)
    return tuple(torch.randn(batch, c, *size) for c, size in zip(CHANNELS, ((9, 7), (5, 4), (1, 1))))


@pytest.fixture(params=LAYERS, ids=lambda layer: layer['type'])
def neck(request):
    if request.param['type'] == 'SE':
        pytest.importorskip('timm', exc_type=Exception)
    init_default_scope('mmdet')
    torch.manual_seed(1)
    return MODELS.build(dict(type='PerLevelNeck', in_channels=CHANNELS, layer=dict(request.param)))


def test_applies_a_separate_layer_to_each_level(neck):
    neck.eval()
    assert all(torch.equal(layer(x), y) for x, y, layer in zip(maps(), neck(maps()), neck.layers, strict=True))
    assert len({next(layer.parameters()).data_ptr() for layer in neck.layers}) == 3


def test_every_parameter_gets_a_gradient(neck):
    """Also for a single image, whose last map has one value per channel."""
    sum(x.square().sum() for x in neck(maps(batch=1))).backward()
    sum(x.square().sum() for x in neck(maps())).backward()
    assert not [name for name, p in neck.named_parameters() if p.grad is None or not p.grad.any()]
