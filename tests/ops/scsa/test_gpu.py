"""SCSA's kernels against its plain form: on a GPU as they are, elsewhere interpreted by Triton, in double precision."""
import copy

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.nn.utils import parametrize, prune

import oracles
from mmxattn.layers import SCSA, scsa
from mmxattn.ops.scsa import fused_scsa, without_kernels
from mmxattn.ops.scsa import gpu as on_gpu
from mmxattn.ops.scsa import triton_launch as gpu_plan

pytest.importorskip('triton', minversion='3.6')
DEVICE, DTYPE, ERROR = ('cuda', torch.float32, 1e-3) if torch.cuda.is_available() else ('cpu', torch.float64, 1e-9)


def layer_and_map(shape, dtype=DTYPE, **arguments):
    """A layer whose parameters all matter, and a map."""
    torch.manual_seed(0)
    layer = SCSA(shape[1], **arguments).to(DEVICE, DTYPE)
    for parameter in layer.parameters():
        torch.nn.init.normal_(parameter)
    return layer, torch.randn(shape, device=DEVICE).to(dtype).requires_grad_()


def plain(layer, x):
    with without_kernels():
        return layer(x)


def output_and_gradients(form, layer, x):
    y = form(layer, x)
    weights = torch.linspace(-1, 1, y.numel(), device=DEVICE).to(y.dtype).view(y.shape)
    return [y, *torch.autograd.grad(y, [x, *layer.parameters()], weights)]


def assert_agrees(layer, x, error=ERROR):
    ours, right = output_and_gradients(on_gpu.run, layer, x), output_and_gradients(plain, layer, x)
    for name, a, b in zip(['y', 'x', *(name for name, _ in layer.named_parameters())], ours, right):
        assert a.dtype == b.dtype and a.shape == b.shape
        # beside what is relative: a bias before a norm of few channels has almost no gradient
        assert (a - b).norm() <= error * (b.norm() + right[1].norm()), name


@pytest.mark.parametrize('shape', [
    (2, 8, 9, 5), (2, 16, 7, 7), (1, 16, 25, 42), (3, 8, 14, 14),
    (1, 4, 70, 90),  # 120 windows: products of matrices
    (1, 80, 8, 9),  # more channels than are asked at once
    (1, 4, 130, 40),  # more rows than a program holds
    (1, 8, 1, 1), (1, 8, 2, 40)
])
def test_agrees_with_the_plain_form(shape):
    assert_agrees(*layer_and_map(shape))


@pytest.mark.parametrize('arguments', [
    dict(zero_init=True), dict(kernel_sizes=(3, 7)), dict(kernel_sizes=(1, 5, 11)), dict(window_size=None),
    dict(window_size=1), dict(window_size=4)
])
def test_every_argument_that_there_are_kernels_for(arguments):
    assert_agrees(*layer_and_map((2, 12, 11, 10), **arguments))


@settings(deadline=None, max_examples=6)
@given(st.integers(1, 2), st.integers(2, 3), st.integers(1, 20), st.integers(1, 20))
def test_any_shape(batch, members, height, width):
    assert_agrees(*layer_and_map((batch, 4 * members, height, width)))


@pytest.mark.parametrize('shape, constants', [
    ((1, 8, 12, 9), dict(OF_FEW=(32, 1), TOGETHER=64, SHARE=8)),
    ((1, 8, 12, 9), dict(OF_FEW=(64, 8), TOGETHER=16, SHARE=8)),
    ((2, 12, 15, 17), dict(FEWEST=1)),  # means, gates and pooling by one kernel
    ((1, 8, 15, 9), dict(FEWEST=1, SQUEEZED=32)),
    ((2, 8, 15, 9), dict(BANDS=16, PARTS=2)),  # many parts of the pooled image
    ((1, 12, 15, 17), dict(BY_PIXEL=(2, 2, 2, 1), BACK_BY_PIXEL=(2, 2, 2, 1))),
    ((1, 12, 15, 17), dict(PRODUCT=1)),
    ((1, 20, 15, 9), dict(PRODUCT=1, BY_FEW=(16, 16, 4), BACK_BY_PRODUCT=(16, 16, 4)))
])
def test_however_work_is_dealt_out(shape, constants, monkeypatch):
    for name, value in constants.items():
        assert hasattr(gpu_plan, name)
        monkeypatch.setattr(gpu_plan, name, value)
    gpu_plan.plan_of.cache_clear()
    try:
        assert_agrees(*layer_and_map(shape))
    finally:
        gpu_plan.plan_of.cache_clear()


@pytest.mark.parametrize('images, squeezing', [(16, ['squeeze']), (2, ['map_means', 'gates', 'pool'])])
def test_one_kernel_squeezes_where_there_are_many_images(images, squeezing, monkeypatch):
    launched, launch = [], gpu_plan.Launch.__call__

    def note(self, *arguments):
        launched.append(self.kernel.__name__)
        launch(self, *arguments)

    monkeypatch.setattr(gpu_plan.Launch, '__call__', note)
    on_gpu.run(*layer_and_map((images, 8, 9, 7)))
    assert launched == [*squeezing, 'attend', 'gate']


@pytest.mark.skipif(DEVICE == 'cuda', reason='kernels on a GPU compute in single precision')
def test_gradients_by_finite_differences():
    layer, x = layer_and_map((1, 4, 8, 5))
    names, parameters = zip(*layer.named_parameters())

    def form(x, *parameters):
        own = copy.deepcopy(layer)
        for name, parameter in zip(names, parameters):
            module, _, leaf = name.rpartition('.')
            del own.get_submodule(module)._parameters[leaf]
            setattr(own.get_submodule(module), leaf, parameter)
        return on_gpu.run(own, x)

    assert torch.autograd.gradcheck(form, (x, *parameters), fast_mode=True)


@pytest.mark.skipif(DEVICE == 'cuda', reason='the numbers are compared on a CPU')
@pytest.mark.parametrize('name', ['scsa_c32_28x28.npz', 'scsa_c32_17x23.npz'])
def test_agrees_with_the_authors_numbers(name, monkeypatch):
    monkeypatch.setattr(scsa, 'fused_scsa', on_gpu.run)
    oracles.assert_agrees_with_reference(SCSA(32), name, num_inputs=1)


def test_images_do_not_see_each_other():
    layer, x = layer_and_map((3, 8, 9, 10))
    together, alone = (on_gpu.run(layer, images) for images in (x, x[1:2].detach().requires_grad_()))
    assert torch.equal(together[1:2], alone)


def test_the_same_without_gradients_and_again():
    layer, x = layer_and_map((2, 8, 9, 10))
    y = on_gpu.run(layer, x)
    with torch.no_grad():
        assert torch.equal(on_gpu.run(layer, x), y)
    assert torch.equal(on_gpu.run(layer, x), y)


def test_a_map_that_begins_anywhere_in_memory():
    layer, x = layer_and_map((2, 8, 8, 8))
    memory = torch.empty(x.numel() + 1, dtype=DTYPE, device=DEVICE)
    elsewhere = memory[1:].view_as(x).copy_(x.detach()).requires_grad_()
    assert elsewhere.data_ptr() % 16
    for a, b in zip(output_and_gradients(on_gpu.run, layer, elsewhere),
                    output_and_gradients(on_gpu.run, layer, x)):
        assert torch.equal(a, b)


def test_gradients_that_nobody_wants():
    layer, x = layer_and_map((1, 4, 9, 5))
    right = output_and_gradients(on_gpu.run, layer, x)[2:]
    y = on_gpu.run(layer, x.detach())
    weights = torch.linspace(-1, 1, y.numel(), device=DEVICE).to(y.dtype).view(y.shape)
    assert all(map(torch.equal, torch.autograd.grad(y, list(layer.parameters()), weights), right))
    layer.requires_grad_(False)
    of_x, = torch.autograd.grad(on_gpu.run(layer, x), x, weights)
    assert torch.equal(of_x, output_and_gradients(on_gpu.run, layer.requires_grad_(), x)[1])
    layer.requires_grad_(False)
    assert not on_gpu.run(layer, x.detach()).requires_grad


def test_half_precision_is_computed_in_single():
    layer, x = layer_and_map((2, 8, 28, 21), torch.float16)
    layer.float()
    exact = plain(copy.deepcopy(layer).double(), x.detach().double())
    y = on_gpu.run(layer, x)
    assert y.dtype == torch.float16
    assert (y - exact).norm() <= torch.finfo(torch.float16).eps * exact.norm()
    grads = torch.autograd.grad(y.float().square().sum(), [x, *layer.parameters()])
    assert [grad.dtype for grad in grads] == [torch.float16, *[torch.float32] * (len(grads) - 1)]
    large = (x.detach().abs() * 1e4).clamp(max=6e4)  # the sum of a row is beyond float16
    assert on_gpu.run(layer, large).isfinite().all()


def test_nothing_of_the_size_of_the_map_is_kept_but_the_map():
    layer, x = layer_and_map((1, 128, 35, 35))
    kept = []
    with torch.autograd.graph.saved_tensors_hooks(lambda tensor: kept.append(tensor) or tensor, lambda tensor: tensor):
        on_gpu.run(layer, x)
    large = [tensor for tensor in kept if tensor.numel() >= min(x.numel(), 128 * 128)]
    assert large and all(tensor.data_ptr() == x.data_ptr() for tensor in large)


@pytest.mark.parametrize('shape, arguments', [
    ((1, 8, 3, 4096), {}),  # wide
    ((1, 8, 3000, 2), dict(kernel_sizes=(3, ))),  # a group's rows
    ((1, 8, 150, 150), dict(window_size=None)),  # a window
    ((1, 10, 5, 5), dict(kernel_sizes=(1, 3, 5, 7, 9))),  # groups
    ((1, 8, 5, 5), dict(kernel_sizes=(33, ))),
    ((0, 8, 5, 5), {}),
    ((1, 4, 1, 3), {}),  # a norm of one value, which the plain form refuses
])
def test_sizes_that_no_program_holds(shape, arguments):
    layer, x = layer_and_map(shape, **arguments)
    assert on_gpu.run(layer, x) is None


@pytest.mark.parametrize('change', [
    lambda layer: layer.norm.to(torch.float16),
    lambda layer: layer.norm_h.to('meta'),
    lambda layer: prune.random_unstructured(layer.local_dwc, 'weight', 0.5),
    lambda layer: prune.random_unstructured(layer.norm, 'bias', 0.5),
    lambda layer: parametrize.register_parametrization(layer.q, 'weight', torch.nn.Identity()),
])
def test_parameters_that_kernels_cannot_take(change):
    layer, x = layer_and_map((1, 8, 5, 5))
    assert on_gpu.run(layer, x) is not None
    change(layer)
    assert on_gpu.run(layer, x) is None


def test_a_part_that_was_replaced():
    layer, x = layer_and_map((1, 8, 5, 5))
    layer.v = torch.nn.Sequential(layer.v)
    assert on_gpu.run(layer, x) is None


@pytest.mark.skipif(DEVICE == 'cpu', reason='needs a GPU')
def test_a_gpu_has_kernels_unless_they_are_switched_off():
    layer, x = layer_and_map((2, 8, 9, 5))
    assert torch.equal(layer(x), fused_scsa(layer, x))
    with without_kernels():
        assert fused_scsa(layer, x) is None
    for unlike in (x.double(), x.contiguous(memory_format=torch.channels_last)):
        assert fused_scsa(layer.to(unlike.dtype), unlike) is None
