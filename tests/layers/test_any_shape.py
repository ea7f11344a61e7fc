"""All layers: any batch, height and width, any memory layout, with and without gradients."""
import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st

from layer_cases import CASES

ALL_CASES = pytest.mark.parametrize('case', CASES.values(), ids=CASES)
FORMATS = pytest.mark.parametrize('memory_format', [torch.contiguous_format, torch.channels_last])
SIDES = st.integers(1, 23)
LAYOUTS = {
    'channels last': lambda x: x.contiguous(memory_format=torch.channels_last),
    'columns first': lambda x: x.transpose(2, 3).contiguous().transpose(2, 3),
    'strided': lambda x: torch.stack((x, torch.full_like(x, torch.nan)), 4)[..., 0],
    'channel slice': lambda x: torch.cat((torch.full_like(x, torch.nan), x), 1)[:, x.shape[1]:],
}


@ALL_CASES
@settings(max_examples=8, deadline=None, database=None, derandomize=True)
@given(fine=st.tuples(SIDES, SIDES), smaller=st.tuples(SIDES, SIDES), batch=st.integers(1, 3),
       layout=st.sampled_from(sorted(LAYOUTS)), grad=st.booleans(), requires_grad=st.tuples(*[st.booleans()] * 3))
def test_any_shape_and_layout(case, fine, smaller, batch, layout, grad, requires_grad):
    coarse = tuple(max(1, side - less) for side, less in zip(fine, smaller))
    layer, maps = case.build(), case.maps((fine, coarse), batch)
    inputs = [LAYOUTS[layout](x).requires_grad_(flag) for x, flag in zip(maps, requires_grad)]
    maps = [x.requires_grad_(flag) for x, flag in zip(maps, requires_grad)]
    with torch.set_grad_enabled(grad):
        outs, expected = case.run(layer, inputs), case.run(layer, maps)
    shapes = [x.shape for x in maps] if case.takes_list else [(batch, case.channels[-1], *fine)]
    assert [x.shape for x in outs] == shapes
    for out, right in zip(outs, expected):
        assert torch.allclose(out, right, rtol=1e-4, atol=1e-5) and out.requires_grad == grad
    if grad:
        parameters = list(layer.parameters())
        found = gradients(outs, [*inputs, *parameters])
        expected = gradients(expected, [*maps, *parameters])
        parameter_scale = max(x.abs().max().item() for x in expected[len(maps):])
        for i, (x, right) in enumerate(zip(found, expected)):
            scale = right.abs().max().item() if i < len(maps) else parameter_scale
            assert torch.allclose(x, right, rtol=1e-3, atol=1e-4 * scale)


def gradients(outs, inputs):
    """Gradients of all inputs, zero for those that require none."""
    found = iter(torch.autograd.grad(sum(y.square().sum() for y in outs), [x for x in inputs if x.requires_grad]))
    return [next(found) if x.requires_grad else torch.zeros_like(x) for x in inputs]


@ALL_CASES
def test_frozen_layer_passes_gradients_on(case):
    layer, maps = case.build().requires_grad_(False), case.maps(((9, 7), (4, 5)))
    sum(x.sum() for x in case.run(layer, [x.requires_grad_() for x in maps])).backward()
    assert all(x.grad.abs().max() > 0 for x in maps)
    assert all(p.grad is None for p in layer.parameters())


@ALL_CASES
def test_empty_batch(case):
    for sizes in (((9, 7), (4, 5)), ((16, 16), (16, 15))):
        layer, maps = case.build(), [x.requires_grad_() for x in case.maps(sizes, batch=0)]
        outs = case.run(layer, maps)
        assert [x.shape for x in outs] == [(0, *x.shape[1:]) for x in case.run(layer, case.maps(sizes, batch=1))]
        sum(x.sum() for x in outs).backward()
        assert all(x.grad.shape == x.shape for x in maps)
        assert all(p.grad is not None and not p.grad.any() for p in layer.parameters())


@ALL_CASES
@FORMATS
def test_output_keeps_memory_format(case, memory_format):
    for grad in (True, False):
        with torch.set_grad_enabled(grad):
            maps = [x.contiguous(memory_format=memory_format) for x in case.maps(((9, 7), (4, 5)))]
            outs = case.run(case.build(), maps)
        assert all(x.is_contiguous(memory_format=memory_format) for x in outs)


@ALL_CASES
@FORMATS
def test_single_image_has_the_gradients_of_a_batch(case, memory_format):
    """Between batch norms, whose CPU backward pass depends on the strides of a gradient."""
    found = []
    for images in (slice(0, 2), slice(0, 1)):
        layer, maps = case.build(), case.maps(((9, 7), (4, 5)))
        maps = [x[images].contiguous(memory_format=memory_format).requires_grad_() for x in maps]
        outs = case.run(layer, [batch_norm(x) for x in maps])
        found.append(torch.autograd.grad(sum(batch_norm(x)[:1].square().sum() for x in outs), maps))
    for batch, single in zip(*found):
        assert torch.allclose(batch[:1], single, rtol=1e-3, atol=1e-3 * batch.abs().max())


def batch_norm(x):
    """Batch norm in eval mode, with statistics that differ between channels."""
    torch.manual_seed(0)
    mean, variance = torch.randn(x.shape[1]), torch.rand(x.shape[1]) + 0.5
    return F.batch_norm(x, mean, variance)
