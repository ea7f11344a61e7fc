"""mmengine's FlexibleRunner: it trains every part, goes on after a stop, and with FSDP asks for a GPU.

FSDP1, the one that mmengine's FSDPStrategy uses, refuses a CPU; what shards do to the parts is in
test_two_processes.py, with torch's newer form.
"""
import os
import signal
import time

import pytest
import torch
from mmengine.registry import RUNNERS
from mmengine.runner._flexible_runner import FlexibleRunner
from small_hosts import PARTS, recipe
from toy import Seen

from mmxattn.engine import make_resumable

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


@pytest.mark.skipif(torch.cuda.is_available(), reason='for machines without GPU')
def test_fsdp_asks_for_a_gpu(tmp_path, monkeypatch):
    for name, value in dict(RANK='0', LOCAL_RANK='0', WORLD_SIZE='1', MASTER_ADDR='localhost', MASTER_PORT='0').items():
        monkeypatch.setenv(name, value)
    torch.distributed.init_process_group('gloo', store=torch.distributed.HashStore(), rank=0, world_size=1)
    try:
        flexible = runner('fine', tmp_path, launcher='pytorch', strategy=dict(
            type='FSDPStrategy', model_wrapper=dict(type='MMFullyShardedDataParallel', device_id=None)))
        with pytest.raises(RuntimeError, match='accelerator'):
            flexible.train()
    finally:
        torch.distributed.destroy_process_group()
