"""The comparison on the toy task: real training processes, real files."""

import json
import signal
import subprocess
import sys
import time

import pytest
import torch

from mmxattn.comparison import Comparison, Plan, compare
from mmxattn.comparison import training_process as runner_process
from mmxattn.comparison.training import finished_training, last_checkpoint
from mmxattn.utils.config import load_config
from mmxattn.utils.atomic_files import write_json


def run(configs, tmp_path, **kwargs):
    lines = []
    plan = Plan(train=True, turns=4, looks=False, **kwargs)
    result = compare(configs, tmp_path / 'work', plan=plan, say=lines.append)
    return result, '\n'.join(lines)


def test_one_recipe_is_no_comparison(toy_recipe, tmp_path):
    with pytest.raises(ValueError, match='two or more config files.*got 1'):
        compare([toy_recipe('stock')], tmp_path)


def test_a_missing_recipe_is_told_before_anything_is_trained(toy_recipe, tmp_path):
    with pytest.raises(ValueError, match='no config file .*absent.py'):
        compare([toy_recipe('stock'), tmp_path / 'absent.py'], tmp_path / 'work')
    assert not (tmp_path / 'work').exists()


@pytest.mark.slow
def test_from_two_recipes_through_an_interruption_to_a_result(toy_recipe, tmp_path, steps):
    configs = [toy_recipe('stock'), toy_recipe('wide', width=8, leave_at=9)]
    with pytest.raises(ValueError, match='wide stopped with exit status 1: .the lights went out.* run the same'):
        run(configs, tmp_path)
    kept = json.loads((tmp_path / 'work' / 'report.json').read_text())
    assert kept['candidates'][0]['runs'][0]['training']['iterations'] == 12  # what is known is written
    assert (tmp_path / 'work' / 'report.html').is_file()

    # Again: the first is not trained anew, the second goes on from its checkpoint.
    result, said = run(configs, tmp_path)
    assert 'stock is trained already' in said
    assert steps('stock') == list(range(12))
    assert steps('wide') == list(range(10)) + list(range(8, 12))  # four steps an epoch, a checkpoint after each
    stock, wide = result.candidates
    assert result.shape == (8, 12)
    assert stock.complexity.parameters == 3 * 4 * 9 + 4 * 2 + 2
    assert wide.complexity.macs == 8 * 12 * 3 * 8 * 9 + 8 * 2
    assert 'model.width: 4 -> 8' in said
    assert '<- not the model' in said  # the hook that leaves
    for candidate in result.candidates:
        run_, = candidate.runs
        assert run_.training.iterations == 12
        assert run_.training.seconds > 0
        assert set(run_.metrics) == {'toy/accuracy'}
        assert 0 <= run_.metrics['toy/accuracy'] <= 1
        speed, = candidate.speed
        assert len(speed.inference['1']) == 4 and len(speed.training_step) == 1
        assert speed.training_memory > 0
    assert Comparison.load(tmp_path / 'work' / 'report.json') == result

    # Once more: nothing is trained, nothing is timed, and the result is the same.
    again, said = run(configs, tmp_path)
    assert again == result
    assert 'stock is trained already' in said and 'wide is trained already' in said

    # One recipe changed: it is trained anew, beside the old; the other is not.
    toy_recipe('wide', width=16)
    changed, _ = run(configs, tmp_path)
    assert steps('wide')[14:] == list(range(12))
    assert steps('stock') == list(range(12))
    assert changed.candidates[0].runs[0].training == stock.runs[0].training
    assert changed.candidates[1].fingerprint != wide.fingerprint
    assert len(list((tmp_path / 'work').glob('wide-*'))) == 2


@pytest.mark.slow
def test_a_recipe_against_itself_is_trained_once(toy_recipe, tmp_path, steps):
    stock = toy_recipe('stock')
    result, _ = run([stock, stock], tmp_path, modes=())
    assert [len(candidate.runs) for candidate in result.candidates] == [1, 1]
    assert result.candidates[0].runs == result.candidates[1].runs
    assert steps('stock') == list(range(12))


@pytest.mark.slow
def test_seeds_make_runs_that_differ(toy_recipe, tmp_path):
    configs = [toy_recipe('stock'), toy_recipe('wide', width=8)]
    result, said = run(configs, tmp_path, seeds=(0, 1), modes=())
    assert 'Training 4 of 4: wide, seed 1' in said
    for candidate in result.candidates:
        assert [run_.seed for run_ in candidate.runs] == [0, 1]
        assert len({run_.checkpoint for run_ in candidate.runs}) == 2
        assert candidate.speed == []  # no mode, no timing


def test_without_weights_a_recipe_has_the_same_ones_each_time(toy_recipe, tmp_path, monkeypatch):
    def take(models, *args):
        timed.extend(models)
        return [[] for _ in models]

    timed, stock = [], toy_recipe('stock')
    monkeypatch.setattr('mmxattn.comparison.runner.benchmark', take)
    compare([stock, stock], tmp_path / 'work', plan=Plan(looks=False), say=lambda line: None)
    first, second = (model.state_dict() for model in timed)
    assert all(torch.equal(first[name], second[name]) for name in first)


@pytest.mark.parametrize('text', ['', '[]', '{"candidates": [{"name": "of another version"}]}'])
def test_a_report_that_cannot_be_read_is_made_anew(toy_recipe, tmp_path, text):
    configs = [toy_recipe('stock'), toy_recipe('wide', width=8)]
    (tmp_path / 'work').mkdir()
    (tmp_path / 'work' / 'report.json').write_text(text)
    result = compare(configs, tmp_path / 'work', plan=Plan(modes=(), looks=False), say=lambda line: None)
    assert Comparison.load(tmp_path / 'work' / 'report.json') == result
    assert result.candidates[0].complexity.parameters == 3 * 4 * 9 + 4 * 2 + 2


def test_the_report_of_other_recipes_is_set_aside(toy_recipe, tmp_path):
    stock, wide, said = toy_recipe('stock'), toy_recipe('wide', width=8), []
    plan, folder = Plan(modes=(), looks=False), tmp_path / 'work'
    first = compare([stock, wide], folder, plan=plan, say=said.append)
    for place, name in enumerate(('narrow', 'narrower'), 1):
        compare([stock, toy_recipe(name, width=2)], folder, plan=plan, say=said.append)
        assert (folder / f'earlier_{place}' / 'report.html').is_file()
    assert Comparison.load(folder / 'earlier_1' / 'report.json') == first
    assert f'The report of stock and wide that was here is in {folder / "earlier_1"} now.' in said
    assert Comparison.load(folder / 'report.json').candidates[1].name == 'narrower'

    kept = (folder / 'report.json').read_bytes()
    wrong = tmp_path / 'wrong.py'
    wrong.write_text(stock.read_text().replace('ToyClassifier', 'ToyClasifier'))
    with pytest.raises(ValueError, match='model of .*wrong.py cannot be built'):
        compare([stock, wrong], folder, plan=plan, say=said.append)
    assert (folder / 'report.json').read_bytes() == kept  # nothing is lost to a recipe that does not build


def test_a_training_that_ended_before_its_evaluation_is_evaluated(toy_recipe, tmp_path, steps):
    config, folder = toy_recipe('toy'), tmp_path / 'run'
    runner_process.run(config, folder)
    first = finished_training(folder)
    (folder / 'result.json').unlink()
    assert finished_training(folder) is None
    runner_process.run(config, folder)
    assert steps('toy') == list(range(12))
    assert finished_training(folder) == first  # the time, too: the checkpoint keeps it


@pytest.mark.slow
def test_ctrl_c_stops_the_training_process(toy_recipe, tmp_path, steps):
    load_config(toy_recipe('toy'), {'train_cfg.max_epochs': 100_000}).dump(tmp_path / 'long.py')
    program = ('import sys; from pathlib import Path; from mmxattn.utils.config import load_config\n'
               'from mmxattn.comparison.training import train\n'
               'train(load_config(sys.argv[1]), Path(sys.argv[2]), "long")')
    process = subprocess.Popen([sys.executable, '-c', program, tmp_path / 'long.py', tmp_path / 'run'],
                               stderr=subprocess.DEVNULL,
                               preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL))  # for background jobs
    wait_for(lambda: last_checkpoint(tmp_path / 'run'))
    process.send_signal(signal.SIGINT)  # to the parent alone: the child must end with it
    assert process.wait(timeout=60) != 0
    done = steps('toy')
    time.sleep(0.5)
    assert steps('toy') == done


def test_a_checkpoint_that_is_gone_is_not_resumed(tmp_path):
    assert last_checkpoint(tmp_path) is None
    (tmp_path / 'last_checkpoint').write_text('/elsewhere/epoch_3.pth')
    assert last_checkpoint(tmp_path) is None
    (tmp_path / 'epoch_3.pth').touch()
    assert last_checkpoint(tmp_path) == tmp_path / 'epoch_3.pth'  # also where the folder has been moved


def test_a_file_is_written_whole_or_not_at_all(tmp_path):
    path = tmp_path / 'result.json'
    write_json(path, dict(good=1))
    with pytest.raises(TypeError):
        write_json(path, dict(good=1, bad=object()))
    assert json.loads(path.read_text()) == dict(good=1)


def wait_for(condition, seconds=120):
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, 'it did not come in time'
        time.sleep(0.1)
