"""SCSA's Triton kernels against the layer in float64: compiled on a GPU, elsewhere in Triton's interpreter."""
import copy

import pytest
import torch
from torch import nn
from torch.testing import assert_close

from mmxattn.layers import SCSA
from mmxattn.ops.scsa import triton as kernels
from mmxattn.ops.scsa.triton import config, launch
from mmxattn.ops.scsa.triton.problem import Problem

pytest.importorskip('triton', minversion='3.6')

ON_GPU = torch.cuda.is_available()
DEVICE = 'cuda' if ON_GPU else 'cpu'
DTYPE, TOLERANCE = (torch.float32, 1e-3) if ON_GPU else (torch.float64, 1e-9)
slow = pytest.mark.slow


def make_layer(channels, dtype=DTYPE, **kwargs):
    torch.manual_seed(0)
    layer = SCSA(channels, **kwargs).to(DEVICE, dtype)
    for parameter in layer.parameters():
        nn.init.normal_(parameter)
    return layer


def make_input(*shape, dtype=DTYPE):
    generator = torch.Generator().manual_seed(0)
    return torch.randn(shape, dtype=torch.float64, generator=generator).to(DEVICE, dtype)


def kernel_args(layer, x):
    """All arguments of the kernels but the tensors x, grad and saved."""
    convs = [module for module in layer.children() if isinstance(module, nn.Conv1d)]
    norms = layer.norm_h, layer.norm_w, layer.norm
    params = [*(conv.weight for conv in convs), *(conv.bias for conv in convs)]
    params += [parameter for norm in norms for parameter in (norm.weight, norm.bias)]
    params += [layer.q.weight, layer.k.weight, layer.v.weight]
    return dict(
        params=[parameter.detach() for parameter in params],
        window=tuple(min(layer.window_size or side, side) for side in x.shape[2:]),
        gate_scale=2.0 if layer.zero_init else 1.0,
        kernel_sizes=layer.kernel_sizes,
        eps=tuple(norm.eps for norm in norms)), params


def run_kernels(layer, x, grad):
    """The output and the gradients of x and of every parameter, by name."""
    args, params = kernel_args(layer, x)
    y, saved = kernels.forward(x, **args)
    grad_x, grads = kernels.backward(grad, x, saved, **args)
    names = {id(parameter): name for name, parameter in layer.named_parameters()}
    return dict(y=y, x=grad_x, **{names[id(parameter)]: grad for parameter, grad in zip(params, grads)})


def run_reference(layer, x, grad):
    layer, x = copy.deepcopy(layer).double(), x.double().requires_grad_()
    y = layer.forward_reference(x)
    names, params = zip(*layer.named_parameters())
    grads = torch.autograd.grad(y, [x, *params], grad.double())
    return dict(y=y.detach(), x=grads[0], **dict(zip(names, grads[1:])))


def assert_matches_reference(layer, x, tolerance=TOLERANCE):
    grad = make_input(*x.shape, dtype=x.dtype).flip(3)
    ours, reference = run_kernels(layer, x, grad), run_reference(layer, x, grad)
    assert ours.keys() == reference.keys()
    for name, expected in reference.items():
        assert ours[name].dtype == (x.dtype if name in ('x', 'y') else next(layer.parameters()).dtype)
        assert_close({name: ours[name].double()}, {name: expected}, rtol=tolerance, atol=tolerance)


@pytest.mark.parametrize('shape', [
    (2, 8, 9, 5),
    (1, 8, 1, 1),
    (1, 8, 2, 40),
    (1, 12, 13, 1),
    pytest.param((3, 8, 14, 14), marks=slow),
    pytest.param((1, 16, 25, 42), marks=slow),
    pytest.param((1, 4, 70, 90), id='120 windows, tl.dot', marks=slow),
    pytest.param((1, 80, 8, 9), id='more channels than a tile'),
    pytest.param((1, 4, 130, 40), id='more rows than a tile'),
])
def test_output_and_gradients_match_reference(shape):
    assert_matches_reference(make_layer(shape[1]), make_input(*shape))


@pytest.mark.parametrize('kwargs', [
    dict(zero_init=True), dict(kernel_sizes=(3, 7)), dict(kernel_sizes=(1, 5, 11)), dict(window_size=None),
    dict(window_size=1), dict(window_size=4)
], ids=str)
def test_layer_arguments_match_reference(kwargs):
    assert_matches_reference(make_layer(12, **kwargs), make_input(1, 12, 11, 10))


@pytest.mark.parametrize('shape, constants', [
    ((1, 8, 9, 6), dict(MAP_TILE_FEW=(32, 1), SMALL_MAPS_TILE=64, AXIS_BWD_TILE=8)),
    pytest.param((1, 8, 12, 9), dict(MAP_TILE_FEW=(64, 8), SMALL_MAPS_TILE=16), marks=slow),
    ((1, 12, 15, 17), dict(FUSED_MIN_PROGRAMS=1)),
    ((1, 8, 15, 9), dict(FUSED_MIN_PROGRAMS=1, FUSED_TILE=32)),
    ((1, 8, 15, 9), dict(POOL_TILE=(16, 32), PARTS_TILE=2)),
    ((1, 12, 15, 17), dict(FMA_TILE=(2, 2, 2, 1), FMA_BWD_TILE=(2, 2, 2, 1))),
    ((1, 20, 15, 9), dict(MIN_DOT_PIXELS=1, DOT_TILE_FEW=(16, 16, 4), DOT_BWD_TILE=(16, 16, 4))),
], ids=str)
def test_results_do_not_depend_on_launch_geometry(shape, constants, monkeypatch):
    for name, value in constants.items():
        monkeypatch.setattr(config, name, value)
    launch._plan.cache_clear()
    try:
        assert_matches_reference(make_layer(shape[1]), make_input(*shape))
    finally:
        launch._plan.cache_clear()


def test_half_precision_accumulates_in_float32():
    layer, x = make_layer(8, torch.float32), make_input(1, 8, 17, 13, dtype=torch.float16)
    assert_matches_reference(layer, x, tolerance=1e-2)
    large = (x * 1e4).clamp(-6e4, 6e4)  # the sum of a row overflows float16
    assert kernels.forward(large, **kernel_args(layer, large)[0])[0].isfinite().all()


def test_images_are_independent():
    layer, x = make_layer(4), make_input(2, 4, 9, 10)
    together, alone = (kernels.forward(images, **kernel_args(layer, images)[0])[0] for images in (x, x[1:2]))
    assert torch.equal(together[1:2], alone)


def test_unaligned_input_gives_the_same_result():
    layer, x = make_layer(4), make_input(1, 4, 4, 4)
    unaligned = torch.empty(x.numel() + 1, dtype=DTYPE, device=DEVICE)[1:].view_as(x).copy_(x)
    assert unaligned.data_ptr() % 16
    expected = run_kernels(layer, x, x)
    for name, tensor in run_kernels(layer, unaligned, unaligned).items():
        assert torch.equal(tensor, expected[name]), name


def test_nothing_as_large_as_the_input_is_saved():
    p = Problem(1, 128, 35, 35, 7, 7, (3, 5, 7, 9))
    assert sum(config.launch_config(p).saved.values()) < 128 * 35 * 35 / 8


@pytest.mark.parametrize('batch, expected', [
    (16, ['fused_smsa_kernel']),
    (2, ['axis_means_kernel', 'axis_gates_kernel', 'pool_kernel']),
])
def test_large_batches_use_one_kernel_up_to_pooling(batch, expected):
    forward = config.launch_config(Problem(batch, 8, 9, 7, 7, 7, (3, 5, 7, 9))).forward
    assert [kernel.kernel for kernel in forward] == [*expected, 'channel_attention_kernel', 'apply_gates_kernel']


@pytest.mark.parametrize('shape, window, kernel_sizes', [
    pytest.param((1, 8, 3, 4096), (3, 7), (3, 5, 7, 9), id='width'),
    pytest.param((1, 8, 3000, 2), (7, 2), (3, ), id='rows of a group'),
    pytest.param((1, 8, 150, 150), (150, 150), (3, 5, 7, 9), id='window'),
    pytest.param((1, 10, 5, 5), (5, 5), (1, 3, 5, 7, 9), id='groups'),
    pytest.param((1, 8, 5, 5), (5, 5), (3, 33), id='kernel size'),
    pytest.param((0, 8, 5, 5), (5, 5), (3, 5, 7, 9), id='empty batch'),
    pytest.param((1, 4, 1, 3), (1, 3), (3, 5, 7, 9), id='group norm of a single value'),
    pytest.param((64, 1024, 128, 128), (7, 7), (3, 5, 7, 9), id='32-bit offsets'),
])
def test_sizes_beyond_the_limits_are_rejected(shape, window, kernel_sizes):
    assert kernels.within_limits((1, 8, 9, 9), (7, 7), (3, 5, 7, 9))
    assert not kernels.within_limits(shape, window, kernel_sizes)


def test_cpu_is_not_supported():
    layer, x = make_layer(8), torch.randn(1, 8, 9, 9)
    assert not kernels.is_supported(x, list(layer.parameters()), (7, 7), (3, 5, 7, 9))


@pytest.mark.skipif(not ON_GPU, reason='needs a GPU')
def test_float32_and_lower_precision_are_supported_on_a_gpu():
    layer, x = make_layer(8), make_input(1, 8, 9, 9)
    for dtype in (torch.float16, torch.bfloat16, torch.float32, torch.float64):
        supported = kernels.is_supported(x.to(dtype), list(layer.parameters()), (7, 7), (3, 5, 7, 9))
        assert supported == (dtype != torch.float64)
