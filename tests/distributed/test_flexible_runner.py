"""mmengine's FlexibleRunner trains, stops and resumes."""
import os
import signal
import time

import pytest
from mmengine.registry import RUNNERS
from mmengine.runner._flexible_runner import FlexibleRunner
from small_models import MODULES, small_config
from toy_training import Recorder

from mmxattn.engine import make_resumable

STEPS = 3


class LossRecorder(Recorder):

    def after_train_iter(self, runner, batch_idx, data_batch=None, outputs=None):
        self.steps.append(float(outputs['loss'].detach()))
        if runner.iter + 1 == self.at:
            self.then()


def losses(module, work_dir, stop_at=None, **changes):
    config = small_config(module)
    config.train_dataloader.update(batch_size=2, dataset=dict(indices=2 * STEPS))
    config.train_cfg = dict(by_epoch=True, max_epochs=1)
    config.update(param_scheduler=[], work_dir=str(work_dir), log_level='ERROR', launcher='none',
                  runner_type='FlexibleRunner', strategy=dict(type='SingleDeviceStrategy'),
                  optim_wrapper=dict(type='OptimWrapper', optimizer=dict(type='SGD', lr=1e-3)),
                  experiment_name=f'flexible-{time.time_ns()}', **changes)
    make_resumable(config)
    runner = RUNNERS.build(config)
    assert isinstance(runner, FlexibleRunner)
    recorder = LossRecorder(lambda: os.kill(os.getpid(), signal.SIGTERM), stop_at)
    runner.register_hook(recorder)
    if stop_at is None:
        runner.train()
    else:
        with pytest.raises(SystemExit, match='143'):
            runner.train()
    return recorder.steps


@pytest.mark.parametrize('module', MODULES)
def test_resumed_run_has_the_losses_of_an_uninterrupted_one(module, tmp_path):
    whole = losses(module, tmp_path / 'whole')
    handler = signal.getsignal(signal.SIGTERM)
    before = losses(module, tmp_path / 'stopped', stop_at=2)
    signal.signal(signal.SIGTERM, handler)
    after = losses(module, tmp_path / 'stopped', resume=True)
    assert len(whole) == STEPS and before + after == whole
