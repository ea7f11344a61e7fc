"""What a sample is drawn from: its place in the run, and nothing else; and how long a worker loads them."""
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
from toy import Seen, ToyNumbers, toy_recipe, toy_runner

from mmxattn.engine import NumberedBatches, make_resumable
from mmxattn.engine import sampler as numbered_batches
from mmxattn.engine.seeds import own_random_numbers, seed_generators


def batches(sampler=DefaultSampler, batch_size=2, processes=(0, 1), skip=0, epoch=0, passes=1):
    """The samples of ``passes`` passes in one process, as lists of numbers."""
    data = ToyNumbers()
    sampler = sampler(data, seed=3, shuffle=True)
    sampler.set_epoch(epoch)
    numbered = NumberedBatches(sampler, batch_size)
    numbered.rank, numbered.world_size = processes
    sampler.rank, sampler.world_size = processes
    if hasattr(sampler, 'total_size'):
        sampler.num_samples = 12 // processes[1]
    numbered.skip(skip)
    loader = torch.utils.data.DataLoader(data, batch_sampler=numbered, collate_fn=list)
    return [[sample['inputs'].tolist() for sample in batch]
            for _ in range(passes) for batch, _ in zip(loader, range(6))]


def test_each_epoch_draws_anew_and_twice_the_same():
    one = batches()
    assert sorted(sample[0] for batch in one for sample in batch) == list(range(12))
    assert one == batches()
    other = batches(epoch=1)
    assert not {tuple(sample[1:]) for batch in one for sample in batch} & {tuple(s[1:]) for b in other for s in b}


@pytest.mark.parametrize('sampler', [DefaultSampler, InfiniteSampler])
@pytest.mark.parametrize('skip', [1, 4])
def test_a_pass_that_begins_later_is_the_rest_of_the_whole_one(sampler, skip):
    assert batches(sampler, skip=skip)[:6 - skip] == batches(sampler)[skip:]


def test_only_the_next_pass_begins_later():
    assert [len(batches(skip=4, passes=passes)) for passes in (1, 2)] == [2, 8]


def test_two_processes_draw_what_one_does():
    whole = batches(batch_size=4)
    halves = [batches(batch_size=2, processes=(rank, 2)) for rank in range(2)]
    assert len(whole) == len(halves[0]) == 3
    for batch, first, second in zip(whole, *halves):
        assert sorted(batch) == sorted(first + second)


def test_other_batch_samplers_are_numbered_too():
    from mmdet.datasets import AspectRatioBatchSampler
    data = ToyNumbers()
    data.get_data_info = lambda index: dict(width=1 + index % 2, height=1.5)  # two buckets
    sampler = DefaultSampler(data, seed=0)
    plain = [list(batch) for batch in AspectRatioBatchSampler(sampler, 2)]
    numbered = NumberedBatches(sampler, 2, batches=dict(type='mmdet.AspectRatioBatchSampler'))
    assert [[ticket.sample for ticket in batch] for batch in numbered] == plain
    keys = [ticket.key for batch in numbered for ticket in batch]
    assert len(set(keys)) == len(keys)
    assert len(numbered) == len(plain)


def test_the_models_generators_are_left_alone():
    def draw():
        return random.random(), np.random.rand(), float(torch.rand(()))

    data = ToyNumbers()
    tickets = next(iter(NumberedBatches(DefaultSampler(data, seed=0), 4)))
    seed_generators(1)
    data.__getitems__(tickets)
    after = draw()
    seed_generators(1)
    assert after == draw()


def test_seeds_of_neighbours_have_nothing_in_common():
    drawn = set()
    for key in [(0, 0, 0), (0, 0, 1), (0, 1, 0), (1, 0, 0), (2**31, 5, 10**9)]:
        with own_random_numbers():
            seed_generators(*key)
            drawn |= {random.random(), np.random.rand(), float(torch.rand(()))}
    assert len(drawn) == 15


def test_a_sampler_with_an_end_is_read_again_by_steps(tmp_path):
    def config(folder, **more):
        config = toy_recipe(folder)
        config.train_cfg = dict(type='mmxattn.ResumableIterLoop', max_iters=5)
        config.param_scheduler = None
        config.default_hooks.checkpoint.update(interval=4, by_epoch=False, save_last=False)
        config.update(more)
        return config

    seen, again = Seen(), Seen()
    toy_runner(config(tmp_path), seen).train()
    toy_runner(config(tmp_path, resume=True), again).train()
    assert again.batches == seen.batches[4:]


def test_another_number_of_batches_begins_the_epoch_again(tmp_path):
    def stop():
        raise KeyboardInterrupt

    config = toy_recipe(tmp_path)
    config.default_hooks.checkpoint.update(interval=4, by_epoch=False)
    with pytest.raises(KeyboardInterrupt):
        toy_runner(config, Seen(stop, at=9)).train()
    seen = Seen()
    config = toy_recipe(tmp_path, resume=True, **{'train_dataloader.batch_size': 3})
    toy_runner(config, seen).train()
    # after 8 steps: the second epoch had two of its six batches; now an epoch has four
    assert [batch[:3] for batch in seen.batches][:5] == [(1, 6, 0), (1, 7, 1), (1, 8, 2), (1, 9, 3), (2, 10, 0)]


def test_a_loop_without_numbered_batches_is_refused(tmp_path):
    config = toy_recipe(tmp_path)
    config.train_dataloader.pop('batch_sampler')
    with pytest.raises(ValueError, match='NumberedBatches'):
        Runner.from_cfg(config).train()


def test_what_is_switched_on(tmp_path):
    hook, batches = dict(type='EMAHook'), dict(type='AspectRatioBatchSampler')
    config = Config(dict(train_cfg=dict(by_epoch=True, max_epochs=3), custom_hooks=[hook],
                         train_dataloader=dict(batch_size=2, drop_last=True, batch_sampler=batches),
                         default_hooks=dict(checkpoint=dict(type='CheckpointHook', interval=5))))
    make_resumable(config)
    assert config.train_cfg == dict(type='mmxattn.ResumableEpochLoop', max_epochs=3)
    assert config.train_dataloader == dict(batch_size=2, batch_sampler=dict(
        type='mmxattn.NumberedBatches', batches=batches, drop_last=True))
    assert config.default_hooks.checkpoint == dict(type='mmxattn.ResumableCheckpointHook', interval=5)
    assert config.custom_hooks == [hook, dict(type='mmxattn.StepSeedHook')]


def test_parts_of_others_stay():
    config = Config(dict(train_cfg=dict(type='SomeLoop'), train_dataloader=dict(batch_size=2),
                         default_hooks=dict(checkpoint=dict(type='SomeHook'))))
    make_resumable(config)
    assert config.train_cfg.type == 'SomeLoop' and 'batch_sampler' not in config.train_dataloader
    assert config.default_hooks.checkpoint.type == 'SomeHook'


def test_workers_load_on_after_sigterm_until_the_update(tmp_path, monkeypatch):
    """Eight steps up to it, longer together than a worker that nobody asks would live."""
    def terminate():
        for process in multiprocessing.active_children():
            os.kill(process.pid, signal.SIGTERM)
        os.kill(os.getpid(), signal.SIGTERM)

    class Slow(Seen):
        def before_train_iter(self, runner, batch_idx, data_batch=None):
            time.sleep(0.5)

    monkeypatch.setattr(numbered_batches, 'GRACE', 1)
    handler = signal.getsignal(signal.SIGTERM)
    config = toy_recipe(tmp_path, **{'train_dataloader.num_workers': 1, 'train_dataloader.dataset.length': 24,
                                     'optim_wrapper.accumulative_counts': 8})
    runner = toy_runner(config, Slow(terminate, at=2))
    with pytest.raises(SystemExit):
        runner.train()
    signal.signal(signal.SIGTERM, handler)
    assert runner.iter == 7 and (tmp_path / 'stopped.pth').exists()
