import pytest
import torch
import torch.nn.functional as F
from torch import nn

from mmxattn.ops.token_linear import TokenLinear


@pytest.mark.parametrize('bias', [True, False])
@pytest.mark.parametrize('shape', [(1, 1, 8), (2, 7, 8), (3, 0, 8), (0, 5, 8)])
def test_is_nn_linear(shape, bias):
    torch.manual_seed(0)
    layer, x = TokenLinear(8, 12, bias=bias), torch.randn(shape, requires_grad=True)
    found = []
    for form in (layer, lambda x: F.linear(x, layer.weight, layer.bias)):
        out = form(x)
        assert out.shape == (*shape[:2], 12) and out.is_contiguous()
        found.append([out, *torch.autograd.grad(out.pow(2).sum(), [x, *layer.parameters()])])
    for ours, theirs in zip(*found):
        assert torch.allclose(ours, theirs, atol=1e-4)


def test_has_its_parameters():
    ours, theirs = TokenLinear(8, 12), nn.Linear(8, 12)
    theirs.load_state_dict(ours.state_dict())
    assert isinstance(ours, nn.Linear)


def test_tokens_that_are_a_transposed_map():
    torch.manual_seed(0)
    layer, x = TokenLinear(8, 12), torch.randn(2, 8, 5).transpose(1, 2)
    assert torch.allclose(layer(x), F.linear(x, layer.weight, layer.bias), atol=1e-5) and layer(x).is_contiguous()


@pytest.mark.parametrize('dtype', [torch.double, torch.bfloat16])
def test_other_numbers(dtype):
    torch.manual_seed(0)
    layer, x = TokenLinear(8, 12).to(dtype), torch.randn(2, 5, 8, dtype=dtype)
    assert torch.equal(layer(x), F.linear(x, layer.weight, layer.bias))
