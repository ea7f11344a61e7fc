import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from mmxattn.models.rtdetr.rep_vgg import ConvNorm, RepVGGBlock


def randomize(module):
    """Set random norms, eval mode and double precision."""
    torch.manual_seed(0)
    for norm in module.modules():
        if isinstance(norm, nn.BatchNorm2d):
            nn.init.normal_(norm.running_mean)
            nn.init.uniform_(norm.running_var, 0.5, 2)
            nn.init.normal_(norm.weight)
            nn.init.normal_(norm.bias)
    return module.double().train(False)


def batch_norm(x, norm):
    """BatchNorm in eval mode."""
    mean, var, weight, bias = (v.view(-1, 1, 1) for v in (norm.running_mean, norm.running_var, norm.weight, norm.bias))
    return (x - mean) / (var + norm.eps).sqrt() * weight + bias


def reference(block, x):
    x3 = batch_norm(F.conv2d(x, block.conv1.conv.weight, padding=1), block.conv1.norm)
    x1 = batch_norm(F.conv2d(x, block.conv2.conv.weight), block.conv2.norm)
    x = x3 + x1
    return x * torch.sigmoid(x)


@given(st.integers(1, 6), st.integers(1, 9), st.integers(1, 9))
@settings(max_examples=20, deadline=None)
def test_agrees_with_reference_before_and_after_merging(channels, height, width):
    block = randomize(RepVGGBlock(channels))
    x = torch.randn(2, channels, height, width, dtype=torch.double)
    expected = reference(block, x)
    assert torch.allclose(block(x), expected, rtol=1e-10, atol=1e-10)
    block.merge()
    assert isinstance(block.conv1, nn.Conv2d) and isinstance(block.conv2, nn.Identity)
    assert torch.allclose(block(x), expected, rtol=1e-10, atol=1e-10)
    block.merge()  # a second time changes nothing
    assert torch.allclose(block(x), expected, rtol=1e-10, atol=1e-10)


def test_merged_block_has_one_kernel_and_bias():
    block = RepVGGBlock(16)
    assert sum(p.numel() for p in block.parameters()) == 16 * 16 * 10 + 4 * 16
    block.merge()
    assert sum(p.numel() for p in block.parameters()) == 16 * 16 * 9 + 16


@pytest.mark.parametrize('kernel, stride', [(1, 1), (3, 1), (3, 2)])
def test_norm_is_folded_into_the_convolution(kernel, stride):
    layer = randomize(ConvNorm(3, 5, kernel, stride, act=nn.SiLU))
    x = torch.randn(2, 3, 7, 10, dtype=torch.double)
    weight, bias = layer.merged()
    merged = F.silu(F.conv2d(x, weight, bias, stride, kernel // 2))
    assert torch.allclose(layer(x), merged, rtol=1e-10, atol=1e-10)
    assert merged.shape[2:] == (-(-7 // stride), -(-10 // stride))


def test_every_parameter_gets_a_gradient():
    block = RepVGGBlock(4)
    (block(torch.randn(2, 4, 5, 5)) * torch.randn(2, 4, 5, 5)).sum().backward()
    assert all(p.grad is not None and p.grad.any() for p in block.parameters())
