"""The passes over a gated map against the plain operators, in any order of memory and wherever blocks end."""

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st

from mmxattn.ops.scsa import gated_maps
from mmxattn.ops.scsa.gated_maps import axis_means, gate_and_pool, gate_channels


def passes(x, rows, columns, channels, window, limit=1):
    of_rows, of_columns, x = axis_means(x)
    gated, pooled = gate_and_pool(x, rows, columns, window, limit)
    # the gate of a channel depends on the pooled map, so that gradients come back through both
    return of_rows, of_columns, pooled, gate_channels(gated, channels * pooled.mean((2, 3)), x, rows, columns, limit)


def plain(x, rows, columns, channels, window, limit=1):
    rows, columns = (logits.sigmoid() * limit for logits in (rows, columns))
    gated = x * rows.unsqueeze(3) * columns.unsqueeze(2)
    pooled = F.avg_pool2d(gated, window)
    gate = (channels * pooled.mean((2, 3))).sigmoid() * limit
    return x.mean(3), x.mean(2), pooled, gated * gate[:, :, None, None]


def inputs(batch, channels, height, width, dtype=torch.double):
    torch.manual_seed(0)
    shapes = (batch, channels, height, width), (batch, channels, height), (batch, channels, width), (batch, channels)
    return [torch.randn(shape, dtype=dtype, requires_grad=True) for shape in shapes]


def assert_same(tensors, window, limit=1):
    """Results and gradients of the passes are those of the plain operators."""
    results = []
    for form in (passes, plain):
        outs = form(*tensors, window, limit)
        loss = sum((out * torch.linspace(-1, 1, out.numel(), dtype=out.dtype).view(out.shape)).sum() for out in outs)
        results.append([*outs, *torch.autograd.grad(loss, tensors)])
    for ours, theirs in zip(*results):
        assert torch.allclose(ours, theirs, rtol=1e-9, atol=1e-12)


@settings(deadline=None, max_examples=30)
@given(st.integers(1, 3), st.integers(1, 5), st.integers(1, 17), st.integers(1, 17), st.integers(1, 8),
       st.sampled_from([1, 50, 10**6]), st.sampled_from([1, 2]))
def test_any_shape_in_any_blocks(batch, channels, height, width, side, block, limit):
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(gated_maps, 'BLOCK', block)
        patch.setattr(gated_maps, 'LONG_ROW', 9)
        assert_same(inputs(batch, channels, height, width), (min(side, height), min(side, width)), limit)


@pytest.mark.parametrize('height, width', [(7, 7), (14, 14), (25, 42), (8, 30)])
def test_inference_is_the_same(height, width):
    tensors = [tensor.detach() for tensor in inputs(2, 3, height, width)]
    for ours, right in zip(passes(*tensors, (7, 7)), plain(*tensors, (7, 7))):
        assert torch.allclose(ours, right, rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize('arrange', [
    lambda x: x.contiguous(memory_format=torch.channels_last),
    lambda x: x.transpose(2, 3).contiguous().transpose(2, 3),
    lambda x: x[:, ::2],
])
def test_maps_whose_memory_is_in_another_order(arrange):
    x, *logits = inputs(2, 6, 9, 15)
    x = arrange(x.detach()).requires_grad_()
    assert not x.is_contiguous()
    assert_same([x, *(tensor[:, :x.shape[1]] for tensor in logits)], (7, 7))


def test_gradients_to_a_map_that_does_not_want_any():
    x, *logits = inputs(1, 2, 8, 9)
    ours, right = (torch.autograd.grad(sum(out.pow(2).sum() for out in form(x.detach(), *logits, (3, 4))), logits)
                   for form in (passes, plain))
    assert all(map(torch.allclose, ours, right))


def test_gradients_by_finite_differences():
    assert torch.autograd.gradcheck(lambda *tensors: passes(*tensors, (3, 2)), inputs(1, 2, 7, 5))


def test_an_empty_batch():
    outs = passes(*inputs(0, 4, 8, 8), (7, 7))
    assert [tuple(out.shape) for out in outs] == [(0, 4, 8), (0, 4, 8), (0, 4, 1, 1), (0, 4, 8, 8)]


@pytest.mark.parametrize('dtype', [torch.float16, torch.bfloat16])
def test_half_precision_neither_overflows_nor_sums_in_itself(dtype):
    x, *logits = (tensor.detach() for tensor in inputs(1, 3, 64, 48, dtype))
    x = (x.abs() * 2e4).clamp(max=6e4)  # the sum of a row is far beyond float16
    logits[-1] *= 1e-4  # which the test multiplies with the pooled map
    tensors = [tensor.requires_grad_() for tensor in (x, *logits)]
    exact = [tensor.detach().double().requires_grad_() for tensor in tensors]
    results = []
    for form, own in ((passes, tensors), (plain, exact)):
        outs = form(*own, (7, 7))
        grads = torch.autograd.grad(outs[3], own[:3], torch.full_like(outs[3], 0.01))
        results.append([*outs, *grads])
    for place, (ours, right) in enumerate(zip(*results)):
        assert ours.dtype == dtype and ours.isfinite().all()
        assert ((ours - right).norm() / right.norm()) < (3 if place < 4 else 6) * torch.finfo(dtype).eps


def test_nothing_but_the_map_and_the_gates_is_kept():
    x, *logits = inputs(2, 4, 16, 16)
    kept = []
    with torch.autograd.graph.saved_tensors_hooks(lambda tensor: kept.append(tensor) or tensor, lambda tensor: tensor):
        passes(x, *logits, (7, 7))
    large = [tensor for tensor in kept if tensor.numel() >= x.numel()]
    assert large and all(tensor.data_ptr() == x.data_ptr() for tensor in large)


def test_a_compiler_sees_the_plain_operators():
    tensors = [tensor.detach() for tensor in inputs(1, 2, 9, 8)]
    program = torch.export.export(_Passes(), tuple(tensors))
    called = {str(node.target) for node in program.graph.nodes if node.op == 'call_function'}
    assert 'aten.avg_pool2d.default' in called
    for ours, right in zip(program.module()(*tensors), plain(*tensors, (7, 7))):
        assert torch.allclose(ours, right)


class _Passes(torch.nn.Module):

    def forward(self, *tensors):
        return passes(*tensors, (7, 7))
