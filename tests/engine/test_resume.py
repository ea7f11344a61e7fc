"""Selection of the checkpoint to resume from, on one and on several processes."""
import os
import shutil
import signal
import socket
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from toy_training import Recorder, flexible_config, plain_config, resumable_config, train, truncate

from mmxattn.engine import broadcast_from_main, check_training_state, select_checkpoint

ROOT = Path(__file__).parents[2]
RESUME = 'mmxattn.engine.resume'


@pytest.fixture
def run(trained, tmp_path):
    folder = tmp_path / 'run'
    shutil.copytree(trained, folder)
    return folder


@pytest.mark.parametrize('config', [resumable_config, flexible_config])
def test_truncated_checkpoint_is_skipped(config, run):
    truncate(run / 'epoch_3.pth')
    recorder = Recorder()
    train(config(run, resume=True, log_level='WARNING'), recorder)
    assert [step[:2] for step in recorder.steps] == [(2, step) for step in range(12, 18)]  # the third epoch
    log = max(run.glob('*/*.log')).read_text()
    assert log.count('epoch_3.pth is truncated and skipped') == 1


def test_without_a_complete_checkpoint_training_starts(run):
    for path in run.glob('*.pth'):
        truncate(path)
    recorder = Recorder()
    train(resumable_config(run, resume=True, log_level='WARNING', max_epochs=1), recorder)
    assert [step[1] for step in recorder.steps] == list(range(6))
    log = max(run.glob('*/*.log')).read_text()
    assert f'Found no checkpoint to resume from in {run}: training starts at step 0' in log


def test_given_checkpoint_must_be_complete(run):
    truncate(run / 'epoch_3.pth')
    with pytest.raises(ValueError, match=r'epoch_3\.pth is truncated.*epoch_2\.pth'):
        train(resumable_config(run, resume=True, load_from=str(run / 'epoch_3.pth')))
    with pytest.raises(ValueError, match=f'{run} is a folder: give a checkpoint in it, .*--work-dir'):
        select_checkpoint(run, str(run))


def test_old_file_format_is_rejected(tmp_path):
    torch.save(dict(meta=dict()), tmp_path / 'old.pth', _use_new_zipfile_serialization=False)
    with pytest.raises(ValueError, match=r'old\.pth is truncated, or was written by PyTorch < 1\.6.*no complete'):
        select_checkpoint(tmp_path, str(tmp_path / 'old.pth'))


@pytest.mark.parametrize('content', [[1, 2], dict(state_dict=dict()), dict(meta=None),
                                     dict(meta=dict(epoch=1, iter=2), state_dict=dict())])
def test_checkpoint_without_training_state_is_rejected(content, tmp_path, run):
    check_training_state(str(run / 'epoch_1.pth'))
    torch.save(content, tmp_path / 'some.pth')
    with pytest.raises(ValueError, match=r'some\.pth has no training state.*load_from=.*some\.pth'):
        check_training_state(str(tmp_path / 'some.pth'))


def test_checkpoint_is_selected_once(run, monkeypatch):
    calls = []
    monkeypatch.setattr(f'{RESUME}.select_checkpoint', lambda *args: calls.append(args) or select_checkpoint(*args))
    train(resumable_config(run, resume=True))
    assert calls == [(str(run), None)]


def test_error_of_the_main_process_reaches_the_others(monkeypatch):
    def fail():
        raise KeyError('model')

    sent = []
    monkeypatch.setattr(f'{RESUME}.broadcast_object_list', sent.extend)
    with pytest.raises(KeyError):
        broadcast_from_main(fail)
    monkeypatch.setattr(f'{RESUME}.broadcast_object_list', lambda message: message.__setitem__(slice(None), sent))
    monkeypatch.setattr(f'{RESUME}.is_main_process', lambda: False)
    with pytest.raises(ValueError, match='model'):
        broadcast_from_main(fail)


@pytest.mark.parametrize('other, message', [(None, 'process 1 does not find it'),
                                            ([(1, 2)], 'process 1 has another file')])
def test_all_processes_must_find_the_same_file(other, message, run, monkeypatch):
    monkeypatch.setattr(f'{RESUME}.all_gather_object', lambda fingerprint: [fingerprint, other])
    with pytest.raises(ValueError, match=rf'epoch_3\.pth, but {message}'):
        train(resumable_config(run, resume=True))


class TwoMachines:
    """Two processes of tools/train.py, each in a separate folder."""

    def __init__(self, folder):
        self.folders = [folder / 'first', folder / 'second']
        for path in self.folders:
            path.mkdir()
        self.config = folder / 'some.py'
        config = plain_config('run', max_epochs=1, log_level='INFO', **{'model.dropout': 0.})
        config.custom_imports = dict(imports=['toy_training', 'mmxattn'], allow_failed_imports=False)
        config.dump(self.config)

    def train(self, *arguments):
        """Output and exit code of each process."""
        with socket.socket() as free:
            free.bind(('localhost', 0))
            port = free.getsockname()[1]
        paths = os.pathsep.join(map(str, (ROOT, ROOT / 'tests' / 'helpers')))
        processes = [subprocess.Popen(
            [sys.executable, ROOT / 'tools' / 'train.py', self.config, '--launcher', 'pytorch', '--work-dir', 'run',
             *arguments], cwd=path, text=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, env=dict(
                os.environ, PYTHONPATH=paths, OMP_NUM_THREADS='1', RANK=str(rank), WORLD_SIZE='2', LOCAL_RANK='0',
                MASTER_ADDR='localhost', MASTER_PORT=str(port))) for rank, path in enumerate(self.folders)]
        outputs = [process.communicate(timeout=200)[0] for process in processes]
        return outputs, [process.returncode for process in processes]


@pytest.mark.slow
@pytest.mark.skipif(torch.cuda.is_available(), reason='for machines without a GPU')
def test_processes_follow_the_main_process(tmp_path):
    """SIGTERM on one machine stops both. They resume only if both have the checkpoint."""
    machines = TwoMachines(tmp_path)
    config = machines.config.read_text()
    hook = dict(type='SendSignal', at=2, signal=int(signal.SIGTERM), rank=1)
    machines.config.write_text(f'{config}\ncustom_hooks = [{hook}]\n')
    outputs, codes = machines.train()
    assert codes == [143, 143], outputs
    machines.config.write_text(config)
    first, second = (folder / 'run' / 'stopped.pth' for folder in machines.folders)
    outputs, codes = machines.train('--resume', 'auto')
    assert codes == [1, 1], outputs
    assert all('process 1 does not find it' in output and 'Traceback' not in output for output in outputs)
    shutil.copyfile(first, second)
    outputs, codes = machines.train('--resume', 'auto')
    assert codes == [0, 0], outputs
    assert 'resumed epoch: 0, iter: 2' in outputs[0]
    train(resumable_config(tmp_path / 'alone', max_epochs=1, **{
        'model.dropout': 0., 'train_dataloader.batch_size': 4, 'optim_wrapper.optimizer.lr': 0.01}))
    one, two = (torch.load(tmp_path / name / 'epoch_1.pth')['state_dict'] for name in ('alone', 'first/run'))
    assert one.keys() == two.keys() and all(torch.allclose(one[name], two[name], atol=1e-6) for name in one)
