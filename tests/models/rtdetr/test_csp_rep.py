import pytest
import torch
from torch import nn

from mmxattn.models.rtdetr.csp_rep import CSPRepLayer


@pytest.mark.parametrize('expansion', [1.0, 0.5])
def test_agrees_with_the_paper(expansion):
    """Fig. 4: two 1x1 convolutions, RepBlocks on the first, their sum; a third 1x1 convolution if channels differ."""
    torch.manual_seed(0)
    layer = CSPRepLayer(12, 8, num_blocks=2, expansion=expansion)
    layer.train(False)
    x = torch.randn(2, 12, 5, 7)
    first = layer.conv1(x)
    for block in layer.bottlenecks:
        first = torch.nn.functional.silu(block.conv1(first) + block.conv2(first))
    expected = first + layer.conv2(x)
    assert isinstance(layer.conv3, nn.Identity) == (expansion == 1)
    if expansion != 1:
        expected = layer.conv3(expected)
    assert torch.allclose(layer(x), expected, atol=1e-6)
    assert layer(x).shape == (2, 8, 5, 7)


@pytest.mark.parametrize('expansion, parameters', [
    # convolutions: two of 512 -> C, three blocks of 10 C^2, one of C -> 256; two parameters per channel of each norm
    (1.0, 2 * 512 * 256 + 3 * 10 * 256**2 + 2 * 256 * (2 + 6)),
    (0.5, 2 * 512 * 128 + 3 * 10 * 128**2 + 128 * 256 + 2 * 128 * (2 + 6) + 2 * 256),
])
def test_parameters_of_both_released_widths(expansion, parameters):
    assert sum(p.numel() for p in CSPRepLayer(512, 256, expansion=expansion).parameters()) == parameters


def test_every_parameter_gets_a_gradient():
    layer = CSPRepLayer(6, 4, expansion=0.5)
    (layer(torch.randn(2, 6, 5, 5)) * torch.randn(2, 4, 5, 5)).sum().backward()
    assert all(p.grad is not None and p.grad.any() for p in layer.parameters())
