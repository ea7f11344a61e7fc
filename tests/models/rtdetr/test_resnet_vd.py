import pytest
import torch
from mmdet.models.backbones import ResNetV1d
from torch import nn

from mmxattn.models import ResNetVD


def build(kind, depth, **more):
    torch.manual_seed(0)
    backbone = kind(depth=depth, base_channels=8, norm_eval=False, **more)
    backbone.init_weights()
    return backbone


@pytest.mark.parametrize('depth, parameters', [(18, 8 * 8 + 2 * 8), (50, 0)])
def test_adds_only_the_projection_of_the_first_stage(depth, parameters):
    ours, stock = build(ResNetVD, depth), build(ResNetV1d, depth)
    added = set(ours.state_dict()) - set(stock.state_dict())
    assert set(stock.state_dict()) <= set(ours.state_dict())
    assert all(name.startswith('layer1.0.downsample.') for name in added) and bool(added) == (depth == 18)
    count = sum(p.numel() for p in ours.parameters()) - sum(p.numel() for p in stock.parameters())
    assert count == parameters


def test_is_resnet_v1d_with_an_identity_projection():
    ours, stock = build(ResNetVD, 18), build(ResNetV1d, 18)
    ours.load_state_dict(stock.state_dict(), strict=False)
    nn.init.dirac_(ours.layer1[0].downsample[1].weight)
    ours.layer1[0].downsample[2].eps = 0.
    ours.train(False)
    stock.train(False)
    x = torch.randn(2, 3, 97, 131)
    assert all(torch.allclose(a, b, atol=1e-5) for a, b in zip(ours(x), stock(x)))


def test_all_stages_have_the_same_names():
    ours = build(ResNetVD, 18)
    for stage in (ours.layer1, ours.layer2, ours.layer3, ours.layer4):
        assert isinstance(stage[0].downsample[1], nn.Conv2d) and isinstance(stage[0].downsample[2], nn.BatchNorm2d)


def test_every_parameter_gets_a_gradient():
    ours = build(ResNetVD, 18, zero_init_residual=False)
    sum((x * torch.randn_like(x)).sum() for x in ours(torch.randn(2, 3, 64, 64))).backward()
    assert all(p.grad is not None and p.grad.any() for p in ours.parameters())
