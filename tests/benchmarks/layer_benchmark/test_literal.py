"""The literal forms compute what the layers compute, and what the slow oracles do."""

import pytest
import torch
from torch.utils._pytree import tree_leaves

import oracles
from benchmarks.layer_benchmark import literal, select
from mmxattn.layers import CFSAM, FINE, SCSA, CrossLayerAttention


def drawn(layer):
    """In float64, with parameters that are nowhere 0 or 1."""
    torch.manual_seed(0)
    for parameter in layer.parameters():
        torch.nn.init.normal_(parameter, std=0.5)
    return layer.double()


def maps(*shapes):
    torch.manual_seed(1)
    return [torch.randn(shape, dtype=torch.double, requires_grad=True) for shape in shapes]


def assert_same(ours, theirs, layer, inputs):
    """Values, and gradients to inputs and parameters."""
    found = []
    for form in (ours, theirs):
        outputs = tree_leaves(form)
        loss = sum((x * torch.linspace(-1, 1, x.numel(), dtype=x.dtype).view_as(x)).sum() for x in outputs)
        found.append([*outputs, *torch.autograd.grad(loss, [*inputs, *layer.parameters()])])
    for a, b in zip(*found):
        assert torch.allclose(a, b, rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize('size', [(9, 15), (3, 20), (1, 1)])
def test_scsa(size):
    layer, (x, ) = drawn(SCSA(12)), maps((2, 12, *size))
    form = literal.scsa(layer, x)
    assert_same(layer(x), form, layer, [x])
    assert torch.allclose(form, oracles.scsa(layer, x), rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize('kernel_size', [1, 2])
def test_fine(kernel_size):
    layer, (low, high) = drawn(FINE(32, kernel_size)), maps((2, 32, 9, 13), (2, 32, 5, 7))
    form = literal.fine(layer, low, high)
    assert_same(layer(low, high), form, layer, [low, high])
    assert torch.allclose(form, oracles.fine(layer, low, high), rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize('tokens_per_part', [None, 7])
def test_cfsam(tokens_per_part):
    layer = drawn(CFSAM([6, 8], channels=16, depth=2, tokens_per_part=tokens_per_part))
    inputs = maps((2, 6, 5, 7), (2, 8, 3, 3))  # 44 tokens: two parts, or seven that they do not fill
    assert_same(layer(inputs), literal.cfsam(layer, inputs), layer, inputs)


def test_cfsam_between_its_convolutions_is_the_oracle():
    layer = drawn(CFSAM([16], channels=16))
    local, layer.fusion = layer.local[0], torch.nn.Linear(32, 32, bias=False).double()
    local.conv3x3, local.norm, local.act = torch.nn.Identity(), torch.nn.Identity(), torch.nn.Identity()
    for weight in (local.conv1x1.weight, layer.fusion.weight):
        torch.nn.init.eye_(weight.data.flatten(1))
    torch.nn.init.zeros_(local.conv1x1.bias)
    x, = maps((2, 16, 4, 5))
    layer.restore[0] = torch.nn.Identity()
    tokens = x.flatten(2).transpose(1, 2)
    out, = literal.cfsam(layer, [x])
    expected = torch.cat((tokens, oracles.cfsam_global(layer, tokens, parts=2)), 2).transpose(1, 2)
    assert torch.allclose(out.flatten(2), expected, rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize('patch_size', [1, 2, 3])
def test_cla(patch_size):
    layer = drawn(CrossLayerAttention(3, 5, 4, patch_size))
    inputs = maps((2, 3, 7, 8), (2, 5, 4, 3), (2, 4, 4, 3))
    form = literal.cla(layer, *inputs)
    assert_same(layer(*inputs), form, layer, inputs)
    assert torch.allclose(form, oracles.cla(layer, *inputs), rtol=1e-9, atol=1e-12)


def test_the_cases_are_those_of_the_models():
    titles = [f'{case.layer} {case.title}' for case in select()]
    assert len(titles) == len(set(titles)) == 8 + 2 + 1 + 8
    assert titles[0] == 'SCSA 32x64x56x56' and 'SCSA 1x512x25x42' in titles
    quadratic, = select(['CLA'], 'levels 2 and 3, patch_size=1')
    assert min(quadratic.needs) >= 64**2 * 32**2 * (320 + 256)
    module, inputs = select(['CLA'], 'levels 1 and 4')[0].build()
    assert [x.shape[1:] for x in inputs] == [(64, 128, 128), (512, 16, 16), (256, 16, 16)]
    assert module(*inputs).shape == (1, 256, 128, 128)


@pytest.mark.parametrize('arguments, told', [
    ((['SCSA', 'ABC'], ), "no layer 'ABC' to time: take some of SCSA, FINE, CFSAM, CLA"),
    ((['SCSA'], '3x3'), "No case of SCSA has '3x3' in its title; these are there:\n  32x64x56x56"),
])
def test_what_is_not_there_is_told_with_what_is(arguments, told):
    with pytest.raises(ValueError, match=told):
        select(*arguments)
