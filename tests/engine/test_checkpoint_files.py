"""Checkpoints are whole or not there; the newest whole one is never lost, and is the one to go on from."""
import functools
import os
import signal
from pathlib import Path

import pytest
import torch
from mmengine.fileio import LocalBackend
from toy import Seen, ToyMetric, toy_recipe, toy_runner, validated

from mmxattn.engine import checkpoint_files as files
from mmxattn.engine import cut_short, newest_checkpoint
from mmxattn.engine.checkpoint_files import WholeFiles
from mmxattn.utils.atomic_files import sweep_parts
from mmxattn.utils.atomic_files import write_whole as write

write_whole = functools.partial(write, durable=True)  # as checkpoints are written


def cut(path, share=0.5):
    content = Path(path).read_bytes()
    Path(path).write_bytes(content[:int(len(content) * share)])


class Died(BaseException):
    """Stands for the end of the process."""


@pytest.fixture
def saved(tmp_path):
    path = tmp_path / 'a.pth'
    torch.save(dict(weights=torch.randn(1000)), path)
    return path


@pytest.mark.parametrize('share', [0, 0.01, 0.5, 0.999])
def test_a_checkpoint_cut_anywhere_is_known(saved, share):
    assert not cut_short(saved)
    cut(saved, share)
    assert cut_short(saved)


def test_a_changed_byte_is_known(saved):
    content = bytearray(saved.read_bytes())
    content[len(content) // 2] ^= 1
    saved.write_bytes(content)
    assert cut_short(saved)


def test_a_missing_file_and_a_folder_of_shards(saved, tmp_path):
    assert cut_short(tmp_path / 'none.pth')
    assert cut_short(tmp_path / 'empty') is True
    assert not cut_short(saved.parent)
    cut(saved)
    assert cut_short(saved.parent)


@pytest.mark.parametrize('step', ['write', 'fsync', 'replace'])
def test_a_process_that_dies_while_it_writes_leaves_the_old_file(tmp_path, monkeypatch, step):
    path = tmp_path / 'some.pth'
    write_whole(path, b'old')

    def die(*args, **kwargs):
        raise Died

    if step == 'write':
        real_open = open

        def half(name, mode='r', *args):
            real_open(name, 'wb').write(b'ne')
            raise Died
        monkeypatch.setattr('builtins.open', half)
    else:
        monkeypatch.setattr(os, step, die)
    with pytest.raises(Died):
        write_whole(path, b'new')
    monkeypatch.undo()
    assert path.read_bytes() == b'old'
    sweep_parts(tmp_path)
    assert [file.name for file in tmp_path.iterdir()] == ['some.pth']


def test_a_full_disk_is_told_and_leaves_nothing_behind(tmp_path, monkeypatch):
    def full(*_):
        raise OSError(28, 'No space left on device')

    write_whole(tmp_path / 'some.pth', b'old')
    monkeypatch.setattr(os, 'fsync', full)
    with pytest.raises(OSError, match='No space left'):
        write_whole(tmp_path / 'some.pth', b'new')
    assert [file.name for file in tmp_path.iterdir()] == ['some.pth']
    assert (tmp_path / 'some.pth').read_bytes() == b'old'


def test_the_content_is_on_the_disk_before_its_name(tmp_path, monkeypatch):
    order = []
    fsync, replace = os.fsync, os.replace
    monkeypatch.setattr(os, 'fsync', lambda handle: (order.append('fsync'), fsync(handle)))
    monkeypatch.setattr(os, 'replace', lambda *names: (order.append('replace'), replace(*names)))
    write_whole(tmp_path / 'some.pth', b'new')
    assert order == ['fsync', 'replace', 'fsync']  # the file, its name, the folder


def test_what_is_written_anew_is_not_swept(tmp_path):
    backend = WholeFiles()
    for name in ('one', 'two'):
        backend.put(name.encode(), tmp_path / name)
        backend.remove(tmp_path / name)
    WholeFiles().put(b'again', tmp_path / 'two')
    assert (tmp_path / 'one').exists()
    backend.sweep()
    assert not (tmp_path / 'one').exists() and (tmp_path / 'two').read_bytes() == b'again'


def test_with_one_checkpoint_kept_there_is_always_a_whole_one(tmp_path, monkeypatch):
    """At every write and every removal of a run, a process that died would find a checkpoint to go on from."""
    found = []
    put, unlink = WholeFiles.put, Path.unlink

    def look(*args, **kwargs):
        found.append(newest_checkpoint(tmp_path))

    monkeypatch.setattr(WholeFiles, 'put', lambda *args: (look(), put(*args), look())[1])
    monkeypatch.setattr(Path, 'unlink', lambda self, **kwargs: (look(), unlink(self, **kwargs), look())[1])
    ToyMetric.scores = [0.1, 0.3, 0.2]
    config = validated(toy_recipe(tmp_path, **{'default_hooks.checkpoint.max_keep_ckpts': 1,
                                               'default_hooks.checkpoint.save_best': 'score',
                                               'default_hooks.checkpoint.rule': 'greater'}))
    toy_runner(config).train()
    names = [name and Path(name).name for name in found]
    first = names.index('epoch_1.pth')
    assert set(names[:first]) == {None} and None not in names[first:]
    assert sorted(path.name for path in tmp_path.glob('*.pth')) == ['best_score_epoch_2.pth', 'epoch_3.pth']
    assert (tmp_path / 'last_checkpoint').read_text() == str(tmp_path / 'epoch_3.pth')


def test_mmengines_own_files_are_opened_for_writing_in_place(tmp_path):
    """Why there is a backend here: goes when this fails."""
    (tmp_path / 'some.pth').write_bytes(b'old')
    inode = (tmp_path / 'some.pth').stat().st_ino
    LocalBackend().put(b'new', tmp_path / 'some.pth')
    assert (tmp_path / 'some.pth').stat().st_ino == inode


@pytest.fixture
def run(tmp_path):
    """A run of three epochs, and its folder."""
    toy_runner(toy_recipe(tmp_path)).train()
    return tmp_path


def test_the_one_before_a_checkpoint_that_is_cut_short(run, caplog, monkeypatch):
    said = []
    monkeypatch.setattr(files, 'print_log', lambda text, *_: said.append(text))
    assert newest_checkpoint(run) == str(run / 'epoch_3.pth')
    cut(run / 'epoch_3.pth')
    assert newest_checkpoint(run) == str(run / 'epoch_2.pth')
    assert str(run / 'epoch_3.pth') in said[0] and 'cut short' in said[0]
    (run / 'last_checkpoint').write_text('')  # killed while mmengine wrote it
    assert newest_checkpoint(run) == str(run / 'epoch_2.pth')
    for path in run.glob('*.pth'):
        cut(path)
    assert newest_checkpoint(run) is None


def test_a_work_folder_that_was_moved(run, tmp_path):
    moved = run.rename(tmp_path.parent / f'{tmp_path.name}-moved')
    assert newest_checkpoint(moved) == str(moved / 'epoch_3.pth')


def test_no_best_and_no_published_checkpoint_is_gone_on_from(run):
    (run / 'epoch_3.pth').rename(run / 'best_score_epoch_3.pth')
    (run / 'epoch_2.pth').rename(run / 'epoch_2-1a2b3c4d.pth')
    assert newest_checkpoint(run) == str(run / 'epoch_1.pth')


def test_resume_takes_the_one_before(run):
    cut(run / 'epoch_3.pth')
    seen = Seen()
    runner = toy_runner(toy_recipe(run, resume=True), seen)
    runner.train()
    assert [batch[:2] for batch in seen.batches] == [(2, step) for step in range(12, 18)]  # the third epoch again
    assert not cut_short(run / 'epoch_3.pth')


def test_resume_from_a_given_path_that_is_cut_short_is_refused(run):
    cut(run / 'epoch_3.pth')
    runner = toy_runner(toy_recipe(run, resume=True, load_from=str(run / 'epoch_3.pth')))
    with pytest.raises(ValueError, match=r'epoch_3\.pth is cut short.*epoch_2\.pth'):
        runner.train()


def test_resume_with_nothing_there_starts(tmp_path):
    seen = Seen()
    toy_runner(toy_recipe(tmp_path, resume=True, max_epochs=1), seen).train()
    assert len(seen.batches) == 6


def test_sigterm_during_validation_leaves_the_checkpoint_before_it(tmp_path, monkeypatch):
    def terminate(self, *args):
        os.kill(os.getpid(), signal.SIGTERM)

    monkeypatch.setattr(ToyMetric, 'process', terminate)
    with pytest.raises(SystemExit) as exit:
        toy_runner(validated(toy_recipe(tmp_path))).train()
    assert exit.value.code == 143
    assert newest_checkpoint(tmp_path) == str(tmp_path / 'epoch_1.pth')
    assert not (tmp_path / 'stopped.pth').exists()


def test_signals_are_given_back_and_the_next_checkpoint_replaces_the_stops(tmp_path):
    handler = signal.getsignal(signal.SIGTERM)
    with pytest.raises(SystemExit):
        toy_runner(toy_recipe(tmp_path), Seen(lambda: os.kill(os.getpid(), signal.SIGTERM), at=8)).train()
    assert (tmp_path / 'stopped.pth').exists()
    signal.signal(signal.SIGTERM, handler)  # the process would have ended
    toy_runner(toy_recipe(tmp_path, resume=True)).train()
    assert signal.getsignal(signal.SIGTERM) is handler
    assert not (tmp_path / 'stopped.pth').exists()


@pytest.mark.parametrize('at, stops', [(7, 8), (8, 8)])
def test_accumulated_gradients_and_averaged_weights(tmp_path, at, stops):
    """A run with both; SIGTERM before an update waits for it, as the gradients are in no checkpoint."""
    def recipe(name, **changes):
        config = toy_recipe(tmp_path / name, **{'optim_wrapper.accumulative_counts': 2, **changes})
        config.custom_hooks.append(dict(type='EMAHook', momentum=0.1))
        return config

    toy_runner(recipe('whole')).train()
    handler = signal.getsignal(signal.SIGTERM)
    stopped = toy_runner(recipe('stopped'), Seen(lambda: os.kill(os.getpid(), signal.SIGTERM), at=at))
    with pytest.raises(SystemExit):
        stopped.train()
    signal.signal(signal.SIGTERM, handler)
    assert stopped.iter + 1 == stops
    toy_runner(recipe('stopped', resume=True)).train()
    whole, resumed = (torch.load(tmp_path / name / 'epoch_3.pth') for name in ('whole', 'stopped'))
    for weights in ('state_dict', 'ema_state_dict'):
        assert whole[weights].keys() == resumed[weights].keys()
        assert all(torch.equal(whole[weights][name], resumed[weights][name]) for name in whole[weights])


@pytest.mark.parametrize('changes', [dict(), {'default_hooks.checkpoint.by_epoch': False,
                                              'default_hooks.checkpoint.interval': 3}])
def test_gradients_that_wait_for_an_update_are_in_the_checkpoint(tmp_path, changes):
    """Six batches an epoch and an update every fourth: a checkpoint falls between two updates."""
    changes = {'optim_wrapper.accumulative_counts': 4, **changes}
    toy_runner(toy_recipe(tmp_path, **changes)).train()
    first, last = ('iter_3.pth', 'iter_18.pth') if len(changes) > 1 else ('epoch_1.pth', 'epoch_3.pth')
    whole = torch.load(tmp_path / last)['state_dict']
    seen = Seen()
    toy_runner(toy_recipe(tmp_path, resume=True, load_from=str(tmp_path / first), **changes), seen).train()
    assert seen.batches[0][1] == (3 if len(changes) > 1 else 6)
    resumed = torch.load(tmp_path / last)['state_dict']
    assert all(torch.equal(whole[name], resumed[name]) for name in whole)


@pytest.mark.parametrize('at, scores', [(4, [0.1, 0.2]), (8, [0.2]), (6, [0.2])])
def test_a_validation_that_a_stop_came_before_is_made_up(tmp_path, at, scores):
    """Eight steps, validated every fourth; the stop comes before the first validation, before the last, between."""
    def recipe(**changes):
        config = toy_recipe(tmp_path, **{'default_hooks.checkpoint.by_epoch': False, **changes})
        config.train_cfg = dict(type='mmxattn.ResumableIterLoop', max_iters=8, val_interval=4)
        config.train_dataloader.sampler = dict(type='InfiniteSampler')
        return validated(config)

    ToyMetric.scores = [0.1, 0.2][:0 if at == 4 else 1]
    handler = signal.getsignal(signal.SIGTERM)
    with pytest.raises(SystemExit):
        toy_runner(recipe(), Seen(lambda: os.kill(os.getpid(), signal.SIGTERM), at=at)).train()
    signal.signal(signal.SIGTERM, handler)
    assert ToyMetric.scores == []
    ToyMetric.scores = list(scores)
    runner = toy_runner(recipe(resume=True))
    runner.train()
    assert ToyMetric.scores == [] and runner.iter == 8
