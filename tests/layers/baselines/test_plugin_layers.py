"""SCSA's baselines against references written from their papers."""
import math

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st
from torch._dynamo.testing import CompileCounter
from torch.export import Dim

import oracles
from exports import through_onnx
from mmxattn.layers.baselines import CA, CBAM, CPCA, ECA, ELA, EMA, FCA, SA, SE
from mmxattn.layers.baselines.fca import TOP_16, cosine_waves

BASELINES = (SE, CBAM, ECA, FCA, CA, SA, EMA, CPCA, ELA)
EVERY_BASELINE = pytest.mark.parametrize('baseline', BASELINES, ids=lambda baseline: baseline.__name__)
CHANNELS = 64


def make(baseline, channels=CHANNELS, **arguments):
    """In double precision, with random parameters."""
    torch.manual_seed(0)
    layer = baseline(channels, **arguments).double()
    for parameter in layer.parameters():
        torch.nn.init.normal_(parameter, std=0.5)
    return layer.eval()


def weight(conv):
    """A 1x1 convolution's matrix."""
    return conv.weight.flatten(1)


def se(layer, x):
    hidden = x.mean((2, 3)) @ weight(layer.gate.fc1).T
    norm = layer.gate.bn
    if isinstance(norm, torch.nn.GroupNorm):
        centred = hidden - hidden.mean(1, keepdim=True)
        hidden = centred / (centred.pow(2).mean(1, keepdim=True) + 1e-5).sqrt() * norm.weight + norm.bias
    gate = torch.sigmoid(hidden.clamp(min=0) @ weight(layer.gate.fc2).T)
    return x * gate[:, :, None, None]


def cbam(layer, x):
    channel, spatial = layer.gates.channel, layer.gates.spatial.conv
    means, maxima = x.mean((2, 3)), x.flatten(2).max(2).values
    logits = sum((v @ weight(channel.fc1).T).clamp(min=0) @ weight(channel.fc2).T for v in (means, maxima))
    x = x * torch.sigmoid(logits)[:, :, None, None]
    maps = torch.stack((x.mean(1), x.max(1).values), 1)
    bn = spatial.bn
    maps = F.conv2d(F.pad(maps, (3, 3, 3, 3)), spatial.conv.weight)
    return x * torch.sigmoid((maps - bn.running_mean) / (bn.running_var + bn.eps).sqrt() * bn.weight + bn.bias)


def eca(layer, x):
    taps = layer.gate.conv.weight.flatten()
    means = F.pad(x.mean((2, 3)), (len(taps) // 2, len(taps) // 2))
    logits = sum(tap * means[:, i:i + x.shape[1]] for i, tap in enumerate(taps))
    return x * torch.sigmoid(logits)[:, :, None, None]


def fca(layer, x):
    size = layer.size
    x_pooled = F.adaptive_avg_pool2d(x, size)
    group = x.shape[1] // len(TOP_16)
    coefficients = torch.empty(x.shape[:2], dtype=x.dtype)
    positions = (torch.arange(size, dtype=x.dtype) + 0.5) / size
    for c in range(x.shape[1]):
        u, v = (frequency * (size // 7) for frequency in TOP_16[c // group])
        wave = torch.cos(math.pi * u * positions)[:, None] * torch.cos(math.pi * v * positions)
        scale = (1 if u == 0 else 2**0.5) * (1 if v == 0 else 2**0.5) / size
        coefficients[:, c] = (x_pooled[:, c] * wave * scale).sum((1, 2))
    gate = torch.sigmoid((coefficients @ layer.fc[0].weight.T).clamp(min=0) @ layer.fc[2].weight.T)
    return x * gate[:, :, None, None]


def ca(layer, x):
    parts, gates = layer.gates, []
    for means, conv in ((x.mean(3), parts.conv_h), (x.mean(2), parts.conv_w)):
        hidden = torch.einsum('oc,bcl->bol', weight(parts.conv1), means) + parts.conv1.bias[:, None]
        bn = parts.bn1
        hidden = (hidden - bn.running_mean[:, None]) / (bn.running_var[:, None] + bn.eps).sqrt()
        hidden = F.hardswish(hidden * bn.weight[:, None] + bn.bias[:, None])
        gates.append(torch.sigmoid(torch.einsum('oc,bcl->bol', weight(conv), hidden) + conv.bias[:, None]))
    return x * gates[0][:, :, :, None] * gates[1][:, :, None]


def sa(layer, x):
    groups = []
    for part in x.chunk(layer.groups, 1):
        first, second = part.chunk(2, 1)
        first = first * torch.sigmoid(layer.cweight * first.mean((2, 3), keepdim=True) + layer.cbias)
        mean, var = second.mean((2, 3), keepdim=True), second.var((2, 3), keepdim=True, unbiased=False)
        affine = layer.norm.weight[:, None, None], layer.norm.bias[:, None, None]
        normed = (second - mean) / (var + 1e-5).sqrt() * affine[0] + affine[1]
        groups += [first, second * torch.sigmoid(layer.sweight * normed + layer.sbias)]
    x = torch.cat(groups, 1)
    half = x.shape[1] // 2
    order = [i // 2 + (i % 2) * half for i in range(x.shape[1])]  # channels alternate between the halves
    return x[:, order]


def ema(layer, x):
    outs = []
    for part in x.chunk(layer.groups, 1):
        rows, columns = (torch.einsum('oc,bcl->bol', weight(layer.conv1x1), means) + layer.conv1x1.bias[:, None]
                         for means in (part.mean(3), part.mean(2)))
        one = part * torch.sigmoid(rows)[:, :, :, None] * torch.sigmoid(columns)[:, :, None]
        mean, var = one.mean((2, 3), keepdim=True), one.var((2, 3), keepdim=True, unbiased=False)
        one = (one - mean) / (var + 1e-5).sqrt() * layer.norm.weight[:, None, None] + layer.norm.bias[:, None, None]
        three = F.conv2d(part, layer.conv3x3.weight, layer.conv3x3.bias, padding=1)
        of_one, of_three = (torch.softmax(y.mean((2, 3)), 1) for y in (one, three))
        logits = torch.einsum('bc,bchw->bhw', of_one, three) + torch.einsum('bc,bchw->bhw', of_three, one)
        outs.append(part * torch.sigmoid(logits)[:, None])
    return torch.cat(outs, 1)


def cpca(layer, x):

    def mix(x):
        return torch.einsum('oc,bchw->bohw', weight(layer.conv), x) + layer.conv.bias[:, None, None]

    def mlp(v):
        hidden = (v @ weight(layer.fc1).T + layer.fc1.bias).clamp(min=0)
        return hidden @ weight(layer.fc2).T + layer.fc2.bias

    def depthwise(conv, x):
        return torch.cat([F.conv2d(x[:, c:c + 1], conv.weight[c:c + 1], conv.bias[c:c + 1], padding=conv.padding)
                          for c in range(x.shape[1])], 1)

    x = F.gelu(mix(x))
    x = x * torch.sigmoid(mlp(x.mean((2, 3))) + mlp(x.flatten(2).max(2).values))[:, :, None, None]
    near = depthwise(layer.local, x)
    total = near
    for along_w, along_h in layer.strips:
        total = total + depthwise(along_h, depthwise(along_w, near))
    return mix(mix(total) * x)


def ela(layer, x):
    gates = []
    for means in (x.mean(3), x.mean(2)):
        taps = layer.conv.weight[:, 0]
        padded = F.pad(means, (3, 3))
        y = sum(taps[:, i, None] * padded[:, :, i:i + means.shape[2]] for i in range(7))
        groups = []
        for part in y.chunk(16, 1):
            mean, var = part.mean((1, 2), keepdim=True), part.var((1, 2), keepdim=True, unbiased=False)
            groups.append((part - mean) / (var + 1e-5).sqrt())
        y = torch.cat(groups, 1) * layer.norm.weight[:, None] + layer.norm.bias[:, None]
        gates.append(torch.sigmoid(y))
    return x * gates[0][:, :, :, None] * gates[1][:, :, None]


REFERENCES = {SE: se, CBAM: cbam, ECA: eca, FCA: fca, CA: ca, SA: sa, EMA: ema, CPCA: cpca, ELA: ela}


@EVERY_BASELINE
@given(height=st.integers(1, 20), width=st.integers(1, 20), channels=st.sampled_from([64, 128]))
@settings(max_examples=6, deadline=None)
def test_agrees_with_reference(baseline, height, width, channels):
    layer = make(baseline, channels)
    x = torch.randn(2, channels, height, width, dtype=torch.double)
    tolerance = 1e-4 if baseline is FCA else 1e-8  # its waves are float32
    assert oracles.relative_error(layer(x), REFERENCES[baseline](layer, x)) < tolerance


def test_se_as_published_has_no_norm():
    layer = make(SE, norm=False)
    x = torch.randn(2, CHANNELS, 5, 7, dtype=torch.double)
    assert torch.allclose(layer(x), se(layer, x))
    assert sum(p.numel() for p in layer.parameters()) == 2 * CHANNELS * CHANNELS // 16


def test_cosine_waves_are_orthonormal():
    waves = cosine_waves(range(7), 7)
    assert torch.allclose(waves @ waves.T, torch.eye(7), atol=1e-6)


@pytest.mark.parametrize('channels, size', [(64, 56), (256, 56), (512, 28), (1024, 14), (2048, 7), (4096, 7)])
def test_fca_pools_to_the_sizes_in_the_paper(channels, size):
    assert FCA(channels).size == size


@pytest.mark.parametrize('channels, parameters', [(64, 6), (128, 6), (256, 12), (512, 24), (2048, 96)])
def test_sa_groups_divide_any_number_of_channels(channels, parameters):
    assert sum(p.numel() for p in SA(channels).parameters()) == parameters


@EVERY_BASELINE
@pytest.mark.parametrize('dtype', [torch.bfloat16, torch.float16])
def test_autocast_keeps_the_dtype_and_is_accurate(baseline, dtype):
    layer = make(baseline).float()
    for parameter in layer.parameters():
        parameter.data *= 0.2
    x = torch.randn(2, CHANNELS, 28, 30)
    right = layer(x)
    half = x.to(dtype).requires_grad_()
    with torch.autocast('cpu', dtype=dtype):
        out = layer(half)
    assert out.dtype == dtype
    assert oracles.relative_error(out.double(), right) < 16 * torch.finfo(dtype).eps
    out.float().square().sum().backward()
    assert all(parameter.grad.isfinite().all() for parameter in layer.parameters())


@EVERY_BASELINE
def test_compiles_without_a_graph_break(baseline):
    torch._dynamo.reset()
    layer = make(baseline).float()
    x = torch.randn(2, CHANNELS, 15, 20)
    graphs = CompileCounter()
    compiled = torch.compile(layer, fullgraph=True, backend=graphs)
    assert torch.allclose(compiled(x), layer(x), atol=1e-5) and graphs.frame_count == 1


@pytest.mark.parametrize('baseline', [SE, ELA])
def test_group_norm_agrees_in_onnxruntime(baseline):
    layer = make(baseline).float()
    shape = {0: Dim.DYNAMIC, 2: Dim.DYNAMIC, 3: Dim.DYNAMIC}
    run = through_onnx(torch.export.export(layer, (torch.randn(2, CHANNELS, 15, 20), ), dynamic_shapes=(shape, )))
    x = torch.randn(3, CHANNELS, 7, 31)
    assert oracles.relative_error(run(x)[0], layer(x)) < 1e-5


@EVERY_BASELINE
def test_does_not_synchronize_with_the_device(baseline):
    """Meta tensors raise an error if their values are read."""
    layer = baseline(CHANNELS).to('meta')
    layer(torch.randn(2, CHANNELS, 15, 20, device='meta', requires_grad=True)).sum().backward()
    assert all(parameter.grad is not None for parameter in layer.parameters())


@pytest.mark.parametrize('build, message', [
    (lambda: FCA(40), 'channels must be divisible by the number of frequencies, got 40 and 16'),
    (lambda: FCA(64, size=10), 'size must be a positive multiple of 7, got 10'),
    (lambda: SA(33), 'channels must be even, got 33'),
    (lambda: EMA(48), 'channels must be divisible by groups, got channels=48 and groups=32'),
    (lambda: ELA(24), 'channels must be divisible by groups, got channels=24 and groups=16'),
])
def test_invalid_arguments_are_refused(build, message):
    with pytest.raises(ValueError, match=message):
        build()
