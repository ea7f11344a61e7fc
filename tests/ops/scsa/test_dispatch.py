"""Where SCSA takes the form without PyTorch's operators."""
import pytest
import torch
from torch.autograd import forward_ad
from torch.utils.flop_counter import FlopCounterMode

from mmxattn.layers import SCSA
from mmxattn.ops.scsa import fused_scsa, without_kernels

pytest.importorskip('numba')


@pytest.fixture
def layer():
    torch.manual_seed(0)
    return SCSA(8).eval().requires_grad_(False)


def test_a_cpu_has_loops_unless_they_are_switched_off(layer):
    x = torch.randn(2, 8, 9, 5)
    y = fused_scsa(layer, x)
    assert torch.equal(layer(x), y)
    with without_kernels():
        assert fused_scsa(layer, x) is None
        assert torch.allclose(layer(x), y, atol=1e-6)
    assert torch.equal(layer(x), y)
    for unlike in (x.double(), x.contiguous(memory_format=torch.channels_last), x.to('meta')):
        assert fused_scsa(layer, unlike) is None


@pytest.mark.parametrize('arguments', [
    dict(spatial=False), dict(channel=False), dict(channel_first=True), dict(shared=False), dict(norm='BN'),
    dict(norm='LN'), dict(norm=None), dict(norm_first=True), dict(num_heads=2), dict(scale='pixels')
])
def test_ablations_have_none(arguments):
    ablation = SCSA(8, **arguments).eval().requires_grad_(False)
    assert not ablation.as_published and fused_scsa(ablation, torch.randn(1, 8, 5, 5)) is None


def test_counters_of_operators_see_them(layer):
    x = torch.randn(1, 8, 9, 5)
    with FlopCounterMode(display=False) as counter:
        layer(x)
    assert counter.get_total_flops() > 0


@pytest.mark.filterwarnings('ignore::torch.jit.TracerWarning')
def test_traces_hold_operators(layer):
    x, other = torch.randn(1, 8, 9, 5), torch.randn(1, 8, 9, 5)
    traced = torch.jit.trace(layer, x)
    assert torch.allclose(traced(other), layer(other), atol=1e-6)


def test_transforms_and_forward_mode_gradients_see_operators(layer):
    x, taken = torch.randn(3, 2, 8, 9, 5), []

    def note(images):
        taken.append(fused_scsa(layer, images))
        return images

    torch.func.vmap(note)(x)
    torch.func.jvp(note, (x[0], ), (x[1], ))
    with forward_ad.dual_level():
        note(forward_ad.make_dual(x[0], x[1]))
    assert taken == [None] * 3 and fused_scsa(layer, x[0]) is not None


def test_tensors_of_other_classes(layer):
    class Image(torch.Tensor):
        pass

    x = torch.randn(1, 8, 9, 5)
    y = layer(x.as_subclass(Image))
    assert type(y) is Image and torch.allclose(y.as_subclass(torch.Tensor), layer(x), atol=1e-6)
