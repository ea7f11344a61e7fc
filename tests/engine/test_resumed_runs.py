"""A run that is stopped at any step ends with exactly the state of an uninterrupted run."""
import os
import signal
import subprocess
import sys
from functools import lru_cache
from pathlib import Path

import pytest
import small_training
import torch
from small_training import STEPS, resume, small_config, train, training_state
from toy_training import differing_keys

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope='module')
def uninterrupted(tmp_path_factory):
    """Final state and steps of a run of each kind."""
    @lru_cache
    def run(kind):
        runner, steps, _ = train(small_config(kind, tmp_path_factory.mktemp(kind)))
        return training_state(runner), steps

    return run


def assert_same_end(uninterrupted, resumed, first_step):
    state, steps = uninterrupted
    runner, resumed_steps, _ = resumed
    assert runner.iter == STEPS
    assert differing_keys(state, training_state(runner)) == []
    assert resumed_steps == steps[first_step:]


# In an epoch, at its end, at a step with a checkpoint, before the last step.
@pytest.mark.parametrize('kind, step', [('detector', 2), pytest.param('detector', 5, marks=pytest.mark.slow),
                                        ('segmentor', 6), pytest.param('segmentor', 9, marks=pytest.mark.slow)])
def test_resume_after_sigterm_is_exact(uninterrupted, kind, step, tmp_path):
    config = small_config(kind, tmp_path)
    _, steps, code = train(config, step)
    assert code == 143
    assert steps == uninterrupted(kind)[1][:step]  # the current step is completed
    assert (tmp_path / 'last_checkpoint').read_text() == str(tmp_path / 'stopped.pth')
    assert_same_end(uninterrupted(kind), resume(config), step)


@pytest.mark.slow
def test_resume_restores_sizes_of_batch_sync_random_resize(tmp_path):
    def config(name):
        config = small_config('detector', tmp_path / name)
        config.train_cfg.max_epochs = 1
        config.model.data_preprocessor.batch_augments = [
            dict(type='BatchSyncRandomResize', random_size_range=(96, 256), size_divisor=32, interval=1)]
        return config

    runner, steps, _ = train(config('whole'))
    _, before, _ = train(config('stopped'), 2)
    resumed, after, _ = resume(config('stopped'))
    assert before + after == steps
    assert differing_keys(training_state(runner), training_state(resumed)) == []


@pytest.mark.slow
def test_resume_twice_with_other_numbers_of_workers(uninterrupted, tmp_path):
    train(small_config('segmentor', tmp_path), 1)
    _, steps, code = resume(small_config('segmentor', tmp_path, workers=2), stop_at=8)
    assert code == 143 and steps == uninterrupted('segmentor')[1][1:8]
    assert_same_end(uninterrupted('segmentor'), resume(small_config('segmentor', tmp_path, workers=1)), 8)


@pytest.mark.slow
@pytest.mark.parametrize('kind, step, number, to, workers, resumed_step', [
    ('detector', 8, signal.SIGKILL, 'self', 2, 6),  # from the last checkpoint
    ('segmentor', 8, signal.SIGKILL, 'self', 0, 6),
    ('detector', 4, signal.SIGTERM, 'group', 2, 4),  # the workers too
    ('segmentor', 2, signal.SIGTERM, 'self', 2, 2),
], ids=['kill-workers', 'kill', 'sigterm-group', 'sigterm-workers'])
def test_resume_of_a_killed_process_is_exact(uninterrupted, kind, step, number, to, workers, resumed_step, tmp_path):
    process = subprocess.run(
        [sys.executable, small_training.__file__, *map(str, (kind, tmp_path, step, int(number), to, workers))],
        start_new_session=True, text=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, timeout=300,
        env=dict(os.environ, PYTHONPATH=str(ROOT), OMP_NUM_THREADS=str(torch.get_num_threads())))
    assert process.returncode == (143 if number == signal.SIGTERM else -number), process.stdout
    assert_same_end(uninterrupted(kind), resume(small_config(kind, tmp_path)), resumed_step)
