"""The checkpoint hook: SIGTERM, accumulated gradients, and validations around a stop."""
import os
import signal

import pytest
import torch
from toy_training import Recorder, ToyMetric, build_runner, flexible_config, resumable_config, train, with_validation

from mmxattn.engine import find_latest_checkpoint


@pytest.fixture(autouse=True)
def sigterm_handler():
    """Restore the SIGTERM handler, which a stopped run leaves installed because it normally ends the process."""
    handler = signal.getsignal(signal.SIGTERM)
    yield handler
    signal.signal(signal.SIGTERM, handler)


def sigterm():
    os.kill(os.getpid(), signal.SIGTERM)


def weights(path):
    return torch.load(path)['state_dict']


def assert_equal(one, other):
    assert one.keys() == other.keys() and all(torch.equal(one[name], other[name]) for name in one)


def test_sigterm_during_validation_writes_nothing(tmp_path, monkeypatch):
    monkeypatch.setattr(ToyMetric, 'process', lambda *args: sigterm())
    _, code = train(with_validation(resumable_config(tmp_path)))
    assert code == 143
    assert find_latest_checkpoint(tmp_path) == str(tmp_path / 'epoch_1.pth')
    assert not (tmp_path / 'stopped.pth').exists()


def test_handler_is_restored_and_stopped_checkpoint_removed(tmp_path, sigterm_handler):
    train(resumable_config(tmp_path), Recorder(sigterm, at=8))
    assert (tmp_path / 'stopped.pth').exists()
    signal.signal(signal.SIGTERM, sigterm_handler)
    train(resumable_config(tmp_path, resume=True))
    assert signal.getsignal(signal.SIGTERM) is sigterm_handler
    assert not (tmp_path / 'stopped.pth').exists()


@pytest.mark.parametrize('at, stops', [(7, 8), (8, 8)])
def test_stop_waits_for_the_update_with_accumulation_and_ema(tmp_path, at, stops):
    def config(name, **changes):
        config = resumable_config(tmp_path / name, **{'optim_wrapper.accumulative_counts': 2, **changes})
        config.custom_hooks.append(dict(type='EMAHook', momentum=0.1))
        return config

    train(config('whole'))
    stopped, _ = train(config('stopped'), Recorder(sigterm, at=at))
    assert stopped.iter + 1 == stops
    train(config('stopped', resume=True))
    whole, resumed = (torch.load(tmp_path / name / 'epoch_3.pth') for name in ('whole', 'stopped'))
    for key in ('state_dict', 'ema_state_dict'):
        assert_equal(whole[key], resumed[key])


@pytest.mark.parametrize('changes, first, last, step', [
    ({}, 'epoch_1.pth', 'epoch_3.pth', 6),
    ({'default_hooks.checkpoint.by_epoch': False, 'default_hooks.checkpoint.interval': 3}, 'iter_3.pth',
     'iter_18.pth', 3),
], ids=['epochs', 'steps'])
def test_checkpoint_between_updates_holds_the_gradients(tmp_path, changes, first, last, step):
    """With six batches per epoch and an update every four steps. The keys are those of 0.1.0."""
    changes = {'optim_wrapper.accumulative_counts': 4, **changes}
    train(resumable_config(tmp_path, **changes))
    whole = weights(tmp_path / last)
    content = torch.load(tmp_path / first)
    assert set(content['waiting_gradients']) == {'layer.weight', 'layer.bias'}
    assert ('batches_of_epoch' in content['message_hub']['runtime_info']) == (step == 3)
    recorder = Recorder()
    train(resumable_config(tmp_path, resume=True, load_from=str(tmp_path / first), **changes), recorder)
    assert recorder.steps[0][1] == step
    assert_equal(weights(tmp_path / last), whole)


@pytest.mark.parametrize('at, scores', [(4, [0.1, 0.2]), (6, [0.2]), (8, [0.2])],
                         ids=['before-first', 'between', 'before-last'])
def test_validation_missed_by_a_stop_is_run_on_resume(tmp_path, at, scores):
    """Eight steps, validated every four."""
    def config(**changes):
        config = resumable_config(tmp_path, **{'default_hooks.checkpoint.by_epoch': False, **changes})
        config.train_cfg = dict(type='mmxattn.ResumableIterLoop', max_iters=8, val_interval=4)
        config.train_dataloader.sampler = dict(type='InfiniteSampler')
        return with_validation(config)

    ToyMetric.scores = [0.1, 0.2][:0 if at == 4 else 1]
    assert train(config(), Recorder(sigterm, at=at))[1] == 143
    assert ToyMetric.scores == []
    ToyMetric.scores = list(scores)
    runner, _ = train(config(resume=True))
    assert ToyMetric.scores == [] and runner.iter == 8


class Killed(BaseException):
    """Exception in place of SIGKILL."""


def test_kill_during_a_second_stop_keeps_the_first(tmp_path, monkeypatch, sigterm_handler):
    """FlexibleRunner overwrites files in place."""
    train(flexible_config(tmp_path), Recorder(sigterm, at=2))
    signal.signal(signal.SIGTERM, sigterm_handler)
    runner = build_runner(flexible_config(tmp_path, resume=True), Recorder(sigterm, at=4))

    def write_half(state_dict, filename, *args, **kwargs):
        with open(filename, 'wb') as file:
            file.write(b'PK')
        raise Killed

    with monkeypatch.context() as patch:
        patch.setattr('mmengine.runner.checkpoint.save_checkpoint', write_half)
        with pytest.raises(Killed):
            runner.train()
    signal.signal(signal.SIGTERM, sigterm_handler)
    recorder = Recorder(sigterm, at=6)
    assert train(flexible_config(tmp_path, resume=True), recorder)[1] == 143
    assert [step[1] for step in recorder.steps] == [2, 3, 4, 5]
    assert [path.name for path in tmp_path.glob('*.pth')] == ['stopped.pth']
