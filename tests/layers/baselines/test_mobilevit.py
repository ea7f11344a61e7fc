import functools

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from mmxattn.layers.baselines import MobileViTBlock


def block(**arguments):
    torch.manual_seed(0)
    return MobileViTBlock(**{**dict(in_channels=6, channels=8, depth=2, num_heads=2), **arguments}).double()


def image(channels, height, width, batch=2):
    torch.manual_seed(1)
    return torch.randn(batch, channels, height, width, dtype=torch.double)


def reference(layer, x):
    """Apply the Transformer separately to the pixels at each place of a patch."""
    p = layer.patch_size
    out = torch.empty_like(x)
    for i in range(p):
        for j in range(p):
            place = x[:, :, i::p, j::p]
            tokens = layer.blocks(place.flatten(2).transpose(1, 2))
            out[:, :, i::p, j::p] = tokens.transpose(1, 2).reshape(place.shape)
    return out


@given(st.integers(1, 4), st.integers(1, 4), st.integers(1, 3))
@settings(max_examples=20, deadline=None)
def test_global_features_agree_with_reference(rows, columns, patch_size):
    layer = block(patch_size=patch_size)
    x = image(8, rows * patch_size, columns * patch_size)
    assert torch.allclose(layer.global_features(x), reference(layer, x), atol=1e-12)


@given(st.integers(1, 7), st.integers(1, 7), st.integers(1, 3))
@settings(max_examples=20, deadline=None)
def test_keeps_the_shape_of_indivisible_maps(height, width, patch_size):
    x = image(6, height, width)
    assert block(patch_size=patch_size).eval()(x).shape == x.shape


def test_indivisible_map_is_resized_and_back():
    layer = block()
    layer.blocks = nn.Identity()
    x = image(8, 5, 3)
    resized = nn.functional.interpolate(nn.functional.interpolate(x, size=(6, 4), mode='bilinear'), (5, 3),
                                        mode='bilinear')
    assert torch.allclose(layer.global_features(x), resized)


def test_agrees_with_timm():
    timm = pytest.importorskip('timm.models.mobilevit', exc_type=Exception)
    from timm.layers import ConvNormAct
    from timm.models.byobnet import LayerFn
    ours = block(in_channels=12, channels=16, num_heads=4).eval()
    theirs = timm.MobileVitBlock(
        12, transformer_dim=16, patch_size=2,
        layers=LayerFn(functools.partial(ConvNormAct, act_layer=nn.SiLU), act=nn.SiLU)).double().eval()
    names = {'local': 'conv_kxk', 'widen': 'conv_1x1', 'narrow': 'conv_proj', 'fusion': 'conv_fusion'}
    for ours_name, name in names.items():
        keys = [key for key in theirs.state_dict() if key.startswith(f'{name}.')]
        values = {key.removeprefix(f'{name}.').replace('bn.', 'norm.'): theirs.state_dict()[key] for key in keys}
        getattr(ours, ours_name).load_state_dict(values)
    for one, other in zip(ours.blocks, theirs.transformer):
        state = {key.replace('attn.qkv', 'qkv').replace('attn.proj', 'proj').replace('mlp.fc1', 'mlp.0')
                 .replace('mlp.fc2', 'mlp.2'): value for key, value in other.state_dict().items()}
        one.load_state_dict(state)
    ours.blocks[-1].load_state_dict(theirs.norm.state_dict())
    assert sum(p.numel() for p in ours.parameters()) == sum(p.numel() for p in theirs.parameters())
    for size in ((8, 6), (5, 7)):
        x = image(12, *size)
        assert torch.allclose(ours(x), theirs(x), atol=1e-12)


def test_mobilevit_s_has_the_published_parameters():
    """5.6M (Table 2 of the paper): inverted residuals, three blocks, a stem and a classifier."""

    def inverted_residual(c, d):
        hidden = 4 * c
        return c * hidden + 9 * hidden + hidden * d + 2 * (2 * hidden + d)

    total = 3 * 16 * 9 + 2 * 16
    total += sum(inverted_residual(*pair) for pair in (
        (16, 32), (32, 64), (64, 64), (64, 64), (64, 96), (96, 128), (128, 160)))
    for c, d, depth in ((96, 144, 2), (128, 192, 4), (160, 240, 3)):
        total += sum(p.numel() for p in MobileViTBlock(c, d, depth).parameters())
    total += 160 * 640 + 2 * 640 + 640 * 1000 + 1000
    assert total == 5_578_632


def test_trains_with_one_value_per_channel():
    layer = block()
    assert layer.training
    layer(image(6, 1, 1, batch=1)).sum().backward()
    assert all(p.grad is not None for p in layer.parameters())


def test_every_parameter_gets_a_gradient():
    layer = block()
    layer(image(6, 5, 6)).square().sum().backward()
    assert all(p.grad is not None and p.grad.any() for p in layer.parameters())


def test_norm_and_activation_are_configurable():
    layer = block(norm=functools.partial(nn.GroupNorm, 2), act=nn.GELU)
    assert isinstance(layer.fusion.norm, nn.GroupNorm)
    assert isinstance(layer.fusion.act, nn.GELU)


def test_indivisible_channels_are_refused():
    with pytest.raises(ValueError, match='channels must be divisible by num_heads, got channels=9 and num_heads=2'):
        block(channels=9)
