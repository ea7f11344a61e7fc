"""SCSA's operator under PyTorch's transforms, compilers and counters."""
import pytest
import torch
from torch.autograd import forward_ad
from torch.nn.utils import parametrize, prune
from torch.utils.flop_counter import FlopCounterMode

from mmxattn.layers import SCSA
from mmxattn.ops import scsa as fused
from mmxattn.ops.compiled import load_kernel

pytestmark = pytest.mark.skipif(load_kernel('mmxattn.ops.scsa.cpu_kernels') is None or not fused.HAS_LIBRARY,
                                reason='needs the CPU kernels and PyTorch 2.5')


@pytest.fixture
def layer():
    torch.manual_seed(0)
    layer = SCSA(8)
    for parameter in layer.parameters():
        torch.nn.init.normal_(parameter)
    return layer


def is_fused(layer, x):
    return fused.is_supported(x, *layer.fused_args(x))


def reference(layer):
    """Return a function of parameters and input that computes the reference form."""
    class Reference(torch.nn.Module):

        def __init__(self):
            super().__init__()
            self.layer = layer

        def forward(self, x):
            return self.layer.forward_reference(x)

    module = Reference()
    return lambda params, x: torch.func.functional_call(module, {f'layer.{k}': v for k, v in params.items()}, (x, ))


def operator(layer):
    return lambda params, x: torch.func.functional_call(layer, params, (x, ))


def named(layer):
    return {name: parameter.detach() for name, parameter in layer.named_parameters()}


@pytest.mark.parametrize('requires_grad', [False, True])
def test_operator_passes_opcheck(layer, requires_grad):
    x = torch.randn(2, 8, 9, 10, requires_grad=requires_grad)
    params, *args = layer.requires_grad_(requires_grad).fused_args(x)
    torch.library.opcheck(torch.ops.mmxattn.scsa.default, (x, params, *args))


def test_backward_operator_passes_opcheck(layer):
    x = torch.randn(2, 8, 9, 10)
    params, *args = layer.requires_grad_(False).fused_args(x)
    saved = torch.ops.mmxattn.scsa(x, params, *args)[1]
    torch.library.opcheck(torch.ops.mmxattn.scsa_backward.default, (torch.randn_like(x), x, saved, params, *args))


def test_compiles_to_one_graph_with_the_operator_and_its_gradients(layer):
    torch._dynamo.reset()
    compiled = torch.compile(layer, fullgraph=True, backend='aot_eager', dynamic=True)
    graphs = []
    for size in ((9, 10), (16, 23), (20, 31)):
        x = torch.randn(2, 8, *size, requires_grad=True)
        found, expected = ([y, *torch.autograd.grad(y.square().sum(), [x, *layer.parameters()])]
                           for y in (compiled(x), layer(x)))
        for a, b in zip(found, expected):
            torch.testing.assert_close(a, b)
    torch._dynamo.reset()

    def backend(graph, inputs):
        graphs.append(graph)
        return graph

    torch.compile(layer, fullgraph=True, backend=backend)(torch.randn(2, 8, 9, 10))
    assert 'mmxattn.scsa' in graphs[0].code


def test_flop_count_is_the_reference_forms(layer):
    x = torch.randn(2, 8, 16, 23)
    counts = []
    for form in (layer, layer.forward_reference):
        with FlopCounterMode(display=False) as counter:
            form(x)
        counts.append(counter.get_total_flops())
    assert counts[0] == counts[1] > 0
    with FlopCounterMode(display=False) as counter:
        layer(x).sum().backward()
    assert counter.get_total_flops() == 3 * counts[0]


def test_vmap_matches_the_reference_form(layer):
    x = torch.randn(3, 2, 8, 9, 10)
    found = torch.vmap(operator(layer), in_dims=(None, 0))(named(layer), x)
    torch.testing.assert_close(found, torch.stack([layer.forward_reference(images) for images in x]))
    params = {name: torch.stack((p, 2 * p, 3 * p)) for name, p in named(layer).items()}
    torch.testing.assert_close(torch.vmap(operator(layer))(params, x), torch.vmap(reference(layer))(params, x))


def per_example_gradients(function, params, x):
    loss = lambda params, image: function(params, image[None]).square().sum()  # noqa: E731
    return torch.vmap(torch.func.grad(loss, argnums=(0, 1)), in_dims=(None, 0))(params, x)


def test_func_grad_and_per_example_gradients(layer):
    x = torch.randn(3, 8, 9, 10)
    found, expected = (per_example_gradients(f, named(layer), x) for f in (operator(layer), reference(layer)))
    torch.testing.assert_close(found[1], expected[1], rtol=1e-4, atol=1e-5)
    for name in expected[0]:
        torch.testing.assert_close(found[0][name], expected[0][name], rtol=1e-3, atol=1e-3)


def test_forward_mode_ad_matches_the_reference_form(layer):
    x, tangent, params = torch.randn(2, 8, 9, 10), torch.randn(2, 8, 9, 10), named(layer)
    functions = [lambda x, f=f: f(params, x) for f in (operator(layer), reference(layer))]
    for transform in (lambda f: f, torch.vmap):
        inputs = (x, ), (tangent, )
        if transform is torch.vmap:
            inputs = (x[:, None], ), (tangent[:, None], )
        found, expected = (torch.func.jvp(transform(f), *inputs)[1] for f in functions)
        torch.testing.assert_close(found, expected)
    expected = torch.func.jvp(functions[1], (x, ), (tangent, ))[1]
    compiled = torch.compile(lambda x, t: torch.func.jvp(layer, (x, ), (t, ))[1], backend='aot_eager')
    torch.testing.assert_close(compiled(x, tangent), expected)
    with forward_ad.dual_level():
        dual = layer(forward_ad.make_dual(x, tangent))
        torch.testing.assert_close(forward_ad.unpack_dual(dual).tangent, expected)


def test_second_derivative_raises(layer):
    x = torch.randn(1, 8, 9, 10, requires_grad=True)
    grad, = torch.autograd.grad(layer(x).square().sum(), x, create_graph=True)
    with pytest.raises(RuntimeError, match='no second derivative'):
        grad.sum().backward()


def test_only_required_gradients_are_computed(layer):
    x = torch.randn(1, 8, 9, 10)
    layer(x).sum().backward()
    assert all(parameter.grad is not None for parameter in layer.parameters())
    layer.requires_grad_(False)
    assert not layer(x).requires_grad
    y = layer(x.requires_grad_())
    y.sum().backward()
    assert x.grad.abs().sum() > 0


@pytest.mark.filterwarnings('ignore::torch.jit.TracerWarning', 'ignore:.*torch.jit:DeprecationWarning')
def test_jit_trace_records_the_reference_form(layer):
    x, other = torch.randn(1, 8, 9, 10), torch.randn(1, 8, 9, 10)
    traced = torch.jit.trace(layer, x)
    assert 'mmxattn::scsa' not in str(traced.inlined_graph)
    torch.testing.assert_close(traced(other), layer(other))


def test_tensor_subclass_uses_the_reference_form(layer):
    class Image(torch.Tensor):
        pass

    x = torch.randn(1, 8, 9, 10)
    y = layer(x.as_subclass(Image))
    assert type(y) is Image
    torch.testing.assert_close(y.as_subclass(torch.Tensor), layer(x))


@pytest.mark.parametrize('arguments', [
    dict(spatial=False), dict(channel=False), dict(channel_first=True), dict(shared=False), dict(norm='BN'),
    dict(norm='LN'), dict(norm=None), dict(norm_first=True), dict(num_heads=2), dict(scale='pixels')
])
def test_ablations_are_not_fused(arguments):
    assert not SCSA(8, **arguments).has_fused_form


@pytest.mark.parametrize('change', [
    lambda x: x.double(), lambda x: x.half(), lambda x: x.contiguous(memory_format=torch.channels_last),
    lambda x: x.to('meta'), lambda x: x[:0]
])
def test_unsupported_inputs_are_not_fused(layer, change):
    x = torch.randn(2, 8, 9, 10)
    assert is_fused(layer, x) and not is_fused(layer, change(x))


@pytest.mark.parametrize('change', [
    lambda layer: layer.double(),
    lambda layer: layer.norm.double(),
    lambda layer: setattr(layer.norm, 'weight', torch.nn.Parameter(torch.ones(8, 2)[:, 0])),
])
def test_unsupported_parameters_are_not_fused(layer, change):
    change(layer)
    assert not is_fused(layer, torch.randn(1, 8, 5, 5))


@pytest.mark.parametrize('change', [
    lambda layer: prune.l1_unstructured(layer.local_dwc, 'weight', 0.5),
    lambda layer: prune.l1_unstructured(layer.norm_h, 'bias', 0.5),
    lambda layer: parametrize.register_parametrization(layer.q, 'weight', torch.nn.Softplus()),
    lambda layer: setattr(layer, 'v', torch.nn.Sequential(layer.v, torch.nn.ReLU())),
], ids=['pruned weight', 'pruned bias', 'parametrized', 'replaced'])
def test_modified_submodules_have_an_effect(layer, change):
    x = torch.randn(1, 8, 9, 10)
    before = layer(x)
    change(layer)
    torch.testing.assert_close(layer(x), layer.forward_reference(x))
    assert not torch.allclose(layer(x), before)
