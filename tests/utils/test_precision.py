"""Half precision: finite and close to float32 for activations larger than those of real networks; runs repeat exactly.

``PEAK`` is the largest activation of mmdet's ResNet-50 at random initialization, with residual branches and batch
statistics, over noise, a photograph and a black image of 800x1344: 67.1, in the third level over the black image.
"""
import pytest
import torch

import oracles
from layer_cases import CASES
from mmxattn.utils.precision import map_dtype, saturate, without_autocast

PEAK = 67.1
SIZES = (32, 26), (16, 13)
ALL_CASES = pytest.mark.parametrize('case', CASES.values(), ids=CASES)
HALF_DTYPES = pytest.mark.parametrize('dtype', [torch.float16, torch.bfloat16], ids=['fp16', 'bf16'])


def run(case, dtype, peak, grad_scale=1.):
    """Outputs, input gradients and parameter gradients for non-negative maps with a maximum of ``peak``.

    Args:
        case: Layer and maps.
        dtype: Dtype of autocast and of the maps; None for float32 without autocast.
        peak: Maximum of each map.
        grad_scale: Scale of the output gradients.
    """
    layer = case.build()
    maps = [x.relu() for x in case.maps(SIZES)]
    maps = [(x * (peak / x.max())).bfloat16().float() for x in maps]
    maps = [x.to(dtype or x.dtype).requires_grad_() for x in maps]
    with torch.autocast('cpu', dtype=dtype or torch.bfloat16, enabled=dtype is not None):
        outs = case.run(layer, maps)
    torch.manual_seed(2)
    torch.autograd.backward(outs, [(torch.randn(x.shape) * grad_scale).to(x.dtype) for x in outs])
    return flat(outs), flat([x.grad for x in maps]), {k: p.grad for k, p in layer.named_parameters()}


def flat(maps):
    return torch.cat([x.detach().float().flatten() for x in maps])


@ALL_CASES
@HALF_DTYPES
def test_autocast_is_close_to_float32(case, dtype):
    eps = torch.finfo(dtype).eps
    (out, grad, grads), (right, right_grad, right_grads) = (run(case, d, PEAK) for d in (dtype, None))
    assert oracles.relative_error(out, right) < 2 * eps
    assert oracles.relative_error(grad, right_grad) < 8 * eps
    assert oracles.relative_error(flat(grads.values()), flat(right_grads.values())) < 16 * eps
    assert all(x.isfinite().all() for x in grads.values())


@ALL_CASES
@HALF_DTYPES
def test_large_activations_stay_finite(case, dtype):
    """The gradient is scaled down as much as the output grows, as a GradScaler does."""
    out, grad, grads = run(case, dtype, 100 * PEAK, grad_scale=100.**-case.degree)
    assert out.isfinite().all() and grad.isfinite().all()
    assert all(x.isfinite().all() for x in grads.values())
    right = run(case, None, 100 * PEAK)[0]
    if dtype == torch.float16:
        right = saturate(right, dtype).float()
    assert oracles.relative_error(out, right) < 4 * torch.finfo(dtype).eps


@ALL_CASES
@HALF_DTYPES
def test_output_has_dtype_of_a_convolution(case, dtype):
    maps = [x.to(dtype) for x in case.maps(SIZES)]
    with torch.autocast('cpu', dtype=dtype):
        assert {x.dtype for x in case.run(case.build(), maps)} == {dtype}


@ALL_CASES
@pytest.mark.parametrize('deterministic', [False, True])
def test_runs_are_bitwise_reproducible(case, deterministic):
    torch.use_deterministic_algorithms(deterministic)
    try:
        (out, grad, grads), (again, grad_again, grads_again) = (run(case, None, 4) for _ in range(2))
    finally:
        torch.use_deterministic_algorithms(False)
    assert torch.equal(out, again) and torch.equal(grad, grad_again)
    assert all(torch.equal(grads[k], grads_again[k]) for k in grads)


def test_saturated_maps_can_be_added():
    x = saturate(torch.tensor([1e9, -1e9, 3.]), torch.float16)
    assert x.dtype == torch.float16 and (4 * x).isfinite().all() and x[2] == 3
    assert saturate(torch.tensor([1e9]), torch.bfloat16).float().item() == pytest.approx(1e9, rel=1e-2)
    assert saturate(torch.tensor([1e9]), torch.float32).item() == 1e9


def test_without_autocast_disables_autocast():
    x = torch.ones(2, 2)
    assert map_dtype(x) == torch.float32
    with torch.autocast('cpu', dtype=torch.bfloat16):
        assert map_dtype(x) == torch.bfloat16
        assert (x @ x).dtype == torch.bfloat16
        with without_autocast(x):
            assert (x @ x).dtype == torch.float32
