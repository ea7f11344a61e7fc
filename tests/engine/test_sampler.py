"""Random numbers of a sample depend only on its position in the run."""
import multiprocessing
import os
import random
import signal
import time

import numpy as np
import pytest
import torch
from mmengine.config import Config
from mmengine.dataset import DefaultSampler, InfiniteSampler
from mmengine.runner import Runner
from toy_training import Recorder, ToyDataset, resumable_config, train

from mmxattn.engine import DeterministicBatchSampler, make_resumable
from mmxattn.engine import sampler as sampler_module
from mmxattn.engine.seeds import preserve_rng_state, seed_all


def batches(sampler=DefaultSampler, batch_size=2, rank=0, world_size=1, skip=0, epoch=0, passes=1):
    """The samples of one process as lists of numbers."""
    dataset = ToyDataset()
    sampler = sampler(dataset, seed=3, shuffle=True)
    sampler.set_epoch(epoch)
    batch_sampler = DeterministicBatchSampler(sampler, batch_size)
    batch_sampler.rank = sampler.rank = rank
    batch_sampler.world_size = sampler.world_size = world_size
    if hasattr(sampler, 'total_size'):
        sampler.num_samples = 12 // world_size
    batch_sampler.skip(skip)
    loader = torch.utils.data.DataLoader(dataset, batch_sampler=batch_sampler, collate_fn=list)
    return [[sample['inputs'].tolist() for sample in batch]
            for _ in range(passes) for batch, _ in zip(loader, range(6))]


def draw():
    return random.random(), np.random.rand(), float(torch.rand(()))


def test_epochs_draw_different_and_reproducible_numbers():
    first = batches()
    assert sorted(sample[0] for batch in first for sample in batch) == list(range(12))
    assert first == batches()
    second = batches(epoch=1)
    assert not {tuple(s[1:]) for batch in first for s in batch} & {tuple(s[1:]) for batch in second for s in batch}


@pytest.mark.parametrize('sampler', [DefaultSampler, InfiniteSampler])
@pytest.mark.parametrize('skip', [1, 4])
def test_skip_gives_the_rest_of_the_pass(sampler, skip):
    assert batches(sampler, skip=skip)[:6 - skip] == batches(sampler)[skip:]


def test_skip_applies_to_the_next_pass_only():
    assert [len(batches(skip=4, passes=passes)) for passes in (1, 2)] == [2, 8]


def test_two_processes_draw_the_same_numbers_as_one():
    whole = batches(batch_size=4)
    parts = [batches(batch_size=2, rank=rank, world_size=2) for rank in range(2)]
    assert [sorted(batch) for batch in whole] == [sorted(one + two) for one, two in zip(*parts)]


def test_other_batch_samplers_can_be_wrapped():
    pytest.importorskip('mmdet')
    from mmdet.datasets import AspectRatioBatchSampler
    dataset = ToyDataset()
    dataset.get_data_info = lambda index: dict(width=1 + index % 2, height=1.5)  # two buckets
    sampler = DefaultSampler(dataset, seed=0)
    expected = [list(batch) for batch in AspectRatioBatchSampler(sampler, 2)]
    wrapped = DeterministicBatchSampler(sampler, 2, batch_sampler=dict(type='mmdet.AspectRatioBatchSampler'))
    keys = list(wrapped)
    assert [[key.idx for key in batch] for batch in keys] == expected
    assert len({key.seed for batch in keys for key in batch}) == sum(map(len, keys))
    assert len(wrapped) == len(expected)


def test_loading_leaves_the_generators_of_the_model_alone():
    dataset = ToyDataset()
    keys = next(iter(DeterministicBatchSampler(DefaultSampler(dataset, seed=0), 4)))
    seed_all(1)
    dataset.__getitems__(keys)
    after = draw()
    seed_all(1)
    assert after == draw()


def test_similar_keys_give_unrelated_numbers():
    drawn = set()
    for key in [(0, 0, 0), (0, 0, 1), (0, 1, 0), (1, 0, 0), (2**31, 5, 10**9)]:
        with preserve_rng_state():
            seed_all(*key)
            drawn |= set(draw())
    assert len(drawn) == 15


def test_finite_sampler_is_read_again_by_the_iter_loop(tmp_path):
    def config(**changes):
        config = resumable_config(tmp_path)
        config.train_cfg = dict(type='mmxattn.ResumableIterLoop', max_iters=5)
        config.param_scheduler = None
        config.default_hooks.checkpoint.update(interval=4, by_epoch=False, save_last=False)
        config.update(changes)
        return config

    whole, resumed = Recorder(), Recorder()
    train(config(), whole)
    train(config(resume=True), resumed)
    assert resumed.steps == whole.steps[4:]


def test_epoch_restarts_if_its_number_of_batches_changes(tmp_path):
    def interrupt():
        raise KeyboardInterrupt

    config = resumable_config(tmp_path)
    config.default_hooks.checkpoint.update(interval=4, by_epoch=False)
    with pytest.raises(KeyboardInterrupt):
        train(config, Recorder(interrupt, at=9))
    recorder = Recorder()
    train(resumable_config(tmp_path, resume=True, **{'train_dataloader.batch_size': 3}), recorder)
    # After 8 steps the second epoch had two of its six batches; now an epoch has four.
    assert [step[:3] for step in recorder.steps][:5] == [(1, 6, 0), (1, 7, 1), (1, 8, 2), (1, 9, 3), (2, 10, 0)]


def test_loop_requires_the_batch_sampler(tmp_path):
    config = resumable_config(tmp_path)
    config.train_dataloader.pop('batch_sampler')
    with pytest.raises(ValueError, match="batch_sampler=dict.type='DeterministicBatchSampler'., got BatchSampler"):
        Runner.from_cfg(config).train()


def test_make_resumable_replaces_loop_sampler_and_hook():
    hook, sampler = dict(type='EMAHook'), dict(type='AspectRatioBatchSampler')
    config = Config(dict(train_cfg=dict(by_epoch=True, max_epochs=3), custom_hooks=[hook],
                         train_dataloader=dict(batch_size=2, drop_last=True, batch_sampler=sampler),
                         default_hooks=dict(checkpoint=dict(type='CheckpointHook', interval=5))))
    make_resumable(config)
    assert config.train_cfg == dict(type='mmxattn.ResumableEpochLoop', max_epochs=3)
    assert config.train_dataloader == dict(batch_size=2, batch_sampler=dict(
        type='mmxattn.DeterministicBatchSampler', batch_sampler=sampler, drop_last=True))
    assert config.default_hooks.checkpoint == dict(type='mmxattn.ResumableCheckpointHook', interval=5)
    assert config.custom_hooks == [hook, dict(type='mmxattn.StepSeedHook')]


def test_make_resumable_keeps_custom_loops_and_hooks():
    config = Config(dict(train_cfg=dict(type='SomeLoop'), train_dataloader=dict(batch_size=2),
                         default_hooks=dict(checkpoint=dict(type='SomeHook'))))
    make_resumable(config)
    assert config.train_cfg.type == 'SomeLoop' and 'batch_sampler' not in config.train_dataloader
    assert config.default_hooks.checkpoint.type == 'SomeHook'


def test_config_of_0_1_0_trains(tmp_path):
    """A config dumped by 0.1.0, with the old names of the sampler, its argument and the file backend."""
    expected, recorder = Recorder(), Recorder()
    train(resumable_config(tmp_path / 'new', max_epochs=1), expected)
    config = resumable_config(tmp_path / 'old', max_epochs=1)
    config.train_dataloader.batch_sampler = dict(type='mmxattn.NumberedBatches', batches=None, drop_last=False)
    config.default_hooks.checkpoint.backend_args = dict(backend='mmxattn.WholeFiles')
    with pytest.warns(DeprecationWarning, match="'NumberedBatches' is now called 'DeterministicBatchSampler'"):
        train(config, recorder)
    assert recorder.steps == expected.steps


def test_workers_survive_sigterm_until_the_update(tmp_path, monkeypatch):
    """The eight steps up to the update take longer than a worker survives without requests."""
    def terminate():
        for process in multiprocessing.active_children():
            os.kill(process.pid, signal.SIGTERM)
        os.kill(os.getpid(), signal.SIGTERM)

    class SlowRecorder(Recorder):

        def before_train_iter(self, runner, batch_idx, data_batch=None):
            time.sleep(0.5)

    monkeypatch.setattr(sampler_module, 'GRACE_PERIOD', 1)
    handler = signal.getsignal(signal.SIGTERM)
    config = resumable_config(tmp_path, **{
        'train_dataloader.num_workers': 1, 'train_dataloader.dataset.length': 24,
        'optim_wrapper.accumulative_counts': 8})
    runner, code = train(config, SlowRecorder(terminate, at=2))
    signal.signal(signal.SIGTERM, handler)
    assert code == 143 and runner.iter == 7 and (tmp_path / 'stopped.pth').exists()
