"""What all layers support: torch.compile, meta tensors, autocast and inference without gradients."""
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


def cla_with_patches(scale, **where):
    return cla(scale, patch_size=2, **where)


LAYERS = pytest.mark.parametrize('make', [scsa, fine, cfsam, cla, cla_with_patches], ids=lambda make: make.__name__)


def flat(outputs):
    """Concatenate all outputs of a layer."""
    return torch.cat([x.flatten() for x in outputs]) if isinstance(outputs, list) else outputs.flatten()


def compile_counted(layer, **options):
    torch._dynamo.reset()
    graphs = CompileCounter()
    return torch.compile(layer, fullgraph=True, backend=graphs, **options), graphs


@LAYERS
def test_compiles_to_one_graph(make):
    torch.manual_seed(0)
    layer, maps = make(1)
    layer.eval()
    compiled, graphs = compile_counted(layer)
    torch.testing.assert_close(flat(compiled(*maps)), flat(layer(*maps)), rtol=1e-5, atol=1e-5)
    assert graphs.frame_count == 1


@LAYERS
def test_other_sizes_need_no_recompilation(make):
    torch.manual_seed(0)
    layer = make(1)[0].eval()
    compiled, graphs = compile_counted(layer, dynamic=True)
    for scale in (2, 3, 4, 5):
        maps = make(scale)[1]
        torch.testing.assert_close(flat(compiled(*maps)), flat(layer(*maps)), rtol=1e-5, atol=1e-5)
    # CFSAM has two graphs: its parts divide the tokens, or the tokens are resampled.
    assert graphs.frame_count <= (2 if make is cfsam else 1)


@LAYERS
def test_meta_tensors(make):
    """Meta tensors have no values, so reading one, which would wait for a GPU, is an error."""
    layer, maps = make(2, device='meta', requires_grad=True)
    out = flat(layer.to('meta')(*maps))
    out.sum().backward()
    assert out.shape == flat(make(2)[0](*make(2)[1])).shape
    assert all(parameter.grad is not None for parameter in layer.parameters())


@LAYERS
@pytest.mark.parametrize('dtype', [torch.bfloat16, torch.float16])
def test_autocast_is_accurate(make, dtype):
    torch.manual_seed(0)
    layer, maps = make(2)
    layer.eval()
    expected = flat(layer(*maps))
    with torch.autocast('cpu', dtype=dtype):
        out = flat(layer(*maps))
    assert oracles.relative_error(out.double(), expected) < 8 * torch.finfo(dtype).eps
    out.float().pow(2).sum().backward()
    assert all(parameter.grad.isfinite().all() for parameter in layer.parameters())


@LAYERS
def test_inference_matches_training_and_keeps_no_graph(make):
    torch.manual_seed(0)
    layer, maps = make(3)
    layer.eval()
    expected = flat(layer(*maps))
    with torch.no_grad():
        out = flat(layer(*maps))
    assert not out.requires_grad
    torch.testing.assert_close(out, expected, rtol=1e-5, atol=1e-5)
