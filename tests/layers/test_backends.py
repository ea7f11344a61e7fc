"""What all layers promise to compilers, to other devices and in short number formats."""

import pytest
import torch
from torch._dynamo.testing import CompileCounter

import oracles
from mmxattn.layers import CFSAM, FINE, SCSA, CrossLayerAttention


def scsa(scale, **where):
    return SCSA(16), (torch.randn(2, 16, 15 * scale, 20 * scale, **where), )


def fine(scale, **where):
    sizes = (12 * scale, 10 * scale), (6 * scale, 5 * scale)
    return FINE(32), [torch.randn(2, 32, *size, **where) for size in sizes]


def cfsam(scale, **where):
    sizes = (8 * scale, 6 * scale), (4 * scale, 3 * scale)
    layer = CFSAM([5, 7], channels=16, depth=1, tokens_per_part=64)
    return layer, ([torch.randn(2, c, *size, **where) for c, size in zip((5, 7), sizes)], )


def cla(scale, patch_size=1, **where):
    fine_size, coarse_size = (12 * scale, 8 * scale), (6 * scale, 4 * scale)
    maps = [torch.randn(2, c, *size, **where) for c, size in ((5, fine_size), (7, coarse_size), (9, coarse_size))]
    return CrossLayerAttention(5, 7, 9, patch_size), maps


def cla_of_patches(scale, **where):
    return cla(scale, patch_size=2, **where)


LAYERS = pytest.mark.parametrize('make', [scsa, fine, cfsam, cla, cla_of_patches], ids=lambda make: make.__name__)


def flat(outputs):
    """All outputs of a layer as one vector."""
    return torch.cat([x.flatten() for x in outputs]) if isinstance(outputs, list) else outputs.flatten()


@LAYERS
def test_is_one_graph_for_a_compiler(make):
    torch.manual_seed(0)
    torch._dynamo.reset()
    layer, maps = make(1)
    layer.eval()
    graphs = CompileCounter()
    compiled = torch.compile(layer, fullgraph=True, backend=graphs)
    assert torch.allclose(flat(compiled(*maps)), flat(layer(*maps)), atol=1e-5)
    assert graphs.frame_count == 1


@LAYERS
def test_a_size_is_not_built_into_the_graph(make):
    torch.manual_seed(0)
    torch._dynamo.reset()
    layer = make(1)[0].eval()
    graphs = CompileCounter()
    compiled = torch.compile(layer, fullgraph=True, backend=graphs, dynamic=True)
    for scale in (2, 3, 4, 5):
        maps = make(scale)[1]
        assert torch.allclose(flat(compiled(*maps)), flat(layer(*maps)), atol=1e-5)
    # CFSAM has two: its parts divide the tokens, or they are resampled
    assert graphs.frame_count <= (2 if make is cfsam else 1)


@LAYERS
def test_waits_for_no_device(make):
    """Tensors without data: to look at a value, as a wait for a GPU does, is an error."""
    layer, maps = make(2, device='meta', requires_grad=True)
    out = flat(layer.to('meta')(*maps))
    out.sum().backward()
    assert out.shape == flat(make(2)[0](*make(2)[1])).shape
    assert all(parameter.grad is not None for parameter in layer.parameters())


@LAYERS
@pytest.mark.parametrize('dtype', [torch.bfloat16, torch.float16])
def test_autocast_is_close(make, dtype):
    torch.manual_seed(0)
    layer, maps = make(2)
    layer.eval()
    right = flat(layer(*maps))
    with torch.autocast('cpu', dtype=dtype):
        out = flat(layer(*maps))
    assert oracles.relative_error(out.double(), right) < 8 * torch.finfo(dtype).eps
    out.float().pow(2).sum().backward()
    assert all(parameter.grad.isfinite().all() for parameter in layer.parameters())


@LAYERS
def test_no_graph_is_kept_in_inference_and_it_computes_the_same(make):
    torch.manual_seed(0)
    layer, maps = make(3)
    layer.eval()
    trained = flat(layer(*maps))
    with torch.no_grad():
        out = flat(layer(*maps))
    assert torch.allclose(out, trained, atol=1e-5) and not out.requires_grad
