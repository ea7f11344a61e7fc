"""mmengine's FlexibleRunner: it trains every part, goes on after a stop, and trains in shards (FSDP)."""
import os
import signal
import time

import pytest
import sharded_runner
import torch
from launch import in_two_processes
from mmengine.registry import RUNNERS
from mmengine.runner._flexible_runner import FlexibleRunner
from small_hosts import PARTS, recipe
from toy import Seen

from mmxattn.engine import make_resumable
from mmxattn.patches import LOADS_WEIGHTS_ONLY

STEPS = 3


def runner(part, folder, **changes):
    config = recipe(part)
    config.train_dataloader.update(batch_size=2, dataset=dict(indices=2 * STEPS))
    config.train_cfg = dict(by_epoch=True, max_epochs=1)
    config.update(param_scheduler=[], work_dir=str(folder), log_level='ERROR', launcher='none',
                  runner_type='FlexibleRunner', strategy=dict(type='SingleDeviceStrategy'),
                  optim_wrapper=dict(type='OptimWrapper', optimizer=dict(type='SGD', lr=1e-3)),
                  experiment_name=f'flexible-{time.time_ns()}')
    config.update(changes)
    make_resumable(config)
    return RUNNERS.build(config)


class Losses(Seen):
    def after_train_iter(self, runner, batch_idx, data_batch=None, outputs=None):
        self.batches.append(float(outputs['loss'].detach()))
        if runner.iter + 1 == self.at:
            self.then()


def losses(part, folder, at=None, **changes):
    seen = Losses(lambda: os.kill(os.getpid(), signal.SIGTERM), at)
    flexible = runner(part, folder, **changes)
    assert isinstance(flexible, FlexibleRunner)
    flexible.register_hook(seen)
    try:
        flexible.train()
    except SystemExit as stop:
        assert stop.code == 143
    return seen.batches


@pytest.mark.parametrize('part', PARTS)
def test_it_trains_stops_and_goes_on(part, tmp_path):
    whole = losses(part, tmp_path / 'whole')
    handler = signal.getsignal(signal.SIGTERM)
    before = losses(part, tmp_path / 'stopped', at=2)
    signal.signal(signal.SIGTERM, handler)
    after = losses(part, tmp_path / 'stopped', resume=True)
    assert len(whole) == STEPS and before + after == whole


ON_CPU = pytest.mark.skipif(torch.cuda.is_available(), reason='for machines without GPU')


@pytest.fixture(scope='module')
def sharded(tmp_path_factory):
    return in_two_processes('sharded_runner.py', tmp_path_factory.mktemp('sharded'))


@pytest.mark.slow
@ON_CPU
@pytest.mark.parametrize('part', PARTS)
def test_shards_over_two_processes_train_what_one_does(part, sharded, tmp_path):
    one = sharded_runner.train(part, tmp_path, 1)
    before, after = one['before'], one['after']
    own = [name for name in after if set(name.split('.')) & {part} and not name.endswith('k_proj.bias')]
    assert own
    for rank, process in enumerate(sharded):
        found = process[part]
        torch.testing.assert_close(torch.tensor(found['losses']), torch.tensor(one['losses'][rank::2]),
                                   rtol=1e-5, atol=0.)
        assert found['after'].keys() == after.keys()  # the checkpoint is that of a model without shards
        for name in after:
            assert (found['after'][name] - after[name]).abs().max() < 1e-5, name
        for name in own:  # how far it went, whatever its size
            moved = (after[name] - before[name]).double().norm()
            assert (found['after'][name] - after[name]).double().norm() < 1e-2 * moved, name


@pytest.mark.slow
@ON_CPU
def test_shards_do_not_go_on(sharded):
    """Goes, with its lines in docs/clusters.md, when mmengine's FSDPStrategy can load what it writes."""
    for process in sharded:
        if LOADS_WEIGHTS_ONLY:
            assert 'cannot be read' in process['resume']['shards']
        assert 'unhashable' in process['resume']['whole']  # the optimizer in the place of the model
