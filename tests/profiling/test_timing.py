"""Timing with a simulated clock, so that the speed of the machine does not matter."""

import pytest
import torch
from mmengine.optim import build_optim_wrapper

import recipes
from mmxattn.profiling import timing
from mmxattn.profiling.inputs import synthetic_batch


class Clock:
    """Simulated machine that gets slower with each call."""

    def __init__(self):
        self.calls = []

    def function(self, name, cost):
        def call():
            self.calls.append(name)
            self.elapsed = cost * (1 + 0.5 * len(self.calls))
        return call

    def timer(self, function):
        function()
        return self.elapsed


@pytest.fixture
def clock():
    return Clock()


@pytest.fixture
def functions(clock):
    return [clock.function('A', 1.0), clock.function('B', 2.0)]


def test_interleave_alternates_and_discards_warmup(clock, functions):
    first, second = timing.interleave(functions, turns=3, warmup=2, timer=clock.timer)
    assert ''.join(clock.calls) == 'AB' * 5
    assert first == [1 + 0.5 * call for call in (5, 7, 9)]
    assert second == [2 * (1 + 0.5 * call) for call in (6, 8, 10)]


def test_budget_stops_between_turns(clock, functions):
    first, second = timing.interleave(functions, turns=100, warmup=1, budget=20, timer=clock.timer)
    assert ''.join(clock.calls) == 'AB' * 3  # 1.5 + 4, then 2.5 + 6, then 3.5 + 8
    assert len(first) == len(second) == 2


@pytest.mark.parametrize('turns, min_turns, expected', [(100, 1, 1), (100, 4, 4), (2, 4, 2)])
def test_min_turns_overrides_budget(clock, functions, turns, min_turns, expected):
    measured = timing.interleave(functions, turns=turns, budget=0, timer=clock.timer, min_turns=min_turns)
    assert [len(seconds) for seconds in measured] == [expected] * 2


def test_ratio_cancels_drift(clock, functions):
    first, second = timing.interleave(functions, turns=100, timer=clock.timer)
    assert max(first) > 10 * min(first)
    assert timing.ratio(second, first).median == pytest.approx(2, rel=0.02)


def test_ratio_is_computed_per_turn():
    result = timing.ratio([2, 3, 40], [1, 30, 10])
    assert result == timing.Spread(median=2.0, lower=pytest.approx(0.48), upper=pytest.approx(3.6))


def test_ratio_rejects_different_numbers_of_turns():
    with pytest.raises(ValueError, match='must come from the same turns, got 2 and 1 values'):
        timing.ratio([1, 2], [1])


def test_wall_clock_calls_the_function():
    done = []
    assert timing.wall_clock(lambda: done.append(sum(range(1000)))) > 0
    assert done


def test_timer_for_device():
    assert timing.timer_for('cpu') is timing.wall_clock
    assert timing.timer_for('cuda:0') is timing.cuda_events


@pytest.mark.skipif(not torch.cuda.is_available(), reason='needs a GPU')
def test_cuda_events_wait_for_kernels():
    matrix = torch.randn(8192, 8192, device='cuda')
    few, many = timing.interleave([lambda: matrix @ matrix, lambda: [matrix @ matrix for _ in range(8)]], turns=5,
                                  timer=timing.cuda_events)
    assert timing.ratio(many, few).median > 3


def test_training_step_keeps_weights_and_batch():
    cfg = recipes.stock('mmdet', 'retinanet/retinanet_r18_fpn_1x_coco.py')
    model = recipes.build(cfg)
    before = [parameter.clone() for parameter in model.parameters()]
    batch = synthetic_batch(cfg, (64, 96), 2)
    step = timing.make_training_step(model, batch, build_optim_wrapper(model, cfg.optim_wrapper))
    gradients = []
    model.bbox_head.retina_cls.weight.register_hook(gradients.append)
    step()
    per_step = len(gradients)
    step()
    assert model.training and 0 < per_step == len(gradients) / 2
    assert all(torch.equal(first, second) for first, second in zip(gradients, gradients[per_step:]))
    assert all(torch.equal(old, new) for old, new in zip(before, model.parameters()))


def test_inference_step_cycles_through_batches():
    class Model:
        seen = []

        def eval(self):
            self.training = False

        def test_step(self, batch):
            assert not self.training and not torch.is_grad_enabled()
            self.seen.append(batch)

    model = Model()
    step = timing.make_inference_step(model, ['first', 'second'])
    for _ in range(3):
        step()
    assert model.seen == ['first', 'second', 'first']


@pytest.mark.parametrize('number, cut', [(1, 0), (5, 0), (6, 0), (20, 5), (100, 40)])
def test_median_interval_uses_order_statistics(number, cut):
    values = [float(value) for value in range(number)]
    assert timing.median_interval(reversed(values)) == (values[cut], values[-1 - cut])


def test_median_interval_has_95_percent_coverage():
    draws = torch.randn(2000, 25, generator=torch.Generator().manual_seed(0)).exp()  # median 1
    covered = sum(lower <= 1 <= upper for lower, upper in map(timing.median_interval, draws.tolist()))
    assert covered / len(draws) > 0.95
