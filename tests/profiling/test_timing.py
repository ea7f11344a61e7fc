"""Timing, on a clock of our own: how fast this machine is cannot fail a test."""

import pytest
import torch
from mmengine.optim import build_optim_wrapper
from mmengine.runner import Runner

from mmxattn.profiling import timing as speed
from mmxattn.utils.config import build_model, load_config


class Clock:
    """Time passes only when a function takes it, and ever more slowly: as on a machine that gets busy."""

    def __init__(self):
        self.calls = []

    def function(self, name, cost):
        def call():
            self.calls.append(name)
            self.taken = cost * (1 + 0.5 * len(self.calls))
        return call

    def timer(self, function):
        function()
        return self.taken


def test_functions_take_turns_and_warm_up_does_not_count():
    clock = Clock()
    functions = [clock.function('A', 1.0), clock.function('B', 2.0)]
    first, second = speed.interleave(functions, turns=3, warm_up=2, timer=clock.timer)
    assert ''.join(clock.calls) == 'AB' * 5
    assert first == [1 + 0.5 * call for call in (5, 7, 9)]
    assert second == [2 * (1 + 0.5 * call) for call in (6, 8, 10)]


def test_a_budget_ends_between_turns_and_leaves_one():
    clock = Clock()
    functions = [clock.function('A', 1.0), clock.function('B', 2.0)]
    first, second = speed.interleave(functions, turns=100, warm_up=1, budget=20, timer=clock.timer)
    assert ''.join(clock.calls) == 'AB' * 3  # 1.5 + 4, then 2.5 + 6, then 3.5 + 8
    assert len(first) == len(second) == 2
    first, second = speed.interleave(functions, turns=100, budget=0, timer=clock.timer)
    assert len(first) == len(second) == 1
    first, second = speed.interleave(functions, turns=100, budget=0, timer=clock.timer, least=4)
    assert len(first) == len(second) == 4
    first, second = speed.interleave(functions, turns=2, budget=0, timer=clock.timer, least=4)
    assert len(first) == len(second) == 2


def test_a_drift_cancels_out_in_the_ratio():
    clock = Clock()
    functions = [clock.function('A', 1.0), clock.function('B', 2.0)]
    first, second = speed.interleave(functions, turns=100, timer=clock.timer)
    assert max(first) > 10 * min(first)
    assert speed.ratio(second, first).median == pytest.approx(2, rel=0.02)


def test_a_thing_is_as_fast_as_itself():
    times = [1.0, 7.0, 3.0]
    assert speed.ratio(times, times) == speed.Spread(1.0, 1.0, 1.0)


def test_the_ratio_is_of_pairs_and_not_of_medians():
    result = speed.ratio([2, 3, 40], [1, 30, 10])
    assert result == speed.Spread(median=2.0, lower=pytest.approx(0.48), upper=pytest.approx(3.6))


def test_times_that_are_no_pairs_are_refused():
    with pytest.raises(ValueError, match='2 and 1 timings are no pairs'):
        speed.ratio([1, 2], [1])


def test_wall_clock_covers_the_call():
    done = []
    assert speed.wall_clock(lambda: done.append(sum(range(1000)))) > 0
    assert done


def test_each_device_has_its_timer():
    assert speed.timer_for('cpu') is speed.wall_clock
    assert speed.timer_for('cuda:0') is speed.cuda_events


@pytest.mark.skipif(not torch.cuda.is_available(), reason='needs a GPU')
def test_cuda_events_wait_for_the_kernels():
    matrix = torch.randn(8192, 8192, device='cuda')
    few, many = speed.interleave([lambda: matrix @ matrix, lambda: [matrix @ matrix for _ in range(8)]], turns=5,
                                 timer=speed.cuda_events)
    assert speed.ratio(many, few).median > 3


def test_a_training_step_leaves_the_weights_and_the_batch_as_they_are(toy_recipe):
    cfg = load_config(toy_recipe('toy'))
    model = build_model(cfg)
    before = [parameter.clone() for parameter in model.parameters()]
    batch = next(iter(Runner.build_dataloader(cfg.train_dataloader, seed=0)))
    step = speed.training_step(model, batch, build_optim_wrapper(model, cfg.optim_wrapper))
    gradients = []
    model.classify.weight.register_hook(gradients.append)
    step()
    step()
    assert model.training
    assert torch.equal(*gradients) and gradients[0].abs().sum() > 0
    assert all(torch.equal(old, new) for old, new in zip(before, model.parameters()))


def test_predictions_go_through_the_batches_in_turn():
    class Model:
        seen = []

        def eval(self):
            self.evaluating = True

        def test_step(self, batch):
            assert self.evaluating and not torch.is_grad_enabled()
            self.seen.append(batch)

    model = Model()
    predict = speed.prediction(model, ['first', 'second'])
    for _ in range(3):
        predict()
    assert model.seen == ['first', 'second', 'first']


@pytest.mark.parametrize('number, outside', [(1, 0), (5, 0), (6, 0), (20, 5), (100, 40)])
def test_the_medians_interval_is_between_two_of_the_values(number, outside):
    values = [float(value) for value in range(number)]
    assert speed.median_interval(reversed(values)) == (values[outside], values[-1 - outside])


def test_the_medians_interval_covers_it_as_often_as_it_says():
    draws = torch.randn(2000, 25, generator=torch.Generator().manual_seed(0)).exp()  # median 1
    covered = sum(lower <= 1 <= upper for lower, upper in map(speed.median_interval, draws.tolist()))
    assert covered / len(draws) > 0.95
