"""Sixteen numbers at a time, against NumPy's."""
import numpy as np
import pytest

numba = pytest.importorskip('numba')
from mmxattn.ops.compiled import lanes  # noqa: E402  it needs Numba

NUMBERS = np.random.default_rng(0).normal(size=(2, 16)).astype(np.float32)


def apply(function, a, b=None):
    """A function of one or two times sixteen numbers, compiled."""
    out = np.empty(16, np.float32)
    if b is None:

        @numba.njit
        def call(a, out):
            lanes.store(out.ctypes.data, function(lanes.load(a.ctypes.data)))

        call(a, out)
    else:

        @numba.njit
        def call(a, b, out):
            lanes.store(out.ctypes.data, function(lanes.load(a.ctypes.data), lanes.load(b.ctypes.data)))

        call(a, b, out)
    return out


@pytest.mark.parametrize('function', [
    lambda a, b: a + b, lambda a, b: a - b, lambda a, b: a * b, lambda a, b: a / b
], ids='+-*/')
def test_arithmetic(function):
    assert np.array_equal(apply(numba.njit(function), *NUMBERS), function(*NUMBERS))


def test_larger():
    a, b = NUMBERS.copy()
    a[3] = np.nan
    right = np.where(a > b, a, b)
    assert np.array_equal(apply(lanes.larger, a, b), right) and right[3] == b[3]


@pytest.mark.parametrize('lowest', [1, 30, 126])
def test_exp2(lowest):
    x = np.linspace(-lowest, 0, 16, dtype=np.float32)
    assert np.allclose(apply(lanes.exp2, x), np.exp2(x.astype(np.float64)), rtol=2e-7, atol=0)


def test_exp2_of_what_is_not_small_or_not_a_number():
    x = np.array([-np.inf, -1e30, -127, np.nan, 0, -.5, *[-1] * 10], np.float32)
    y = apply(lanes.exp2, x)
    assert np.array_equal(y[:3], [2.**-126] * 3) and np.isnan(y[3])
    assert y[4] == 1 and np.isclose(y[5], .5**.5) and (y[6:] == .5).all()


def test_spread():
    @numba.njit
    def call(x, out):
        lanes.store(out.ctypes.data, lanes.spread(x))

    out = np.empty(16, np.float32)
    call(np.float32(3), out)
    assert (out == 3).all()


@pytest.mark.parametrize('fresh', [True, False])
@pytest.mark.parametrize('across', [True, False])
@pytest.mark.parametrize('rows, count', [(4, 2), (16, 1)])
def test_multiply_add(across, fresh, rows, count):
    """Weights in rows, and in columns; sums that are set, and that are added to."""
    @numba.njit
    def call(out, weights, row_step, step, x):
        lanes.multiply_add(out.ctypes.data, weights.ctypes.data, row_step, step, x.ctypes.data, rows, count, fresh)

    random = np.random.default_rng(1)
    weights, x, out = (random.normal(size=shape).astype(np.float32)
                       for shape in ((16, 16), (16, 16 * count), (rows, 16 * count)))
    right = (0 if fresh else out) + (weights[:, :rows].T if across else weights[:rows]).astype(np.float64) @ x
    call(out, weights, *((4, 64) if across else (64, 4)), x)
    assert np.allclose(out, right, atol=1e-5)
