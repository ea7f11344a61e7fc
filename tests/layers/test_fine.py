import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

import oracles
from mmxattn.layers import FINE

RELEASED = dict(attention='linear', ffn_ratio=4, modulation='direct', position_embedding=True)


def make_maps(channels, low, high, dtype=torch.double):
    torch.manual_seed(0)
    return torch.randn(2, channels, *low, dtype=dtype), torch.randn(2, channels, *high, dtype=dtype)


def test_matches_authors_code():
    oracles.assert_agrees_with_reference(FINE(64, **RELEASED), 'fine_released_c64_first.npz', num_inputs=2)


@given(st.integers(1, 9), st.integers(1, 9), st.integers(0, 9), st.integers(0, 9), st.sampled_from([1, 2, 3]),
       st.sampled_from([1, 2, 4]))
@settings(max_examples=20, deadline=None)
def test_matches_pytorch_multihead_attention(height, width, more_rows, more_columns, k, r):
    """Without the FFN, M is the upsampled output of multi-head attention over windows that stay inside the map."""
    low, high = make_maps(8, (height + more_rows, width + more_columns), (height, width))
    layer = FINE(8, k, r, num_heads=2, ffn_ratio=0).double()
    attention = nn.MultiheadAttention(8, 2, batch_first=True).double()
    attention.load_state_dict({
        'in_proj_weight': torch.cat((layer.q_proj.weight, layer.k_proj.weight, layer.v_proj.weight)),
        'in_proj_bias': torch.cat((layer.q_proj.bias, layer.k_proj.bias, layer.v_proj.bias)),
        'out_proj.weight': layer.out_proj.weight,
        'out_proj.bias': layer.out_proj.bias,
    })
    low_tokens, (rows, columns) = window_means(low, k * r)
    high_tokens, _ = window_means(high, k)
    tokens, _ = attention(low_tokens, high_tokens, high_tokens)
    coarse = tokens.transpose(1, 2).reshape(2, 8, rows, columns)
    modulation = F.interpolate(coarse, size=low.shape[2:], mode='bilinear')
    assert torch.allclose(layer(low, high), low * modulation + low, rtol=1e-9, atol=1e-10)


def window_means(x, size):
    """Tokens (B, N, C) of windows of ``size`` x ``size`` pixels, cut at the border, and how many there are per axis."""
    rows, columns = (-(-side // size) for side in x.shape[2:])
    windows = [x[:, :, i * size:(i + 1) * size, j * size:(j + 1) * size] for i in range(rows) for j in range(columns)]
    return torch.stack([window.mean((2, 3)) for window in windows], 1), (rows, columns)


@pytest.mark.parametrize('memory_format', [torch.contiguous_format, torch.channels_last])
@pytest.mark.parametrize('images', [1, 2])
@pytest.mark.parametrize('ffn_ratio', [0, 2])
def test_modulation_map_has_memory_format_of_low_map(ffn_ratio, images, memory_format):
    low, high = torch.randn(images, 8, 12, 10), torch.randn(images, 8, 6, 5)
    low, high = (x.contiguous(memory_format=memory_format) for x in (low, high))
    assert FINE(8, ffn_ratio=ffn_ratio).modulation_map(low, high).stride() == low.stride()


def test_modulation_option_determines_the_output():
    low, high = make_maps(16, (7, 9), (4, 5))
    layer = FINE(16).double()
    residual = layer(low, high)
    layer.modulation = 'none'
    modulation = layer(low, high)
    layer.modulation = 'direct'
    assert torch.allclose(layer(low, high), low * modulation)
    assert torch.allclose(residual, low * modulation + low)


def test_ffn_is_absent_without_ffn_ratio():
    assert not any(key.startswith(('norm', 'linear')) for key in FINE(16, ffn_ratio=0).state_dict())


def test_published_parameter_count():
    assert sum(p.numel() for p in FINE(256).parameters()) == 527_104


@pytest.mark.parametrize('channels, heads', [(8, 1), (16, 1), (64, 4), (256, 16)])
def test_head_has_16_channels_by_default(channels, heads):
    assert FINE(channels).num_heads == heads


def test_position_embedding_is_added_before_projections():
    low, high = make_maps(16, (8, 8), (4, 4))
    layer = FINE(16, sampling_ratio=1, position_embedding=True).double()
    plain = FINE(16, sampling_ratio=1).double()
    plain.load_state_dict(layer.state_dict())
    assert not torch.allclose(layer(low, high), plain(low, high))


def test_zero_init_is_identity_and_trainable():
    low, high = make_maps(32, (13, 17), (7, 9), torch.float)
    layer = FINE(32, zero_init=True)
    out = layer(low, high)
    assert torch.equal(out, low)
    out.pow(2).sum().backward()
    assert layer.scale.grad.abs().sum() > 0


@pytest.mark.parametrize('kwargs', [dict(attention='softmax', position_embedding=True),
                                    dict(attention='linear', position_embedding=True),
                                    dict(attention='window', pooling='max', high_channels=6),
                                    dict(attention='area', pooling='depthwise', high_channels=6)])
def test_gradients_match_finite_differences(kwargs):
    torch.manual_seed(0)
    layer = FINE(4, **kwargs).double()
    low = torch.randn(1, 4, 8, 3, dtype=torch.double, requires_grad=True)
    high = torch.randn(1, layer.high_channels, 4, 2, dtype=torch.double, requires_grad=True)
    assert torch.autograd.gradcheck(layer, (low, high))


@pytest.mark.parametrize('kwargs, message', [
    (dict(channels=40), 'divisible by 16'),
    (dict(channels=64, num_heads=5), 'num_heads=5'),
    (dict(channels=64, attention='cosine'), "'cosine'"),
    (dict(channels=64, modulation='gate'), "'gate'"),
    (dict(channels=64, pooling='median'), "'median'"),
    (dict(channels=6, num_heads=1, position_embedding=True), 'divisible by 4, got 6'),
    (dict(channels=64, modulation='direct', zero_init=True), "got 'direct'"),
])
def test_invalid_arguments_are_rejected(kwargs, message):
    with pytest.raises(ValueError, match=message):
        FINE(**kwargs)


def test_maps_that_do_not_fit_are_rejected():
    layer = FINE(16).double()
    low, high = make_maps(16, (8, 8), (4, 4))
    with pytest.raises(ValueError, match=r'\(4, 4\) and \(8, 8\)'):
        layer(high, low)
    with pytest.raises(ValueError, match=r'high must have shape \(B, 16, H, W\)'):
        layer(low, high[:, :8])
