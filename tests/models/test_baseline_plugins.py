"""SCSA's baselines in backbones: one interface, the counts that SCSA's paper prints, what a plugin promises its host."""
import builtins

import pytest
import torch
from mmdet.models.backbones import ResNet as DetResNet
from mmengine.analysis import get_model_complexity_info
from mmengine.logging import MMLogger
from mmengine.registry import init_default_scope
from mmseg.models.backbones import ResNetV1c as SegResNet

from mmxattn import patches as compat
from mmxattn.models import CA, CBAM, CPCA, ECA, ELA, EMA, FCA, SA, SCSA, SE
from mmxattn.models.plugins.plugin import Plugin

BASELINES = (SE, CBAM, ECA, FCA, CA, SA, EMA, CPCA, ELA)
EVERY_BASELINE = pytest.mark.parametrize('baseline', BASELINES, ids=lambda baseline: baseline.__name__)
CLASSIFIER = 2048 * 1000 + 1000


def resnet(host, baseline, position=None, **arguments):
    init_default_scope('mmseg' if host is SegResNet else 'mmdet')
    position = position or baseline.position
    return host(plugins=[dict(cfg=dict(type=baseline.__name__), position=position)], **arguments)


def narrow(host, baseline, position=None, **arguments):
    """32 channels and more where the plugins stand."""
    return resnet(host, baseline, position, depth=50, base_channels=32, stem_channels=8, **arguments)


def parts(backbone):
    return [m for m in backbone.modules() if isinstance(m, Plugin)]


@pytest.mark.parametrize('depth, baseline, published', [
    (50, ECA, 25.56), (50, SE, 28.07), (50, FCA, 28.07), (50, CPCA, 27.40), (50, CBAM, 28.07), (50, SA, 25.56),
    (50, ELA, 25.59), (50, CA, 25.69), (50, EMA, 25.57), (50, SCSA, 25.62),
    (101, ECA, 44.55), (101, SE, 49.30), (101, FCA, 49.29), (101, CBAM, 49.30), (101, CA, 44.80), (101, SCSA, 44.68),
], ids=lambda value: getattr(value, '__name__', None))
def test_classifiers_have_the_published_parameters(depth, baseline, published):
    backbone = resnet(DetResNet, baseline, depth=depth)
    assert len(parts(backbone)) == (16 if depth == 50 else 33)
    count = sum(p.numel() for p in backbone.parameters()) + CLASSIFIER
    assert round(count / 1e6, 2) == published


@pytest.mark.parametrize('baseline, published', [
    (SE, 4.11), (CPCA, 4.87), (CBAM, 4.12), (SA, 4.12), (ELA, 4.11), (CA, 4.11), (EMA, 4.18),
], ids=lambda value: getattr(value, '__name__', None))
def test_classifiers_have_the_published_operations(baseline, published):
    """The paper counts as mmengine's tool does. CPCA's structure and the places of SA and EMA follow from this."""
    MMLogger.get_instance('tests', log_level='ERROR')
    backbone = resnet(DetResNet, baseline, depth=50)
    backbone.eval()
    counts = get_model_complexity_info(backbone, inputs=(torch.zeros(1, 3, 224, 224), ), show_table=False,
                                       show_arch=False)
    assert round((counts['flops'] + CLASSIFIER) / 1e9, 2) == published


@EVERY_BASELINE
@pytest.mark.parametrize('host', [DetResNet, SegResNet])
@pytest.mark.parametrize('position', ['after_conv2', 'after_conv3'])
def test_every_baseline_stands_at_every_place_and_learns(host, baseline, position):
    torch.manual_seed(0)
    backbone = narrow(host, baseline, position)
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


@EVERY_BASELINE
@pytest.mark.parametrize('host', [DetResNet, SegResNet])
def test_trains_in_a_frozen_stage_and_says_so(host, baseline, monkeypatch):
    said = []
    monkeypatch.setattr(compat, 'print_log', lambda message, logger: said.append(message))
    backbone = narrow(host, baseline, frozen_stages=1)
    backbone.train()
    part = getattr(backbone.layer1[0], baseline.__name__.lower())
    assert not any(p.requires_grad for p in backbone.layer1[0].conv2.parameters())
    assert not backbone.layer1[0].conv2.training and part.training
    assert all(p.requires_grad for p in part.parameters())
    assert len(said) == 1 and 'frozen_stages=1' in said[0] and f'3 {baseline.__name__} plugins' in said[0]


@EVERY_BASELINE
def test_the_hosts_rules_do_not_initialise_it(baseline):
    """mmdet's ResNet draws every Conv2d's weights by Kaiming's rule for a ReLU behind it."""
    backbone = narrow(DetResNet, baseline)
    for part in parts(backbone):
        for parameter in part.parameters():
            torch.nn.init.constant_(parameter, 100.)
    backbone.init_weights()
    for part in parts(backbone):
        assert all(parameter.abs().max() < 100 for parameter in part.parameters())
        for module in part.modules():
            if isinstance(module, (torch.nn.Conv1d, torch.nn.Conv2d, torch.nn.Linear)):
                fan_in = module.weight[0].numel()
                assert module.weight.abs().max() <= fan_in**-0.5 * 1.001  # PyTorch's own rule


def test_a_class_is_wrapped_once():
    before = DetResNet._freeze_stages
    compat.keep_new_parts_training(DetResNet)
    compat.keep_new_parts_training(type('Sub', (DetResNet, ), {}))
    assert DetResNet._freeze_stages is before


def test_a_backbone_that_freezes_nothing_is_left_alone():
    own = type('Own', (torch.nn.Module, ), {})
    compat.keep_new_parts_training(own)
    assert not hasattr(own, '_freeze_stages')


@pytest.mark.parametrize('baseline', [SE, CBAM, ECA, CA], ids=lambda baseline: baseline.__name__)
def test_a_missing_timm_is_told_when_the_part_is_built(baseline, monkeypatch):
    real = builtins.__import__

    def no_timm(name, *args, **kwargs):
        if name.split('.')[0] == 'timm':
            raise ModuleNotFoundError("No module named 'timm'")
        return real(name, *args, **kwargs)

    monkeypatch.setattr(builtins, '__import__', no_timm)
    monkeypatch.setattr('importlib.import_module', no_timm)
    with pytest.raises(ImportError, match='pip install -U timm'):
        baseline(64)
