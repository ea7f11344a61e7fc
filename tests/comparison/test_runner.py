"""Comparison of the toy classifier, with real training processes and files."""

import json
import signal
import subprocess
import sys
import time

import pytest
import torch

from mmxattn.comparison import CompareOptions, Comparison, compare, training_process
from mmxattn.comparison.training import find_last_checkpoint, load_finished_training
from mmxattn.utils.config import load_config

UNTIMED = CompareOptions(modes=(), visualization=False)
NUM_PARAMETERS = 3 * 4 * 9 + 4 * 2 + 2  # of the toy classifier at its default width


def train_and_compare(configs, tmp_path, **options):
    """Return the result and the log of a comparison with training."""
    lines = []
    options = CompareOptions(train=True, turns=4, visualization=False, **options)
    result = compare(configs, tmp_path / 'work', options=options, log=lines.append)
    return result, '\n'.join(lines)


def test_missing_config_is_reported_before_training(toy_config, tmp_path):
    with pytest.raises(ValueError, match='no config file .*absent.py'):
        compare([toy_config('base'), tmp_path / 'absent.py'], tmp_path / 'work')
    assert not (tmp_path / 'work').exists()


@pytest.mark.slow
def test_interrupted_comparison_resumes(toy_config, tmp_path, steps):
    configs = [toy_config('base'), toy_config('wide', width=8, crash_at=9)]
    with pytest.raises(ValueError, match='wide failed with exit status 1: .simulated crash.* run the same command'):
        train_and_compare(configs, tmp_path)
    partial = json.loads((tmp_path / 'work' / 'report.json').read_text())
    assert partial['baseline']['runs'][0]['training']['iterations'] == 12
    assert (tmp_path / 'work' / 'report.html').is_file()

    # The second call does not train the baseline again and resumes the candidate.
    result, log = train_and_compare(configs, tmp_path)
    assert 'base is already trained' in log
    assert steps('base') == list(range(12))
    assert steps('wide') == list(range(10)) + list(range(8, 12))  # four steps and one checkpoint per epoch
    base, wide = result.recipes
    assert result.shape == (8, 12)
    assert base.complexity.parameters == NUM_PARAMETERS
    assert wide.complexity.macs == 8 * 12 * 3 * 8 * 9 + 8 * 2
    assert 'model.width: 4 -> 8' in log
    assert '<- outside the model' in log  # the hook that crashes
    for recipe in result.recipes:
        run, = recipe.runs
        assert run.training.iterations == 12
        assert run.training.seconds > 0
        assert set(run.metrics) == {'toy/accuracy'}
        speed, = recipe.speed
        assert len(speed.inference['1']) == 4 and len(speed.training_step) == 1
        assert speed.training_memory > 0
    assert Comparison.load(tmp_path / 'work' / 'report.json') == result

    # The third call repeats nothing.
    again, log = train_and_compare(configs, tmp_path)
    assert again == result
    assert 'base is already trained' in log and 'wide is already trained' in log

    # After a change of one config, only that one is trained.
    toy_config('wide', width=16)
    changed, _ = train_and_compare(configs, tmp_path)
    assert steps('wide')[14:] == list(range(12))
    assert steps('base') == list(range(12))
    assert changed.baseline.runs[0].training == base.runs[0].training
    assert changed.candidates[0].fingerprint != wide.fingerprint
    assert len(list((tmp_path / 'work').glob('wide-*'))) == 2


@pytest.mark.slow
def test_each_seed_is_a_run_and_equal_recipes_share_it(toy_config, tmp_path, steps):
    base = toy_config('base')
    result, log = train_and_compare([base, base], tmp_path, seeds=(0, 1), modes=())
    assert 'Training 3 of 4: base, seed 1' in log
    assert [run.seed for run in result.baseline.runs] == [0, 1]
    assert len({run.checkpoint for run in result.baseline.runs}) == 2
    assert result.candidates[0].runs == result.baseline.runs
    assert steps('base') == list(range(12)) * 2
    assert result.baseline.speed == []


def test_random_weights_are_reproducible(toy_config, tmp_path, monkeypatch):
    def record(models, *args):
        timed.extend(models)
        return [[] for _ in models]

    timed, base = [], toy_config('base')
    monkeypatch.setattr('mmxattn.comparison.runner.benchmark', record)
    compare([base, base], tmp_path / 'work', options=CompareOptions(visualization=False), log=lambda line: None)
    first, second = (model.state_dict() for model in timed)
    assert all(torch.equal(first[name], second[name]) for name in first)


@pytest.mark.parametrize('text', ['', '[]', '{"candidates": [{"name": "format version 1"}]}'])
def test_unreadable_report_is_replaced(toy_config, tmp_path, text):
    configs = [toy_config('base'), toy_config('wide', width=8)]
    (tmp_path / 'work').mkdir()
    (tmp_path / 'work' / 'report.json').write_text(text)
    result = compare(configs, tmp_path / 'work', options=UNTIMED, log=lambda line: None)
    assert Comparison.load(tmp_path / 'work' / 'report.json') == result
    assert result.baseline.complexity.parameters == NUM_PARAMETERS


def test_report_of_other_recipes_is_archived(toy_config, tmp_path):
    base, wide, lines = toy_config('base'), toy_config('wide', width=8), []
    folder = tmp_path / 'work'
    first = compare([base, wide], folder, options=UNTIMED, log=lines.append)
    for number, name in enumerate(('narrow', 'narrower'), 1):
        compare([base, toy_config(name, width=2)], folder, options=UNTIMED, log=lines.append)
        assert (folder / f'previous_{number}' / 'report.html').is_file()
    assert Comparison.load(folder / 'previous_1' / 'report.json') == first
    assert f'Moved the earlier report of base, wide to {folder / "previous_1"}.' in lines
    assert Comparison.load(folder / 'report.json').candidates[0].name == 'narrower'

    # A config that cannot be built leaves the report in place.
    kept = (folder / 'report.json').read_bytes()
    wrong = tmp_path / 'wrong.py'
    wrong.write_text(base.read_text().replace('ToyClassifier', 'ToyClasifier'))
    with pytest.raises(ValueError, match='model of .*wrong.py cannot be built'):
        compare([base, wrong], folder, options=UNTIMED, log=lines.append)
    assert (folder / 'report.json').read_bytes() == kept


def test_missing_evaluation_is_repeated_without_training(toy_config, tmp_path, steps):
    config, folder = toy_config('toy'), tmp_path / 'run'
    training_process.run(config, folder)
    first = load_finished_training(folder)
    (folder / 'result.json').unlink()
    assert load_finished_training(folder) is None
    training_process.run(config, folder)
    assert steps('toy') == list(range(12))
    assert load_finished_training(folder) == first  # including the time, which the checkpoint keeps


@pytest.mark.slow
def test_ctrl_c_stops_the_training_process(toy_config, tmp_path, steps):
    load_config(toy_config('toy'), {'train_cfg.max_epochs': 100_000}).dump(tmp_path / 'long.py')
    program = ('import sys; from pathlib import Path; from mmxattn.utils.config import load_config\n'
               'from mmxattn.comparison.training import train\n'
               'train(load_config(sys.argv[1]), Path(sys.argv[2]), "long")')
    process = subprocess.Popen([sys.executable, '-c', program, tmp_path / 'long.py', tmp_path / 'run'],
                               stderr=subprocess.DEVNULL,
                               preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL))  # for background jobs
    wait_for(lambda: find_last_checkpoint(tmp_path / 'run'))
    process.send_signal(signal.SIGINT)  # to the parent only
    assert process.wait(timeout=60) != 0
    done = steps('toy')
    time.sleep(0.5)
    assert steps('toy') == done


def test_last_checkpoint_must_exist(tmp_path):
    assert find_last_checkpoint(tmp_path) is None
    (tmp_path / 'last_checkpoint').write_text('/elsewhere/epoch_3.pth')
    assert find_last_checkpoint(tmp_path) is None
    (tmp_path / 'epoch_3.pth').touch()
    assert find_last_checkpoint(tmp_path) == tmp_path / 'epoch_3.pth'  # also if the folder was moved


def wait_for(condition, seconds=120):
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, 'timed out'
        time.sleep(0.1)
