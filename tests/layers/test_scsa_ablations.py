"""SCSA's Table 1: each ablation against its definition, channel group by channel group and head by head."""
import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st
from torch._dynamo.testing import CompileCounter

import oracles
from mmxattn.layers import SCSA

ABLATIONS = {
    'as published': dict(),
    'without SMSA': dict(spatial=False),
    'without PCSA': dict(channel=False),
    'PCSA first': dict(channel_first=True),
    'norm first': dict(norm_first=True),
    'without norm': dict(norm=None),
    'BN': dict(norm='BN'),
    'LN': dict(norm='LN'),
    'BN first': dict(norm='BN', norm_first=True),
    'without progressive compression': dict(window_size=None),
    'multi-head': dict(num_heads=4),
    'unshared': dict(shared=False),
    'scale of pixels': dict(scale='pixels'),
    'G1(3)': dict(kernel_sizes=(3, )),
    'G1(7)': dict(kernel_sizes=(7, )),
    'G2(3,7)': dict(kernel_sizes=(3, 7)),
    'six groups': dict(kernel_sizes=(1, 3, 5, 7, 9, 11)),
    'all at once': dict(channel_first=True, norm='LN', norm_first=True, shared=False, num_heads=3, scale='pixels',
                        kernel_sizes=(5, 3, 1), window_size=3),
}
EVERY_ABLATION = pytest.mark.parametrize('name', ABLATIONS)
CHANNELS = 12


def make(name, **arguments):
    torch.manual_seed(0)
    layer = SCSA(CHANNELS, **ABLATIONS[name], **arguments)
    with torch.no_grad():  # errors in an affine would not show at its initial value
        for norm in layer.modules():
            if isinstance(norm, (torch.nn.GroupNorm, torch.nn.BatchNorm1d, torch.nn.LayerNorm)):
                norm.weight.uniform_(0.5, 2)
                norm.bias.uniform_(-1, 1)
    return layer


def standardize(x, axes):
    mean, var = x.mean(axes, keepdim=True), x.var(axes, keepdim=True, unbiased=False)
    return (x - mean) / (var + 1e-5).sqrt()


def smsa(layer, x, kernel_sizes, norm, norm_first, shared):
    """Eq. 1 to 7: each group separately, convolutions as sums over taps, norms by their definitions."""
    groups = len(kernel_sizes)

    def normed(sequence, affine):
        if norm is None:
            return sequence
        if norm == 'GN':
            sequence = torch.cat([standardize(part, (1, 2)) for part in sequence.chunk(groups, 1)], 1)
        elif norm == 'BN':
            sequence = standardize(sequence, (0, 2))
        else:
            sequence = standardize(sequence, (1, ))
        return sequence * affine.weight[:, None] + affine.bias[:, None]

    def convolved(sequence, suffix):
        names = ['local_dwc', 'global_dwc_s', 'global_dwc_m', 'global_dwc_l', 'global_dwc_4', 'global_dwc_5']
        outs = []
        for part, k, name in zip(sequence.chunk(groups, 1), kernel_sizes, names):
            conv = getattr(layer, name + suffix)
            padded = F.pad(part, (k // 2, k // 2))
            taps = [padded[:, :, i:i + part.shape[2]] * conv.weight[:, 0, i, None] for i in range(k)]
            outs.append(sum(taps) + conv.bias[:, None])
        return torch.cat(outs, 1)

    gates = []
    for sequence, affine, suffix in ((x.mean(3), layer.norm_h if norm else None, ''),
                                     (x.mean(2), layer.norm_w if norm else None, '' if shared else '_w')):
        sequence = convolved(normed(sequence, affine), suffix) if norm_first else \
            normed(convolved(sequence, suffix), affine)
        gates.append(torch.sigmoid(sequence))
    return x * gates[0][:, :, :, None] * gates[1][:, :, None, :]


def pcsa(layer, x, window_size, num_heads, scale):
    """Eq. 8 to 12, head by head. Head j has channels j, j + heads, j + 2 heads and so on."""
    size = x.shape[2:] if window_size is None else [min(window_size, side) for side in x.shape[2:]]
    pooled = standardize(F.avg_pool2d(x, size), (1, 2, 3)) * layer.norm.weight.view(-1, 1, 1)
    pooled = (pooled + layer.norm.bias.view(-1, 1, 1)).flatten(2)
    q, k, v = (pooled * projection.weight.view(-1, 1) for projection in (layer.q, layer.k, layer.v))
    gates = torch.empty(x.shape[:2], dtype=x.dtype)
    for head in range(num_heads):
        own = slice(head, None, num_heads)
        width = x.shape[1] // num_heads if scale == 'channels' else pooled.shape[2]
        attention = torch.softmax(q[:, own] @ k[:, own].transpose(1, 2) / width**0.5, 2)
        gates[:, own] = torch.sigmoid((attention @ v[:, own]).mean(2))
    return x * gates[:, :, None, None]


def by_definition(layer, x, kernel_sizes=(3, 5, 7, 9), window_size=7, spatial=True, channel=True, channel_first=False,
            shared=True, norm='GN', norm_first=False, num_heads=1, scale='channels'):
    parts = []
    if spatial:
        parts.append(lambda x: smsa(layer, x, kernel_sizes, norm, norm_first, shared))
    if channel:
        parts.append(lambda x: pcsa(layer, x, window_size, num_heads, scale))
    for part in reversed(parts) if channel_first else parts:
        x = part(x)
    return x


@EVERY_ABLATION
@given(height=st.integers(1, 24), width=st.integers(2, 24))
@settings(max_examples=6, deadline=None)
def test_matches_definition(name, height, width):
    layer = make(name).double()
    x = torch.randn(2, CHANNELS, height, width, dtype=torch.double)
    torch.testing.assert_close(layer(x), by_definition(layer, x, **ABLATIONS[name]))


@EVERY_ABLATION
def test_every_parameter_gets_a_gradient(name):
    layer = make(name).double()
    x = torch.randn(2, CHANNELS, 15, 9, dtype=torch.double, requires_grad=True)
    layer(x).square().sum().backward()
    for key, parameter in layer.named_parameters():
        assert parameter.grad.isfinite().all() and parameter.grad.any(), key
    assert x.grad.isfinite().all()


@EVERY_ABLATION
def test_zero_init_is_identity_and_trainable(name):
    torch.manual_seed(0)
    layer = SCSA(CHANNELS, zero_init=True, **ABLATIONS[name])
    x = torch.randn(2, CHANNELS, 20, 13)
    assert torch.equal(layer(x), x)
    layer.reset_parameters()
    assert torch.equal(layer(x), x)
    layer(x).square().sum().backward()
    for module in layer.last_affines():
        assert any(parameter.grad.abs().sum() > 0 for parameter in module.parameters())


@EVERY_ABLATION
@pytest.mark.parametrize('dtype', [torch.bfloat16, torch.float16])
def test_autocast_preserves_dtype_and_is_accurate(name, dtype):
    layer = make(name)
    x = torch.randn(2, CHANNELS, 28, 30)
    expected = layer(x)
    with torch.autocast('cpu', dtype=dtype):
        out = layer(x.to(dtype))
    assert out.dtype == dtype
    assert oracles.relative_error(out.double(), expected) < 8 * torch.finfo(dtype).eps


@EVERY_ABLATION
def test_compiles_to_one_graph(name):
    torch._dynamo.reset()
    layer = make(name).eval()
    x = torch.randn(2, CHANNELS, 15, 20)
    graphs = CompileCounter()
    compiled = torch.compile(layer, fullgraph=True, backend=graphs)
    torch.testing.assert_close(compiled(x), layer(x))
    assert graphs.frame_count == 1


@pytest.mark.parametrize('arguments, per_channel', [
    (dict(), 16),  # 7 for convolutions and biases, 4 and 2 for norms, 3 for q, k, v
    (dict(spatial=False), 5),
    (dict(channel=False), 11),
    (dict(shared=False), 23),
    (dict(norm=None), 12),
    (dict(norm='BN'), 16),
    (dict(norm='LN'), 16),
    (dict(kernel_sizes=(3, )), 13),
    (dict(kernel_sizes=(7, )), 17),
    (dict(kernel_sizes=(3, 7)), 15),
    (dict(window_size=None, num_heads=8, scale='pixels', norm_first=True, channel_first=False), 16),
])
def test_parameters_per_channel(arguments, per_channel):
    assert sum(p.numel() for p in SCSA(64, **arguments).parameters()) == 64 * per_channel


@pytest.mark.parametrize('arguments, message', [
    (dict(kernel_sizes=()), r'kernel_sizes must be odd ints .*, got \(\)'),
    (dict(kernel_sizes=(3, 5, 7, 9, 11)), 'channels=12 and 5 kernel sizes'),
    (dict(num_heads=5), 'channels=12 and num_heads=5'),
    (dict(norm='IN'), "norm must be one of .*, got 'IN'"),
    (dict(scale='sqrt'), "scale must be one of .*, got 'sqrt'"),
    (dict(spatial=False, channel=False), 'spatial=False, channel=False'),
    (dict(spatial=False, channel_first=True), 'spatial=False, channel=True, channel_first=True'),
    (dict(norm=None, norm_first=True), 'norm_first=True requires a norm'),
])
def test_invalid_arguments_raise(arguments, message):
    with pytest.raises(ValueError, match=message):
        SCSA(CHANNELS, **arguments)
