"""SCSA's CPU implementation against the layer's reference form."""
import math
import os
import subprocess
import sys

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

import oracles
from mmxattn.layers import SCSA
from mmxattn.ops import scsa as fused
from mmxattn.ops.compiled import load_kernel
from mmxattn.ops.scsa import cpu
from mmxattn.ops.scsa.kernel_args import Stage

pytestmark = pytest.mark.skipif(load_kernel('mmxattn.ops.scsa.cpu_kernels') is None,
                                reason='needs Numba and a PyTorch linked with libgomp')


@pytest.fixture(autouse=True)
def restore_threads():
    threads = torch.get_num_threads()
    yield
    torch.set_num_threads(threads)


def layer_and_input(shape, **arguments):
    """Build a layer in which every parameter matters, and an input."""
    torch.manual_seed(0)
    layer = SCSA(shape[1], **arguments)
    for parameter in layer.parameters():
        torch.nn.init.normal_(parameter)
    return layer, torch.randn(shape).requires_grad_()


def double(layer, x, **arguments):
    """Copy a layer and its input to float64, where the reference form runs."""
    other = SCSA(layer.channels, layer.kernel_sizes, layer.window_size, layer.zero_init).double()
    other.load_state_dict(layer.state_dict())
    return other, x.detach().double().requires_grad_()


def output_and_gradients(layer, x, form=SCSA.forward):
    y = form(layer, x)
    weights = torch.linspace(-1, 1, y.numel(), dtype=y.dtype).view(y.shape)
    grads = torch.autograd.grad(y, [x, *layer.parameters()], weights)
    return dict(zip(['y', 'x', *(name for name, _ in layer.named_parameters())], [y.detach(), *grads]))


def assert_matches_reference(layer, x, tolerance=1e-5):
    """Compare the output and each gradient with float64, as closely as the reference form in float32 is."""
    assert fused.is_supported(x, *layer.fused_args(x))
    found = output_and_gradients(layer, x)
    in_float32 = output_and_gradients(layer, x, SCSA.forward_reference)
    expected = output_and_gradients(*double(layer, x))
    for name, value in expected.items():
        rounding = (in_float32[name] - value).norm().item()
        # A convolution's bias has almost no gradient before a norm of few channels.
        allowed = max(tolerance * (value.norm() + 0.1 * expected['x'].norm()).item(), 8 * rounding)
        torch.testing.assert_close((found[name] - value).norm().item(), 0., rtol=0, atol=allowed, msg=name)


@pytest.mark.parametrize('shape', [
    (2, 8, 9, 5), (2, 16, 7, 7), (1, 16, 25, 42), (5, 8, 14, 14),
    (1, 4, 70, 90),  # 120 windows of one channel per group
    (2, 132, 8, 9), (1, 4, 130, 40), (1, 8, 1, 1), (1, 8, 2, 40), (1, 8, 40, 1), (1, 32, 61, 83)
])
def test_matches_reference(shape):
    assert_matches_reference(*layer_and_input(shape))


@pytest.mark.parametrize('arguments', [
    dict(zero_init=True), dict(kernel_sizes=(3, )), dict(kernel_sizes=(3, 7)), dict(kernel_sizes=(1, 5, 11)),
    dict(window_size=None), dict(window_size=1), dict(window_size=4), dict(kernel_sizes=(1, 3, 5, 7, 9, 33))
])
def test_supported_arguments_match_reference(arguments):
    assert_matches_reference(*layer_and_input((2, 12, 11, 10), **arguments))


@settings(deadline=None, max_examples=30)
@given(st.integers(1, 5), st.integers(1, 9), st.integers(1, 30), st.integers(1, 30))
def test_any_shape_matches_reference(batch, members, height, width):
    if members * min(height, width) > 2:  # norms of two close values consist of rounding errors
        assert_matches_reference(*layer_and_input((batch, 4 * members, height, width)))


@pytest.mark.parametrize('block', [1, 50])
def test_backward_in_small_blocks_matches_reference(block, monkeypatch):
    monkeypatch.setattr(cpu, 'BLOCK', block)
    assert_matches_reference(*layer_and_input((2, 8, 16, 15)))


def test_zero_init_is_exact_identity():
    x = torch.randn(2, 16, 25, 42)
    assert torch.equal(SCSA(16, zero_init=True)(x), x)


@pytest.mark.parametrize('shape', [(1, 16, 90, 80), (3, 16, 60, 50), (6, 256, 14, 14)])
def test_output_does_not_depend_on_number_of_threads(shape):
    layer, x = layer_and_input(shape)
    outputs = []
    for threads in (1, 2, 3, 5, 16):
        torch.set_num_threads(threads)
        outputs.append(layer(x))
    assert all(torch.equal(y, outputs[0]) for y in outputs)


def test_groups_are_split_into_stages_if_threads_would_be_idle():
    fused_stages = (Stage.SMSA, Stage.CHANNELS)
    separate_stages = (Stage.MEANS, Stage.GATES, Stage.POOL, Stage.CHANNELS)
    found = [cpu._stages(num_groups, threads) for num_groups, threads in ((4, 2), (4, 3), (4, 16), (68, 16))]
    assert found == [fused_stages, separate_stages, separate_stages, fused_stages]


def test_images_are_independent():
    layer, x = layer_and_input((3, 8, 9, 10))
    y = layer(x)
    assert torch.equal(y[1:2], layer(x[1:2]))
    other = x.detach().clone()
    other[0] = math.nan
    assert torch.equal(layer(other)[1:], y[1:])


@pytest.mark.parametrize('value', [math.nan, math.inf, -math.inf])
def test_non_finite_values_propagate_as_in_reference(value):
    layer, x = layer_and_input((2, 8, 9, 10))
    x = x.detach()
    x[1, 3, 4, 5] = value
    expected = layer.forward_reference(x)
    assert expected[1].isnan().any()
    assert torch.equal(layer(x).isnan(), expected.isnan())


@pytest.mark.parametrize('scale', [1e-30, 1e15])
def test_extreme_magnitudes_match_reference(scale):
    layer, x = layer_and_input((2, 8, 9, 10))
    y = layer(x * scale)
    assert oracles.relative_error(y, SCSA.forward_reference(*double(layer, x * scale))) < 1e-5


def test_large_logits_match_reference():
    layer, x = layer_and_input((1, 16, 9, 10))
    with torch.no_grad():
        for parameter in (layer.norm_h.weight, layer.norm.weight, layer.q.weight, layer.v.weight):
            parameter.mul_(1000)
    y, expected = layer(x), SCSA.forward_reference(*double(layer, x))
    rounding = oracles.relative_error(layer.forward_reference(x), expected)
    assert y.isfinite().all() and oracles.relative_error(y, expected) <= max(1e-5, 8 * rounding)


def test_unaligned_input_gives_the_same_output():
    layer, x = layer_and_input((2, 8, 8, 8))
    unaligned = torch.empty(x.numel() + 1)[1:].view_as(x).copy_(x.detach())
    assert torch.equal(layer(unaligned), layer(x))


def test_output_is_the_same_with_and_without_gradients():
    layer, x = layer_and_input((2, 8, 9, 10))
    before, y = x.detach().clone(), layer(x)
    with torch.no_grad():
        assert torch.equal(layer(x), y)
    assert torch.equal(x, before)


def test_saves_no_second_map():
    layer, saved = SCSA(128), []
    x = torch.randn(1, 128, 35, 35, requires_grad=True)
    with torch.autograd.graph.saved_tensors_hooks(lambda tensor: saved.append(tensor) or tensor, lambda tensor: tensor):
        layer(x)
    large = [tensor for tensor in saved if tensor.numel() >= x.numel()]
    assert large and all(tensor.data_ptr() == x.data_ptr() for tensor in large)


@pytest.mark.parametrize('channels, window_size, supported', [
    (128, 1, False), (128, 2, True), (96, 1, True), (128, 7, True)
])
def test_large_attention_uses_matrix_products(channels, window_size, supported):
    layer, x = layer_and_input((1, channels, 8, 9), window_size=window_size)
    assert fused.is_supported(x, *layer.fused_args(x)) == supported


def test_without_numba_uses_reference():
    code = ("import sys; sys.modules['numba'] = None; import torch; from mmxattn.layers import SCSA; "
            'layer, x = SCSA(8), torch.randn(1, 8, 5, 5); assert torch.equal(layer(x), layer.forward_reference(x))')
    subprocess.run([sys.executable, '-c', code], check=True)


@pytest.mark.slow
def test_without_writable_cache_compiles_in_memory(tmp_path):
    (tmp_path / 'file').touch()
    code = ('import torch; from mmxattn.layers import SCSA; from mmxattn.ops import scsa; '
            'layer, x = SCSA(8), torch.ones(1, 8, 5, 5); '
            'assert scsa.is_supported(x, *layer.fused_args(x)); layer(x)')
    subprocess.run([sys.executable, '-c', code], check=True,
                   env=dict(os.environ, NUMBA_CACHE_DIR=str(tmp_path / 'file')))


def test_numba_cache_is_keyed_by_source(tmp_path):
    import inspect

    from mmxattn.ops.compiled.jit import source_digest
    from mmxattn.ops.scsa import cpu_kernels
    function = load_kernel('mmxattn.ops.scsa.cpu_kernels').__wrapped__
    assert inspect.getclosurevars(function).nonlocals == {'digest': source_digest(cpu_kernels.__file__)}
    file = tmp_path / 'kernels.py'
    file.write_text('one = 1')
    first = source_digest(str(file))
    (tmp_path / 'helpers.py').write_text('two = 2')
    assert source_digest(str(file)) != first


def test_exp2_and_maximum_match_python():
    jit = pytest.importorskip('mmxattn.ops.compiled.jit')
    for x in np.linspace(-126, 126, 1000, dtype=np.float32):
        assert math.isclose(jit.exp2(x), 2.**float(x), rel_tol=3e-7)
    assert jit.exp2(np.float32(-1e30)) == 2.**-126
    assert jit.maximum(np.array([1, 3, 2], np.float32)) == 3
