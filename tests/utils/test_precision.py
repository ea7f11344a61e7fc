"""Mixed precision: finite and close to single precision, for maps far larger than a network has; runs repeat exactly.

``PEAK``: the largest activation of mmdet's stock ResNet-50 at its random start (residual branches on, statistics of the
batch), over noise, a photograph and a black picture of 800x1344: 67.1, on the third level over the black one.
"""
import pytest
import torch

import oracles
import parts
from mmxattn.utils.precision import map_dtype, saturate, without_autocast

PEAK = 67.1
SIZES = (32, 26), (16, 13)
PARTS = pytest.mark.parametrize('part', parts.PARTS.values(), ids=parts.PARTS)
HALVES = pytest.mark.parametrize('dtype', [torch.float16, torch.bfloat16], ids=['fp16', 'bf16'])


def run(part, dtype, peak, gradient=1.):
    """Outputs and gradients of maps that reach ``peak``, as a ReLU leaves them, under autocast to ``dtype`` or not."""
    call = part.build()
    maps = [x.relu() for x in part.maps(SIZES)]
    maps = [(x * (peak / x.max())).bfloat16().float() for x in maps]
    maps = [x.to(dtype or x.dtype).requires_grad_() for x in maps]  # what float16 rounds off no layer can know
    with torch.autocast('cpu', dtype=dtype or torch.bfloat16, enabled=dtype is not None):
        outs = call(maps)
    torch.manual_seed(2)
    torch.autograd.backward(outs, [(torch.randn(x.shape) * gradient).to(x.dtype) for x in outs])
    return flat(outs), flat([x.grad for x in maps]), {k: p.grad for k, p in call.layer.named_parameters()}


def flat(maps):
    return torch.cat([x.detach().float().flatten() for x in maps])


@PARTS
@HALVES
def test_what_a_resnet_gives_is_close_to_single_precision(part, dtype):
    """Within 2 units of rounding for the output, 8 for the gradient to the maps, and as a whole 16 to the weights."""
    eps = torch.finfo(dtype).eps
    (out, grad, grads), (right, right_grad, right_grads) = (run(part, d, PEAK) for d in (dtype, None))
    assert oracles.relative_error(out, right) < 2 * eps
    assert oracles.relative_error(grad, right_grad) < 8 * eps
    assert oracles.relative_error(flat(grads.values()), flat(right_grads.values())) < 16 * eps
    assert all(x.isfinite().all() for x in grads.values())


@PARTS
@HALVES
def test_a_hundred_times_that_is_finite(part, dtype):
    """With a gradient scaled down by as much as the output grows, as a GradScaler does."""
    out, grad, grads = run(part, dtype, 100 * PEAK, gradient=100.**-part.degree)
    assert out.isfinite().all() and grad.isfinite().all()
    assert all(x.isfinite().all() for x in grads.values())
    right = run(part, None, 100 * PEAK)[0]
    if dtype == torch.float16:
        right = saturate(right, dtype).float()
    assert oracles.relative_error(out, right) < 4 * torch.finfo(dtype).eps


@PARTS
@HALVES
def test_the_output_has_the_type_of_a_convolution(part, dtype):
    maps = [x.to(dtype) for x in part.maps(SIZES)]
    with torch.autocast('cpu', dtype=dtype):
        assert {x.dtype for x in part.build()(maps)} == {dtype}


@PARTS
@pytest.mark.parametrize('deterministic', [False, True])
def test_two_runs_are_bitwise_the_same(part, deterministic):
    torch.use_deterministic_algorithms(deterministic)
    try:
        (out, grad, grads), (again, grad_again, grads_again) = (run(part, None, 4) for _ in range(2))
    finally:
        torch.use_deterministic_algorithms(False)
    assert torch.equal(out, again) and torch.equal(grad, grad_again)
    assert all(torch.equal(grads[k], grads_again[k]) for k in grads)


def test_saturated_maps_can_be_added_up():
    x = saturate(torch.tensor([1e9, -1e9, 3.]), torch.float16)
    assert x.dtype == torch.float16 and (4 * x).isfinite().all() and x[2] == 3
    assert saturate(torch.tensor([1e9]), torch.bfloat16).float().item() == pytest.approx(1e9, rel=1e-2)
    assert saturate(torch.tensor([1e9]), torch.float32).item() == 1e9


def test_autocast_is_seen_and_left():
    x = torch.ones(2, 2)
    assert map_dtype(x) == torch.float32
    with torch.autocast('cpu', dtype=torch.bfloat16):
        assert map_dtype(x) == torch.bfloat16
        assert (x @ x).dtype == torch.bfloat16
        with without_autocast(x):
            assert (x @ x).dtype == torch.float32
