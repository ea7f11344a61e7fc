"""Checkpoint files: atomic writes, truncated files, and the latest checkpoint of a run."""
import os
import shutil
import time
from pathlib import Path

import pytest
import torch
from toy_training import ToyMetric, resumable_config, train, truncate, with_validation

from mmxattn.engine import find_latest_checkpoint, is_truncated
from mmxattn.engine.checkpoint_files import AtomicBackend, scan_checkpoints


@pytest.fixture
def checkpoint(tmp_path):
    path = tmp_path / 'a.pth'
    torch.save(dict(weights=torch.randn(1000)), path)
    return path


@pytest.mark.parametrize('share', [0, 0.01, 0.5, 0.999])
def test_truncated_file_is_detected(checkpoint, share):
    assert not is_truncated(checkpoint)
    truncate(checkpoint, share)
    assert is_truncated(checkpoint)


def test_changed_byte_is_detected(checkpoint):
    content = bytearray(checkpoint.read_bytes())
    content[len(content) // 2] ^= 1
    checkpoint.write_bytes(content)
    assert is_truncated(checkpoint)


def test_folder_of_shards_is_truncated_if_a_shard_is(checkpoint, tmp_path):
    torch.save({}, tmp_path / 'b.pth')
    assert not is_truncated(tmp_path)
    truncate(checkpoint)
    assert is_truncated(tmp_path)
    (tmp_path / 'empty').mkdir()
    assert is_truncated(tmp_path / 'empty') and is_truncated(tmp_path / 'missing.pth')


def test_replaced_files_are_not_removed(tmp_path):
    backend = AtomicBackend()
    for name in ('one', 'two'):
        backend.put(name.encode(), tmp_path / name)
        backend.remove(tmp_path / name)
    AtomicBackend().put(b'again', tmp_path / 'two')
    assert (tmp_path / 'one').exists()
    backend.flush()
    assert not (tmp_path / 'one').exists() and (tmp_path / 'two').read_bytes() == b'again'


def test_a_complete_checkpoint_exists_at_every_moment(tmp_path, monkeypatch):
    """Before and after every write and every removal."""
    found = []
    put, unlink = AtomicBackend.put, Path.unlink

    def look():
        found.append(find_latest_checkpoint(tmp_path))

    monkeypatch.setattr(AtomicBackend, 'put', lambda *args: (look(), put(*args), look())[1])
    monkeypatch.setattr(Path, 'unlink', lambda self, **kwargs: (look(), unlink(self, **kwargs), look())[1])
    ToyMetric.scores = [0.1, 0.3, 0.2]
    train(with_validation(resumable_config(tmp_path, **{
        'default_hooks.checkpoint.max_keep_ckpts': 1, 'default_hooks.checkpoint.save_best': 'score',
        'default_hooks.checkpoint.rule': 'greater'})))
    names = [name and Path(name).name for name in found]
    first = names.index('epoch_1.pth')
    assert set(names[:first]) == {None} and None not in names[first:]
    assert sorted(path.name for path in tmp_path.glob('*.pth')) == ['best_score_epoch_2.pth', 'epoch_3.pth']
    assert (tmp_path / 'last_checkpoint').read_text() == str(tmp_path / 'epoch_3.pth')


@pytest.fixture
def run(trained, tmp_path):
    """A copy of ``trained``: ``last_checkpoint`` points to the original folder, and epoch_1 is the newest file."""
    folder = tmp_path / 'run'
    shutil.copytree(trained, folder)
    for age, name in enumerate(['epoch_1', 'epoch_3', 'epoch_2']):
        os.utime(folder / f'{name}.pth', (time.time() - age, ) * 2)
    return folder


def test_copied_folder_uses_its_own_files(run):
    assert (run / 'last_checkpoint').read_text() != str(run / 'epoch_3.pth')
    assert find_latest_checkpoint(run) == str(run / 'epoch_3.pth')


def test_newer_and_further_checkpoint_takes_precedence(run):
    (run / 'last_checkpoint').write_text(str(run / 'epoch_2.pth'))
    assert find_latest_checkpoint(run) == str(run / 'epoch_3.pth')


def test_restarted_run_ignores_older_checkpoints(run):
    (run / 'last_checkpoint').write_text(str(run / 'epoch_1.pth'))
    assert find_latest_checkpoint(run) == str(run / 'epoch_1.pth')


def test_last_checkpoint_may_point_outside_of_the_folder(run, tmp_path):
    (tmp_path / 'last_checkpoint').write_text(str(run / 'epoch_2.pth'))
    assert find_latest_checkpoint(tmp_path) == str(run / 'epoch_2.pth')


def test_best_and_published_checkpoints_are_ignored(run):
    (run / 'epoch_3.pth').rename(run / 'best_score_epoch_3.pth')
    (run / 'epoch_2.pth').rename(run / 'epoch_2-1a2b3c4d.pth')
    assert find_latest_checkpoint(run) == str(run / 'epoch_1.pth')


def test_truncated_checkpoints_are_skipped_and_reported_once(run, monkeypatch):
    monkeypatch.chdir(run.parent)
    (run / 'epoch_1.pth').unlink()
    truncate(run / 'epoch_3.pth')
    for pointer in (str(run / 'epoch_3.pth'), ''):  # empty: the process was killed while mmengine wrote the file
        (run / 'last_checkpoint').write_text(pointer)
        latest, warnings = scan_checkpoints('run')
        assert latest == 'run/epoch_2.pth' and len(warnings) == 1 and 'epoch_3.pth is truncated' in warnings[0]
    truncate(run / 'epoch_2.pth')
    assert find_latest_checkpoint(run) is None
