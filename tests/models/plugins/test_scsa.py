import pytest
import torch
from mmdet.models.backbones import ResNet as DetResNet
from mmengine.registry import init_default_scope
from mmseg.models.backbones import ResNetV1c as SegResNet

import oracles
from mmxattn import layers
from mmxattn.models import SCSA


def resnet(host=DetResNet, **scsa):
    init_default_scope('mmseg' if host is SegResNet else 'mmdet')
    plugins = [dict(cfg=dict(type='SCSA', **scsa), position='after_conv2')]
    return host(depth=50, base_channels=8, stem_channels=8, frozen_stages=1, plugins=plugins)


def parts(backbone):
    return [m for m in backbone.modules() if isinstance(m, SCSA)]


@pytest.mark.parametrize('host', [DetResNet, SegResNet])
def test_every_bottleneck_has_a_plugin(host):
    backbone = resnet(host)
    assert len(parts(backbone)) == 3 + 4 + 6 + 3
    assert backbone.layer2[0].scsa.norm.num_channels == 16
    outs = backbone(torch.randn(1, 3, 65, 95))
    assert [x.shape[1] for x in outs] == [32, 64, 128, 256]


def test_plugin_computes_the_same_as_the_layer():
    torch.manual_seed(0)
    plugin, layer = SCSA(8), layers.SCSA(8)
    layer.load_state_dict(plugin.state_dict())
    x = torch.randn(2, 8, 11, 13)
    assert torch.equal(plugin(x), layer(x))
    oracles.assert_agrees_with_reference(SCSA(32), 'scsa_c32_17x23.npz', num_inputs=1)


def test_freezable_plugin_is_frozen_with_its_stage():
    backbone = resnet(freezable=True)
    assert not any(p.requires_grad for p in backbone.layer1[0].scsa.parameters())
    assert all(p.requires_grad for p in backbone.layer2[0].scsa.parameters())


def test_plugins_frozen_by_the_user_stay_frozen():
    backbone = resnet()
    backbone.requires_grad_(False)
    backbone.train()
    assert not any(p.requires_grad for p in backbone.parameters())


def test_init_weights_of_the_host_keeps_zero_init():
    """A ResNet without a checkpoint sets the weight of every GroupNorm to 1."""
    backbone = resnet(zero_init=True)
    backbone.init_weights()
    for part in parts(backbone):
        x = torch.randn(1, part.norm.num_channels, 5, 9)
        assert torch.equal(part(x), x)


def test_config_of_the_plugin_is_not_modified():
    cfg = dict(type='SCSA')
    DetResNet(50, plugins=[dict(cfg=cfg, position='after_conv2')])
    assert cfg == dict(type='SCSA')


def test_ablations_are_arguments_of_the_plugin():
    backbone = resnet(kernel_sizes=(3, 7), norm='BN', num_heads=4, channel_first=True, shared=False, window_size=None)
    part = backbone.layer2[0].scsa
    layer = layers.SCSA(16, (3, 7), None, norm='BN', num_heads=4, channel_first=True, shared=False)
    assert {k: v.shape for k, v in part.state_dict().items()} == {k: v.shape for k, v in layer.state_dict().items()}
    assert part.channel_first and part.num_heads == 4 and part.window_size is None
    with pytest.raises(TypeError, match='kernel_size'):
        resnet(kernel_size=3)
