"""SCSA's compiled loops against its plain form, in inference."""
import builtins
import copy
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
from mmxattn.ops.compiled import loading
from mmxattn.ops.scsa import cpu as on_cpu
from mmxattn.ops.scsa import kernel_args as cpu_told
from mmxattn.ops.scsa import without_kernels

pytest.importorskip('numba')
pytestmark = pytest.mark.skipif(sys.platform != 'linux', reason='PyTorch has another OpenMP elsewhere')
ERROR = 1e-6


@pytest.fixture(autouse=True)
def inference():
    threads = torch.get_num_threads()
    with torch.no_grad():
        yield
    torch.set_num_threads(threads)


def layer_and_map(shape, **arguments):
    """A layer whose parameters all matter, and a map."""
    torch.manual_seed(0)
    layer = SCSA(shape[1], **arguments).eval()
    for parameter in layer.parameters():
        torch.nn.init.normal_(parameter)
    return layer, torch.randn(shape)


def plain(layer, x):
    with without_kernels():
        return layer(x)


def exact(layer, x):
    """In double precision."""
    return plain(copy.deepcopy(layer).double(), x.double())


def assert_agrees(layer, x, error=ERROR):
    y, right = on_cpu.run(layer, x), exact(layer, x)
    assert y.dtype == x.dtype and y.shape == x.shape and y.is_contiguous()
    rounding = oracles.relative_error(plain(layer, x), right)  # more than usual where scores are large, or norms small
    assert oracles.relative_error(y, right) <= max(error, 4 * rounding)


@pytest.mark.parametrize('shape', [
    (2, 8, 9, 5), (2, 16, 7, 7), (1, 16, 25, 42), (5, 8, 14, 14),
    (1, 4, 70, 90),  # 120 windows of one channel a group
    (2, 132, 8, 9), (1, 4, 130, 40), (1, 8, 1, 1), (1, 8, 2, 40), (1, 8, 40, 1), (1, 32, 61, 83)
])
def test_agrees_with_the_plain_form(shape):
    assert_agrees(*layer_and_map(shape))


@pytest.mark.parametrize('shape', [(2, 8, 9, 5), (3, 16, 7, 7), (1, 4, 70, 90), (1, 8, 1, 2), (1, 32, 61, 83)])
def test_in_place(shape):
    layer, x = layer_and_map(shape)
    right = layer(x)
    layer.inplace, given = True, x.clone()
    assert torch.equal(layer(given), right) and torch.equal(given, right)


def test_in_place_only_where_nobody_needs_what_was_given():
    layer, x = layer_and_map((2, 8, 9, 5), inplace=True)
    given, seen = x.clone(), []
    right = layer(x.clone().requires_grad_())  # its own history may hold it
    hook = layer.register_forward_hook(lambda module, given, out: seen.append((given[0], out)))
    assert torch.equal(layer(given), right) and torch.equal(given, x) and not torch.equal(*seen[0])
    hook.remove()
    with torch.enable_grad():
        layer(given)
        assert torch.equal(given, x)
    layer.train()(given)
    assert torch.equal(given, x)
    with pytest.raises(TypeError, match="inplace='yes' must be True or False"):
        SCSA(8, inplace='yes')


@pytest.mark.parametrize('arguments', [
    dict(zero_init=True), dict(kernel_sizes=(3, 7)), dict(kernel_sizes=(1, 5, 11)), dict(window_size=None),
    dict(window_size=1), dict(window_size=4), dict(kernel_sizes=(1, 3, 5, 7, 9, 33))
])
def test_every_argument_that_is_published(arguments):
    assert_agrees(*layer_and_map((2, 12, 11, 10), **arguments))


@settings(deadline=None, max_examples=50)
@given(st.integers(1, 5), st.integers(1, 9), st.integers(1, 30), st.integers(1, 30))
def test_any_shape(batch, members, height, width):
    if members * min(height, width) > 1:
        norms_of_two = members * min(height, width) == 2  # which are all rounding where the two are close
        assert_agrees(*layer_and_map((batch, 4 * members, height, width)), error=1e-5 if norms_of_two else ERROR)


@pytest.mark.parametrize('name', ['scsa_c32_28x28.npz', 'scsa_c32_17x23.npz'])
def test_agrees_with_the_authors_numbers(name):
    arrays = {key: torch.from_numpy(value) for key, value in np.load(oracles.DATA / name).items()}
    layer = SCSA(32).eval()
    layer.load_state_dict({key[6:]: value for key, value in arrays.items() if key.startswith('param.')})
    assert oracles.relative_error(on_cpu.run(layer, arrays['x0']), arrays['y']) < ERROR


def test_starts_as_the_identity():
    x = torch.randn(2, 16, 25, 42)
    assert torch.equal(on_cpu.run(SCSA(16, zero_init=True).eval(), x), x)


@pytest.mark.parametrize('shape', [(1, 16, 90, 80), (3, 16, 60, 50), (6, 256, 14, 14)])
def test_the_same_in_however_many_threads(shape):
    layer, x = layer_and_map(shape)
    outputs = []
    for threads in (1, 2, 3, 5, 16):
        torch.set_num_threads(threads)
        outputs.append(on_cpu.run(layer, x))
    assert all(torch.equal(y, outputs[0]) for y in outputs)


def test_channel_groups_are_squeezed_at_once_where_that_is_even():
    at_once, one_after_another = (cpu_told.SQUEEZE, cpu_told.EXCITE), (cpu_told.MEANS, cpu_told.GATES, cpu_told.POOL,
                                                                       cpu_told.EXCITE)
    assert on_cpu._stages(groups=4, threads=2) == at_once
    assert on_cpu._stages(groups=4, threads=3) == one_after_another
    assert on_cpu._stages(groups=4, threads=16) == one_after_another
    assert on_cpu._stages(groups=68, threads=16) == at_once


def test_images_do_not_see_each_other():
    layer, x = layer_and_map((3, 8, 9, 10))
    assert torch.equal(on_cpu.run(layer, x)[1:2], on_cpu.run(layer, x[1:2]))
    other = x.clone()
    other[0] = math.nan
    assert torch.equal(on_cpu.run(layer, other)[1:], on_cpu.run(layer, x)[1:])


@pytest.mark.parametrize('value', [math.nan, math.inf, -math.inf])
def test_what_is_not_finite_is_not_hidden(value):
    layer, x = layer_and_map((2, 8, 9, 10))
    x[1, 3, 4, 5] = value
    y, right = on_cpu.run(layer, x), plain(layer, x)
    assert right[1].isnan().any()
    assert torch.equal(y.isnan(), right.isnan())


@pytest.mark.parametrize('scale', [1e-30, 1e15])
def test_small_and_large_maps(scale):
    layer, x = layer_and_map((2, 8, 9, 10))
    assert_agrees(layer, x * scale)


def test_logits_that_are_large():
    layer, x = layer_and_map((1, 16, 9, 10))
    for parameter in (layer.norm_h.weight, layer.norm.weight, layer.q.weight, layer.v.weight):
        parameter.mul_(1000)
    assert on_cpu.run(layer, x).isfinite().all()
    assert_agrees(layer, x)


def test_a_map_that_begins_anywhere_in_memory():
    layer, x = layer_and_map((2, 8, 8, 8))
    elsewhere = torch.empty(x.numel() + 1)[1:].view_as(x).copy_(x)
    assert torch.equal(on_cpu.run(layer, elsewhere), on_cpu.run(layer, x))


def test_the_map_stays_as_it_is():
    layer, x = layer_and_map((2, 8, 9, 10))
    before = x.clone()
    y = on_cpu.run(layer, x)
    assert torch.equal(x, before) and y.data_ptr() != x.data_ptr()


@pytest.mark.parametrize('change', [
    lambda layer: layer.train(),
    lambda layer: layer.double(),
    lambda layer: layer.norm.to(torch.float64),
    lambda layer: setattr(layer, 'v', torch.nn.Sequential(layer.v)),
    lambda layer: setattr(layer.norm, 'weight', torch.nn.Parameter(torch.ones(8, 2)[:, 0])),
])
def test_layers_that_the_loops_cannot_take(change):
    layer, x = layer_and_map((1, 8, 5, 5))
    assert on_cpu.run(layer, x) is not None
    change(layer)
    assert on_cpu.run(layer, x) is None


@pytest.mark.parametrize('shape', [(0, 8, 5, 5), (1, 8, 0, 5), (1, 4, 1, 3)])
def test_sizes_that_the_plain_form_treats(shape):
    layer, x = layer_and_map(shape)
    assert on_cpu.run(layer, x) is None


@pytest.mark.parametrize('channels, window_size, taken', [
    (128, 1, False), (128, 2, True), (96, 1, True), (128, 7, True)
])
def test_large_attention_is_left_to_products_of_matrices(channels, window_size, taken):
    layer, x = layer_and_map((1, channels, 8, 9), window_size=window_size)
    assert (on_cpu.run(layer, x) is not None) == taken


@pytest.mark.parametrize('dtype', [torch.float64, torch.bfloat16, torch.float16])
def test_single_precision_only(dtype):
    layer, x = layer_and_map((1, 8, 5, 5))
    assert on_cpu.run(layer, x.to(dtype)) is None


def test_gradients_are_the_plain_forms():
    layer, x = layer_and_map((1, 8, 5, 5))
    with torch.enable_grad():
        assert on_cpu.run(layer, x) is None
        layer.requires_grad_(False)
        assert on_cpu.run(layer, x) is not None
        assert on_cpu.run(layer, x.requires_grad_()) is None


@pytest.fixture
def fresh():
    loading.loaded.cache_clear()
    yield
    loading.loaded.cache_clear()


def test_without_numba(fresh, monkeypatch):
    layer, x = layer_and_map((1, 8, 5, 5))
    imported = builtins.__import__

    def refuse(name, *arguments):
        if name.split('.')[0] in ('llvmlite', 'numba'):
            raise ImportError(name)
        return imported(name, *arguments)

    monkeypatch.setattr(builtins, '__import__', refuse)
    assert on_cpu.run(layer, x) is None
    assert torch.equal(layer(x), plain(layer, x))


@pytest.mark.slow
def test_where_compiled_code_cannot_be_kept(tmp_path):
    (tmp_path / 'file').touch()
    code = ('import torch; from mmxattn.layers import SCSA; from mmxattn.ops.scsa import on_cpu; '
            'print(on_cpu.run(SCSA(8).eval().requires_grad_(False), torch.ones(1, 8, 5, 5)).shape)')
    done = subprocess.run([sys.executable, '-c', code], capture_output=True, text=True, check=True,
                          env=dict(os.environ, NUMBA_CACHE_DIR=str(tmp_path / 'file')))
    assert done.stdout == 'torch.Size([1, 8, 5, 5])\n' and not done.stderr
