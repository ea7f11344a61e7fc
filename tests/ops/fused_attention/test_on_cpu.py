"""The compiled loops of softmax attention against PyTorch's operator in double precision."""
import math

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils.flop_counter import FlopCounterMode

import oracles
from mmxattn.layers import CFSAM, FINE
from mmxattn.ops.compiled import threads
from mmxattn.ops.fused_attention import attention, on_cpu

pytest.importorskip('numba')
pytestmark = pytest.mark.skipif(threads.openmp('GOMP_parallel') is None,
                                reason='PyTorch is linked with another OpenMP')


@pytest.fixture(autouse=True)
def for_all(monkeypatch):
    """On any processor, and for small tensors too."""
    number = torch.get_num_threads()
    monkeypatch.setattr(on_cpu, 'has_wide_registers', lambda: True)
    monkeypatch.setattr(on_cpu, 'A_THREAD', 1)
    yield
    torch.set_num_threads(number)


def tensors(images=1, heads=1, queries=70, keys=70, channels=16):
    torch.manual_seed(0)
    return [torch.randn(images, heads, length, channels) for length in (queries, keys, keys)]


def assert_agrees(q, k, v):
    out, right = on_cpu.run(q, k, v), F.scaled_dot_product_attention(q.double(), k.double(), v.double())
    usual = oracles.relative_error(F.scaled_dot_product_attention(q, k, v), right)
    assert out.dtype == q.dtype and out.shape == right.shape
    assert oracles.relative_error(out, right) <= max(2e-6, 4 * usual)


def gradients(function, q, k, v, grad=None):
    """What a function's gradients are to q, k and v, for a gradient to its output."""
    given = [x.detach().requires_grad_() for x in (q, k, v)]
    out = function(*given)
    if grad is None:
        grad = torch.linspace(-1, 1, out.numel(), dtype=out.dtype).view_as(out)
    return torch.autograd.grad(out, given, grad)


def assert_gradients_agree(q, k, v, grad=None):
    ours, usual = (gradients(function, q, k, v, grad) for function in (on_cpu.run, F.scaled_dot_product_attention))
    exact = gradients(F.scaled_dot_product_attention, *(x.double() for x in (q, k, v)),
                      None if grad is None else grad.double())
    for one, other, right in zip(ours, usual, exact, strict=True):
        assert one.dtype == q.dtype and one.shape == right.shape
        # where there is one key, its weight does not change, and what should be zero is as large as what is rounded
        assert (one - right).norm() <= max(2e-6 * right.norm(), 8 * (other - right).norm(), 1e-5)


@settings(deadline=None, max_examples=40)
@given(st.integers(1, 3), st.integers(1, 3), st.integers(1, 140), st.integers(1, 140), st.sampled_from([16, 32, 48]))
def test_any_shape(images, heads, queries, keys, channels):
    given = tensors(images, heads, queries, keys, channels)
    assert_agrees(*given)
    assert_gradients_agree(*given)


@pytest.mark.parametrize('number', [1, 2, 3])
def test_blocks_that_fetch_their_keys_together(number):
    torch.set_num_threads(number)
    assert_agrees(*tensors(1, 2, 1050, 130, 32))


def test_tokens_of_one_projection():
    """Queries, keys and values that are chunks of the same tokens, as CFSAM has them."""
    tokens = torch.randn(2, 90, 3 * 64)
    q, k, v = (x.unflatten(2, (4, 16)).transpose(1, 2) for x in tokens.chunk(3, dim=2))
    assert_agrees(q, k, v)
    assert_gradients_agree(q, k, v)
    assert on_cpu.run(q, k, v).transpose(1, 2).flatten(2).is_contiguous()


def test_keys_that_all_images_share():
    q, k, v = tensors(3)
    shared = [x[:1].expand(3, -1, -1, -1) for x in (k, v)]
    assert_agrees(q, *shared)
    assert_gradients_agree(q, *shared)


@pytest.mark.parametrize('grad', [
    torch.tensor(2.).expand(2, 3, 70, 16),
    torch.randn(2, 70, 3, 16, generator=torch.Generator().manual_seed(2)).transpose(1, 2),
    torch.randn(2, 3, 16, 70, generator=torch.Generator().manual_seed(2)).transpose(2, 3)
], ids=['one number', 'tokens', 'channels first'])
def test_gradients_to_the_output_in_any_order_of_memory(grad):
    assert_gradients_agree(*tensors(2, 3), grad)


def test_the_same_in_however_many_threads():
    q, k, v = tensors(2, 3, 300, 80)
    outputs = []
    for number in (1, 2, 3, 5, 16):
        torch.set_num_threads(number)
        outputs.append((on_cpu.run(q, k, v), *gradients(on_cpu.run, q, k, v)))
    assert all(torch.equal(*pair) for out in outputs for pair in zip(out, outputs[0], strict=True))


def test_images_do_not_see_each_other():
    def of_sum(q, k, v):
        return gradients(on_cpu.run, q, k, v, torch.ones_like(q))

    q, k, v = tensors(3, 2)
    alone, of_alone = (function(q[1:2], k[1:2], v[1:2]) for function in (on_cpu.run, of_sum))
    for x in (q, k, v):
        x[0] = math.nan
    assert torch.equal(on_cpu.run(q, k, v)[1:2], alone)
    assert all(torch.equal(x[1:2], y) for x, y in zip(of_sum(q, k, v), of_alone, strict=True))


@pytest.mark.parametrize('factor', [1e-3, 30, 1e6, 1e18])
def test_scores_of_any_size(factor):
    """Up to those of which one takes all the weight."""
    q, k, v = tensors(1, 2, 70, 150)
    out, right = on_cpu.run(q * factor, k, v), F.scaled_dot_product_attention(q.double() * factor, k.double(),
                                                                              v.double())
    # scores are rounded, the more the larger they are
    assert torch.isfinite(out).all()
    if factor < 1e6:
        assert_gradients_agree(q * factor, k, v)
        assert oracles.relative_error(out, right) < 1e-4
    else:
        assert (out - right).abs().amax(3).median() < 1e-5


@pytest.mark.parametrize('which', range(3))
@pytest.mark.parametrize('value', [math.nan, math.inf, -math.inf])
def test_what_is_not_finite_is_not_hidden(value, which):
    given = tensors(1, 2, 70, 90)
    given[which][0, 1, 65, 3] = value
    out, right = on_cpu.run(*given), F.scaled_dot_product_attention(*given)
    assert not right.isfinite().all()
    assert torch.equal(out.isnan(), right.isnan())
    assert torch.allclose(out, right, atol=1e-5, equal_nan=True)
    for ours, usual in zip(gradients(on_cpu.run, *given), gradients(F.scaled_dot_product_attention, *given)):
        assert not ours[~usual.isfinite()].isfinite().any()


def test_what_is_left_to_pytorch():
    q, k, v = tensors()
    assert on_cpu.run(q, k, v) is not None
    assert on_cpu.run(q.double(), k.double(), v.double()) is None
    assert on_cpu.run(*(x[..., :15] for x in (q, k, v))) is None
    assert on_cpu.run(*(x.transpose(2, 3).contiguous().transpose(2, 3) for x in (q, k, v))) is None
    assert on_cpu.run(q, k[:, :, :30], v) is None
    assert on_cpu.run(*(x.to('meta') for x in (q, k, v))) is None
    with torch.autocast('cpu'):
        assert on_cpu.run(q, k, v) is None
    with sdpa_kernel(SDPBackend.MATH):
        assert on_cpu.run(q, k, v) is None
    with FlopCounterMode(display=False):
        assert on_cpu.run(q, k, v) is None


@pytest.mark.parametrize('name, value', [('has_wide_registers', lambda: False), ('A_THREAD', 10**9),
                                         ('loaded', lambda module: None)])
def test_where_there_are_no_loops(name, value, monkeypatch):
    q, k, v = tensors()
    monkeypatch.setattr(on_cpu, name, value)
    assert on_cpu.run(q, k, v) is None
    assert torch.equal(attention(q, k, v), F.scaled_dot_product_attention(q, k, v))


def test_a_gradient_that_only_some_want():
    q, k, v = tensors()
    out = on_cpu.run(q, k, v.requires_grad_())
    assert 'Attention' in type(out.grad_fn).__name__
    out.sum().backward()
    # each query's weights sum to one
    assert torch.allclose(v.grad.sum(2), torch.full((1, 1, 16), 70.)) and q.grad is k.grad is None


def test_gradients_of_the_gradients():
    """A penalty on the gradient to the values has a gradient to the queries, and to what they are made of."""
    def of_penalty(function, dtype):
        q, k, v = (x.to(dtype) for x in tensors())
        factor = torch.tensor(2, dtype=dtype, requires_grad=True)
        out = function(q * factor, k, v.requires_grad_())
        gradient, = torch.autograd.grad(out.square().sum(), v, create_graph=True)
        return torch.autograd.grad(gradient.square().sum(), [factor, v])

    with sdpa_kernel(SDPBackend.MATH):
        right = of_penalty(F.scaled_dot_product_attention, torch.double)
    for ours, other in zip(of_penalty(on_cpu.run, torch.float), right, strict=True):
        assert oracles.relative_error(ours, other) < 1e-5


def test_nothing_to_attend():
    q, k, v = tensors(0)
    assert attention(q, k, v).shape == q.shape


@pytest.mark.parametrize('layer, maps', [
    (FINE(32), (torch.randn(2, 32, 17, 21), torch.randn(2, 32, 9, 11))),
    (FINE(32, attention='area'), (torch.randn(2, 32, 17, 21), torch.randn(2, 32, 9, 11))),
    (CFSAM([8, 12], 64, depth=2, num_heads=2).eval(), ([torch.randn(2, 8, 12, 9), torch.randn(2, 12, 6, 5)], )),
], ids=['FINE', 'FINE, area', 'CFSAM'])
@pytest.mark.parametrize('training', [False, True])
def test_layers_go_by_them(layer, maps, training, monkeypatch):
    run, called = on_cpu.run, []
    with torch.set_grad_enabled(training):
        with_loops = layer(*maps)
        monkeypatch.setattr(on_cpu, 'run', lambda *tensors: called.append(run(*tensors)))
        without = layer(*maps)
    assert called and all(out is not None and (out.grad_fn is not None) is training for out in called)
    if isinstance(without, list):
        without, with_loops = (torch.cat([x.flatten() for x in maps]) for maps in (without, with_loops))
    assert oracles.relative_error(with_loops, without) < 1e-5
