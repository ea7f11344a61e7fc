"""SCSA and its baselines as plugins: published counts, freezing, initialization."""
import sys

import pytest
import torch
from mmdet.models.backbones import ResNet as DetResNet
from mmengine.analysis import get_model_complexity_info
from mmengine.logging import MMLogger
from mmengine.registry import init_default_scope
from mmseg.models.backbones import ResNetV1c as SegResNet

from mmxattn.models import CA, CBAM, CPCA, ECA, ELA, EMA, FCA, SA, SCSA, SE
from mmxattn.models.plugins import freezing
from mmxattn.models.plugins.plugin import Plugin

PLUGINS = (SCSA, SE, CBAM, ECA, FCA, CA, SA, EMA, CPCA, ELA)
EVERY_PLUGIN = pytest.mark.parametrize('plugin', PLUGINS, ids=lambda plugin: plugin.__name__)
CLASSIFIER = 2048 * 1000 + 1000


def resnet(host, plugin, position=None, **arguments):
    init_default_scope('mmseg' if host is SegResNet else 'mmdet')
    position = position or plugin.position
    return host(plugins=[dict(cfg=dict(type=plugin.__name__), position=position)], **arguments)


def small(host, plugin, position=None, **arguments):
    """At least 32 channels at each plugin."""
    return resnet(host, plugin, position, depth=50, base_channels=32, stem_channels=8, **arguments)


def parts(backbone):
    return [m for m in backbone.modules() if isinstance(m, Plugin)]


@pytest.mark.parametrize('depth, plugin, published', [
    (50, ECA, 25.56), (50, SE, 28.07), (50, FCA, 28.07), (50, CPCA, 27.40), (50, CBAM, 28.07), (50, SA, 25.56),
    (50, ELA, 25.59), (50, CA, 25.69), (50, EMA, 25.57), (50, SCSA, 25.62),
    (101, ECA, 44.55), (101, SE, 49.30), (101, FCA, 49.29), (101, CBAM, 49.30), (101, CA, 44.80), (101, SCSA, 44.68),
], ids=lambda value: getattr(value, '__name__', None))
def test_classifiers_have_the_published_parameters(depth, plugin, published):
    backbone = resnet(DetResNet, plugin, depth=depth)
    assert len(parts(backbone)) == (16 if depth == 50 else 33)
    count = sum(p.numel() for p in backbone.parameters()) + CLASSIFIER
    assert round(count / 1e6, 2) == published


@pytest.mark.parametrize('plugin, published', [
    (SE, 4.11), (CPCA, 4.87), (CBAM, 4.12), (SA, 4.12), (ELA, 4.11), (CA, 4.11), (EMA, 4.18),
], ids=lambda value: getattr(value, '__name__', None))
def test_classifiers_have_the_published_operations(plugin, published):
    """The paper counts like mmengine. CPCA's structure and the positions of SA and EMA follow from these counts."""
    MMLogger.get_instance('tests', log_level='ERROR')
    backbone = resnet(DetResNet, plugin, depth=50)
    backbone.eval()
    counts = get_model_complexity_info(backbone, inputs=(torch.zeros(1, 3, 224, 224), ), show_table=False,
                                       show_arch=False)
    assert round((counts['flops'] + CLASSIFIER) / 1e9, 2) == published


@EVERY_PLUGIN
@pytest.mark.parametrize('host, position', [(DetResNet, 'after_conv2'), (SegResNet, 'after_conv3')])
def test_works_at_every_position(host, plugin, position):
    torch.manual_seed(0)
    backbone = small(host, plugin, position)
    backbone.init_weights()
    backbone.train()
    outs = backbone(torch.randn(2, 3, 65, 97))
    assert [x.shape[1] for x in outs] == [128, 256, 512, 1024]
    sum(out.pow(2).sum() for out in outs).backward()
    for part in parts(backbone):
        assert all(p.grad is not None and p.grad.isfinite().all() for p in part.parameters())
    backbone.eval()
    with torch.no_grad():
        assert all(x.isfinite().all() for x in backbone(torch.randn(1, 3, 75, 64)))


@pytest.mark.parametrize('plugin', [SCSA, SE])
@pytest.mark.parametrize('host', [DetResNet, SegResNet])
def test_stays_trainable_in_a_frozen_stage(host, plugin, monkeypatch):
    messages = []
    monkeypatch.setattr(freezing, 'print_log', lambda message, logger: messages.append(message))
    backbone = small(host, plugin, frozen_stages=1)
    backbone.train()
    part = getattr(backbone.layer1[0], plugin.__name__.lower())
    assert not any(p.requires_grad for p in backbone.layer1[0].conv2.parameters())
    assert not backbone.layer1[0].conv2.training and part.training
    assert all(p.requires_grad for p in part.parameters())
    assert len(messages) == 1 and 'frozen_stages=1' in messages[0] and f'(3 {plugin.__name__})' in messages[0]


@EVERY_PLUGIN
def test_init_cfg_of_the_host_does_not_initialize_plugins(plugin):
    """mmdet's ResNet initializes every Conv2d with Kaiming's rule for ReLU."""
    backbone = small(DetResNet, plugin)
    for part in parts(backbone):
        for parameter in part.parameters():
            torch.nn.init.constant_(parameter, 100.)
    backbone.init_weights()
    for part in parts(backbone):
        assert all(parameter.abs().max() < 100 for parameter in part.parameters())
        for module in part.modules():
            if isinstance(module, (torch.nn.Conv1d, torch.nn.Conv2d, torch.nn.Linear)):
                fan_in = module.weight[0].numel()
                assert module.weight.abs().max() <= fan_in**-0.5 * 1.001  # PyTorch's default


def test_backbone_class_is_wrapped_once():
    before = DetResNet._freeze_stages
    freezing.keep_plugins_trainable(DetResNet)
    freezing.keep_plugins_trainable(type('Sub', (DetResNet, ), {}))
    assert DetResNet._freeze_stages is before


def test_backbone_class_without_freezing_is_unchanged():
    own = type('Own', (torch.nn.Module, ), {})
    freezing.keep_plugins_trainable(own)
    assert not hasattr(own, '_freeze_stages')


@pytest.mark.parametrize('plugin', [SE, CBAM, ECA, CA], ids=lambda plugin: plugin.__name__)
def test_missing_timm_is_named_on_construction(plugin, monkeypatch):
    for name in {'timm', *(name for name in sys.modules if name.startswith('timm.'))}:
        monkeypatch.setitem(sys.modules, name, None)
    with pytest.raises(ImportError, match='requires timm .* pip install -U timm'):
        plugin(64)
