"""A run that is stopped at any step goes on as if it had not been: nothing that training has differs, bit for bit."""
import os
import signal
import subprocess
import sys
from functools import lru_cache
from pathlib import Path

import pytest
import small_runs
import torch
from small_runs import STEPS, differing, everything, recipe, resume, start

KINDS = ['detector', 'segmentor']


@pytest.fixture(scope='module')
def whole(tmp_path_factory):
    """The uninterrupted run of a kind: its end, and its steps."""
    @lru_cache
    def run(kind):
        runner, steps = start(recipe(kind, tmp_path_factory.mktemp(kind)))
        return everything(runner), steps

    return run


def compare(whole, resumed, steps_before):
    """The end of the resumed run, and every step that it made."""
    end, steps = whole
    runner, steps_after = resumed
    assert runner.iter == STEPS
    assert differing(end, everything(runner)) == []
    assert steps_after == steps[steps_before:]


@pytest.mark.parametrize('kind', KINDS)
def test_the_runs_here_draw_random_numbers_everywhere(whole, kind):
    _, steps = whole(kind)
    assert [step[0] for step in steps] == list(range(STEPS))
    first, second = steps[:STEPS // 2], steps[STEPS // 2:]  # the images of one pass, and of the next
    shown = [{(name, value) for step in half for name, value in zip(step[2], step[3])} for half in (first, second)]
    assert {name for name, _ in shown[0]} == {name for name, _ in shown[1]}
    assert 0 < len(shown[0] & shown[1]) < len(shown[0])  # some are flipped otherwise
    assert [step[2] for step in first] != [step[2] for step in second]


# in an epoch, at its end, at a step where a checkpoint was written, at the last but one
@pytest.mark.parametrize('kind, step', [('detector', 2), ('detector', 5), ('segmentor', 6), ('segmentor', 9)])
def test_sigterm(whole, kind, step, tmp_path):
    config = recipe(kind, tmp_path)
    stopped, before = start(config, step)
    assert stopped.exit_code == 143
    assert before == whole(kind)[1][:step]  # the step under way is the last
    assert (tmp_path / 'last_checkpoint').read_text() == str(tmp_path / 'stopped.pth')
    compare(whole(kind), resume(config), step)


def test_sizes_of_batches_that_are_drawn_ahead(tmp_path):
    """mmdet's BatchSyncRandomResize, which RT-DETR's and YOLOX's recipes have, draws the next batch's size."""
    def resized(name):
        config = recipe('detector', tmp_path / name)
        config.train_cfg.max_epochs = 1
        config.model.data_preprocessor.batch_augments = [
            dict(type='BatchSyncRandomResize', random_size_range=(96, 256), size_divisor=32, interval=1)]
        return config

    runner, steps = start(resized('whole'))
    _, before = start(resized('stopped'), 2)
    resumed, after = resume(resized('stopped'))
    assert before + after == steps
    assert differing(everything(runner), everything(resumed)) == []


@pytest.mark.slow
@pytest.mark.parametrize('kind', ['segmentor'])
def test_stopped_twice_and_with_another_number_of_workers(whole, kind, tmp_path):
    start(recipe(kind, tmp_path), 1)
    again, steps = resume(recipe(kind, tmp_path, workers=2), step=8)
    assert again.exit_code == 143 and steps == whole(kind)[1][1:8]
    compare(whole(kind), resume(recipe(kind, tmp_path, workers=1)), 8)


def run_killed(*arguments) -> int:
    here = Path(small_runs.__file__)
    paths = os.pathsep.join([str(here.parents[2]), *sys.path[:1]])
    process = subprocess.Popen([sys.executable, here, *map(str, arguments)], start_new_session=True, text=True,
                               stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                               env=dict(os.environ, PYTHONPATH=paths, OMP_NUM_THREADS=str(torch.get_num_threads())))
    said, _ = process.communicate(timeout=300)
    run_killed.said = said
    return process.returncode


@pytest.mark.slow
@pytest.mark.parametrize('kind, workers', [('detector', 2), ('segmentor', 0)])
def test_kill_9(whole, kind, workers, tmp_path):
    assert run_killed(kind, tmp_path, 8, int(signal.SIGKILL), workers) == -signal.SIGKILL, run_killed.said
    assert sorted(path.name for path in tmp_path.glob('*.pth')) == ['iter_3.pth', 'iter_6.pth']
    compare(whole(kind), resume(recipe(kind, tmp_path)), 6)


@pytest.mark.slow
def test_sigterm_to_the_whole_job_workers_included(whole, tmp_path):
    assert run_killed('detector-group', tmp_path, 4, int(signal.SIGTERM), 2) == 143, run_killed.said
    compare(whole('detector'), resume(recipe('detector', tmp_path)), 4)


@pytest.mark.slow
def test_sigterm_to_the_run_alone_ends_its_workers_too(tmp_path):
    assert run_killed('segmentor', tmp_path, 2, int(signal.SIGTERM), 2) == 143, run_killed.said  # and it does end
