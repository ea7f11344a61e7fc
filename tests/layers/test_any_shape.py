"""Any batch, any height and width from 1 up, any order in memory, with and without gradients: the same numbers."""
import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st

import parts
from mmxattn.layers import cfsam, cla
from mmxattn.ops.scsa import gated_maps
from mmxattn.utils.memory_format import in_format_of

PARTS = pytest.mark.parametrize('part', parts.PARTS.values(), ids=parts.PARTS)
SIDES = st.integers(1, 23)
ORDERS = {
    'channels last': lambda x: x.contiguous(memory_format=torch.channels_last),
    'columns first': lambda x: x.transpose(2, 3).contiguous().transpose(2, 3),
    'every other': lambda x: torch.stack((x, torch.full_like(x, torch.nan)), 4)[..., 0],
    'a slice': lambda x: torch.cat((torch.full_like(x, torch.nan), x), 1)[:, x.shape[1]:],
}


def sizes_of(fine, smaller):
    """A fine size and one that is smaller by any number of pixels, not by a factor."""
    return fine, tuple(max(1, side - less) for side, less in zip(fine, smaller))


@pytest.fixture(scope='module', params=['at once', 'in blocks'])
def blocks(request):
    """Large maps are computed a block at a time; in blocks so small that these maps are large."""
    with pytest.MonkeyPatch.context() as patch:
        if request.param == 'in blocks':
            patch.setattr(gated_maps, 'BLOCK', 64)
            patch.setattr(cla, 'STRIP', 64)
            patch.setattr(cfsam, 'TOKENS_AT_ONCE', 16)
        yield


@PARTS
@settings(max_examples=8, deadline=None, database=None, derandomize=True)
@given(fine=st.tuples(SIDES, SIDES), smaller=st.tuples(SIDES, SIDES), batch=st.integers(1, 3),
       order=st.sampled_from(sorted(ORDERS)), grad=st.booleans(), wanted=st.tuples(*[st.booleans()] * 3))
def test_any_map_in_any_order(blocks, part, fine, smaller, batch, order, grad, wanted):
    """``wanted``: which maps need a gradient; the layer's parameters always do."""
    call, maps = part.build(), part.maps(sizes_of(fine, smaller), batch)
    strange = [ORDERS[order](x).requires_grad_(want) for x, want in zip(maps, wanted)]
    maps = [x.requires_grad_(want) for x, want in zip(maps, wanted)]
    with torch.set_grad_enabled(grad):
        outs, rights = call(strange), call(maps)
    # shapes come from the paper's equations: levels keep their own, CLA gives its embedding's channels on the fine grid
    shapes = [x.shape for x in maps] if part.takes_list else [(batch, part.channels[-1], *fine)]
    assert [x.shape for x in outs] == shapes
    for out, right in zip(outs, rights):
        assert torch.allclose(out, right, rtol=1e-4, atol=1e-5) and out.requires_grad == grad
    if grad:
        parameters = list(call.layer.parameters())
        found, expected = gradients(outs, strange, parameters), gradients(rights, maps, parameters)
        of_parameters = max(x.abs().max().item() for x in expected[len(maps):])
        for i, (x, right) in enumerate(zip(found, expected)):
            largest = right.abs().max().item() if i < len(maps) else of_parameters
            assert torch.allclose(x, right, rtol=1e-3, atol=1e-4 * largest)


def gradients(outs, maps, parameters):
    """Of the maps that need one (zeros of others), then of the parameters."""
    inputs = [*maps, *parameters]
    needed = [x for x in inputs if x.requires_grad]
    found = iter(torch.autograd.grad(sum(y.square().sum() for y in outs), needed))
    return [next(found) if x.requires_grad else torch.zeros_like(x) for x in inputs]


@PARTS
def test_frozen_weights_still_pass_gradients_on(part):
    call, maps = part.build(), part.maps(((9, 7), (4, 5)))
    call.layer.requires_grad_(False)
    sum(x.sum() for x in call([x.requires_grad_() for x in maps])).backward()
    assert all(x.grad.abs().max() > 0 for x in maps)
    assert all(p.grad is None for p in call.layer.parameters())


@PARTS
def test_an_empty_batch_passes_as_it_does_through_convolutions(part):
    for sizes in (((9, 7), (4, 5)), ((16, 16), (16, 15))):
        call, maps = part.build(), [x.requires_grad_() for x in part.maps(sizes, batch=0)]
        outs = call(maps)
        assert [x.shape for x in outs] == [(0, *x.shape[1:]) for x in call(part.maps(sizes, batch=1))]
        sum(x.sum() for x in outs).backward()
        assert all(x.grad.shape == x.shape for x in maps)
        assert all(p.grad is not None and not p.grad.any() for p in call.layer.parameters())


@PARTS
@pytest.mark.parametrize('order', [torch.contiguous_format, torch.channels_last])
def test_maps_leave_in_the_order_they_came_in(part, order):
    for grad in (True, False):
        with torch.set_grad_enabled(grad):
            outs = part.build()([x.contiguous(memory_format=order) for x in part.maps(((9, 7), (4, 5)))])
        assert all(x.is_contiguous(memory_format=order) for x in outs)


def test_a_map_of_one_pixel_has_any_order_and_is_not_copied():
    x = torch.randn(2, 8, 1, 1)
    assert in_format_of(x, like=torch.randn(2, 8, 1, 1)).data_ptr() == x.data_ptr()


@PARTS
@pytest.mark.parametrize('order', [torch.contiguous_format, torch.channels_last])
def test_an_image_alone_has_the_gradients_that_it_has_in_a_batch(part, order):
    """Between batch norms of the host, which read a gradient by its strides."""
    found = []
    for images in (slice(0, 2), slice(0, 1)):
        call, maps = part.build(), part.maps(((9, 7), (4, 5)))
        maps = [x[images].contiguous(memory_format=order).requires_grad_() for x in maps]
        outs = call([batch_norm(x) for x in maps])
        found.append(torch.autograd.grad(sum(batch_norm(x)[:1].square().sum() for x in outs), maps))
    for batch, alone in zip(*found):
        assert torch.allclose(batch[:1], alone, rtol=1e-3, atol=1e-3 * batch.abs().max())


def batch_norm(x):
    """As in inference, of statistics that differ between channels."""
    torch.manual_seed(0)
    mean, variance = torch.randn(x.shape[1]), torch.rand(x.shape[1]) + 0.5
    return F.batch_norm(x, mean, variance)
