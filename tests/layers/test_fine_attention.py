"""The attentions of Table 3 against loops over windows and stripes, the poolings of Table 6, and Eq. 10."""
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from mmxattn.layers import FINE
from mmxattn.layers.fine_attention import area_attention, window_attention
from mmxattn.profiling.complexity import count_macs


def make_tokens(grid, heads=2, dim=3):
    return torch.randn(2, heads, grid[0] * grid[1], dim, dtype=torch.double)


def attend(q, k, v):
    return (q @ k.transpose(-1, -2) / q.shape[-1]**0.5).softmax(-1) @ v


@given(st.integers(1, 16), st.integers(1, 16), st.sampled_from([1, 3, 7]))
@settings(max_examples=30, deadline=None)
def test_window_attention_matches_loop(height, width, window):
    torch.manual_seed(0)
    q, k, v = (make_tokens((height, width)) for _ in range(3))
    out = window_attention(q, k, v, (height, width), window).unflatten(2, (height, width))
    q, k, v = (x.unflatten(2, (height, width)) for x in (q, k, v))
    for top in range(0, height, window):
        for left in range(0, width, window):
            cut = [x[:, :, top:top + window, left:left + window] for x in (q, k, v, out)]
            *qkv, found = (x.flatten(2, 3) for x in cut)
            assert torch.allclose(found, attend(*qkv))


@given(st.integers(1, 12), st.integers(1, 5), st.integers(0, 12), st.integers(0, 5), st.integers(1, 6))
@settings(max_examples=30, deadline=None)
def test_area_attention_matches_loop(height, width, more_rows, more_columns, areas):
    torch.manual_seed(0)
    low, high = (height + more_rows, width + more_columns), (height, width)
    q, k, v = make_tokens(low), make_tokens(high), make_tokens(high)
    out = area_attention(q, k, v, low, high, areas).unflatten(2, low)
    q, k, v = q.unflatten(2, low), k.unflatten(2, high), v.unflatten(2, high)
    areas = min(areas, height)
    seen = 0
    for i in range(areas):
        rows, high_rows = (slice(h * i // areas, h * (i + 1) // areas) for h in (low[0], high[0]))
        stripe = q[:, :, rows].flatten(2, 3), k[:, :, high_rows].flatten(2, 3), v[:, :, high_rows].flatten(2, 3)
        assert torch.allclose(out[:, :, rows].flatten(2, 3), attend(*stripe))
        seen += stripe[0].shape[2]
    assert seen == low[0] * low[1]


def test_window_sees_only_its_region_of_the_high_map():
    torch.manual_seed(0)
    layer = FINE(16, sampling_ratio=1, attention='window', modulation='none')
    low, high = torch.randn(1, 16, 28, 28), torch.randn(1, 16, 14, 14)
    other = high.clone()
    other[:, :, :3, :3] += 1
    changed = (layer(low, high) != layer(low, other)).any(1)[0]
    assert changed[:7, :7].all() and not changed[7:].any() and not changed[:, 7:].any()


@given(st.sampled_from(['softmax', 'window', 'area', 'linear']), st.sampled_from(['average', 'max', 'depthwise']),
       st.integers(1, 9), st.integers(1, 9), st.integers(0, 9), st.integers(0, 9), st.sampled_from([1, 2, 3]),
       st.sampled_from([1, 2, 4]), st.sampled_from([4, 8, 12]))
@settings(max_examples=40, deadline=None)
def test_every_parameter_gets_a_gradient_at_any_size(attention, pooling, height, width, more_rows, more_columns, k,
                                                         r, high_channels):
    torch.manual_seed(0)
    low = torch.randn(2, 8, height + more_rows, width + more_columns)
    high = torch.randn(2, high_channels, height, width)
    layer = FINE(8, k, r, num_heads=2, attention=attention, pooling=pooling, high_channels=high_channels)
    out = layer(low, high)
    assert out.shape == low.shape and out.isfinite().all()
    out.pow(2).sum().backward()
    assert all(p.grad is not None and p.grad.isfinite().all() for p in layer.parameters())
    # linear attention of a single token depends on signs alone, which may cancel
    one_token = low.shape[2] <= k * r and low.shape[3] <= k * r
    assert layer.v_proj.weight.grad.any() or (attention == 'linear' and one_token)


def test_high_map_with_other_channels_is_projected():
    torch.manual_seed(0)
    layer, equal = FINE(16, high_channels=24), FINE(16)
    equal.load_state_dict({k: v for k, v in layer.state_dict().items() if not k.startswith('high_proj')})
    low, high = torch.randn(1, 16, 8, 8), torch.randn(1, 24, 4, 4)
    assert torch.equal(layer(low, high), equal(low, layer.high_proj(high)))  # Eq. 10
    assert set(FINE(16, high_channels=16).state_dict()) == set(equal.state_dict())


def test_depthwise_pooling_with_equal_weights_is_average_pooling():
    torch.manual_seed(0)
    layer, mean = FINE(16, 2, pooling='depthwise').double(), FINE(16, 2).double()
    missing, unexpected = layer.load_state_dict(mean.state_dict(), strict=False)
    assert sorted(missing) == ['high_pool.weight', 'low_pool.weight'] and not unexpected
    for pool in (layer.low_pool, layer.high_pool):
        torch.nn.init.constant_(pool.weight, 1 / pool.weight[0].numel())
    low, high = torch.randn(1, 16, 8, 12, dtype=torch.double), torch.randn(1, 16, 4, 6, dtype=torch.double)
    assert torch.allclose(layer(low, high), mean(low, high))


def test_published_parameter_count_of_depthwise_pooling():
    """Table 6: 6.14K parameters for the two modules of an FPN."""
    layers = [FINE(256, k, pooling='depthwise') for k in (1, 2)]
    assert sum(p.numel() for layer in layers for name, p in layer.named_parameters() if 'pool' in name) == 6144


@pytest.mark.parametrize('kernel_sizes, kwargs, gflops', [
    ((1, 1), dict(sampling_ratio=1), 17.957),  # published +18.0
    ((1, 1), dict(sampling_ratio=1, attention='window'), 8.831),  # +8.9
    ((1, 1), dict(sampling_ratio=1, attention='area'), 9.601),  # +10.0
    ((1, 1), dict(sampling_ratio=1, attention='linear'), 6.898),  # +7.0
    ((1, 2), dict(), 1.167),  # +1.2
])
def test_published_operations_of_table_3(kernel_sizes, kwargs, gflops):
    """Two operations per multiply-add, in the two fusions of RT-DETR at 640x640."""
    macs = 0
    for k, side in zip(kernel_sizes, (20, 40)):
        with torch.device('meta'):
            layer, maps = FINE(256, k, **kwargs), [torch.empty(1, 256, n, n) for n in (2 * side, side)]
        macs += count_macs(lambda layer=layer, maps=maps: layer(*maps))
    assert 2 * macs / 1e9 == pytest.approx(gflops, abs=5e-4)
