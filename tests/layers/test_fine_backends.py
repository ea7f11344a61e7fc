"""The checks of test_backends.py for the variants of FINE and its baselines."""
import pytest
import torch
from torch._dynamo.testing import CompileCounter

import oracles
from mmxattn.layers import FINE
from mmxattn.layers.baselines import MGC, SNI, AdaFPNAlignment


class TwoLevels(torch.nn.Module):
    """MGC as a layer with a low and a high map."""

    def __init__(self, channels):
        super().__init__()
        self.mgc = MGC([channels] * 2, channels)

    def forward(self, low, high):
        return tuple(self.mgc((low, high), (low, high)))


LAYERS = pytest.mark.parametrize('make', [
    pytest.param(lambda: FINE(32, sampling_ratio=1, attention='window'), id='window'),
    pytest.param(lambda: FINE(32, sampling_ratio=1, attention='area'), id='area'),
    pytest.param(lambda: FINE(32, 2, attention='linear', pooling='max'), id='linear, max pooling'),
    pytest.param(lambda: FINE(32, 2, pooling='depthwise', high_channels=32), id='depthwise pooling'),
    pytest.param(lambda: SNI(32), id='SNI'),
    pytest.param(lambda: AdaFPNAlignment(32), id='AdaFPN'),
    pytest.param(lambda: TwoLevels(32), id='MGC'),
])


def maps(**where):
    torch.manual_seed(0)
    return torch.randn(2, 32, 13, 10, **where), torch.randn(2, 32, 7, 5, **where)


def flat(outputs):
    return torch.cat([x.flatten() for x in outputs]) if isinstance(outputs, tuple) else outputs.flatten()


@LAYERS
def test_compiles_to_one_graph(make):
    torch._dynamo.reset()
    layer, graphs = make().eval(), CompileCounter()
    compiled = torch.compile(layer, fullgraph=True, backend=graphs)
    assert torch.allclose(flat(compiled(*maps())), flat(layer(*maps())), atol=1e-5)
    assert graphs.frame_count == 1


@LAYERS
def test_runs_on_meta_device(make):
    layer = make().to('meta')
    out = flat(layer(*maps(device='meta', requires_grad=True)))
    out.sum().backward()
    assert all(parameter.grad is not None for parameter in layer.parameters())


@LAYERS
@pytest.mark.parametrize('dtype', [torch.bfloat16, torch.float16])
def test_autocast_is_close(make, dtype):
    layer = make().eval()
    right = flat(layer(*maps()))
    with torch.autocast('cpu', dtype=dtype):
        out = flat(layer(*maps(requires_grad=True)))
    assert oracles.relative_error(out.double(), right) < 8 * torch.finfo(dtype).eps
    out.float().pow(2).sum().backward()
    assert all(parameter.grad.isfinite().all() for parameter in layer.parameters())
