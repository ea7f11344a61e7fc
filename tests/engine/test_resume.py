"""The checkpoint that a run goes on from: the newest whole one, the same in all processes, and what is said of it."""
import importlib
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch
from mmengine.registry import RUNNERS
from test_checkpoint_files import cut
from toy import Seen, plain_recipe, toy_recipe, toy_runner

from mmxattn.engine import check_training, choose, first_process, newest_checkpoint
from mmxattn.engine.checkpoint_files import find_newest

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope='module')
def trained(tmp_path_factory):
    """The folder of a run of three epochs."""
    folder = tmp_path_factory.mktemp('trained')
    toy_runner(toy_recipe(folder)).train()
    return folder


@pytest.fixture
def run(trained, tmp_path):
    """A copy of that folder; its pointer names the original's file, and its files are younger in any order."""
    folder = tmp_path / 'run'
    shutil.copytree(trained, folder)
    for age, name in enumerate(['epoch_1', 'epoch_3', 'epoch_2']):
        os.utime(folder / f'{name}.pth', (time.time() - age, ) * 2)
    return folder


def test_a_copied_folder_goes_on_from_its_own_file(run):
    assert (run / 'last_checkpoint').read_text() != str(run / 'epoch_3.pth')
    assert newest_checkpoint(run) == str(run / 'epoch_3.pth')  # epoch_1 is younger here, and not further


def test_a_file_that_no_pointer_names_yet(run):
    (run / 'last_checkpoint').write_text(str(run / 'epoch_2.pth'))
    assert newest_checkpoint(run) == str(run / 'epoch_3.pth')


def test_a_run_that_was_begun_anew_in_the_folder(run):
    (run / 'last_checkpoint').write_text(str(run / 'epoch_1.pth'))
    assert newest_checkpoint(run) == str(run / 'epoch_1.pth')  # the others are further, and older


def test_a_pointer_to_another_place(run, tmp_path):
    (run / 'last_checkpoint').rename(tmp_path / 'last_checkpoint')
    (tmp_path / 'last_checkpoint').write_text(str(run / 'epoch_2.pth'))
    assert newest_checkpoint(tmp_path) == str(run / 'epoch_2.pth')


def test_each_file_that_is_cut_short_is_named_once(run, monkeypatch):
    monkeypatch.chdir(run.parent)
    (run / 'last_checkpoint').write_text(str(run / 'epoch_3.pth'))
    cut(run / 'epoch_3.pth')
    newest, said = find_newest('run')
    assert newest == 'run/epoch_1.pth' and len(said) == 1 and 'epoch_3.pth' in said[0]


def log_of(folder):
    return max(folder.glob('*/*.log')).read_text()


def test_the_log_file_says_what_was_not_used(run):
    for path in run.glob('*.pth'):
        cut(path)
    seen = Seen()
    toy_runner(toy_recipe(run, resume=True, log_level='WARNING', max_epochs=1), seen).train()
    assert len(seen.batches) == 6
    log = log_of(run)
    assert all(log.count(f'epoch_{epoch}.pth is cut short') == 1 for epoch in (1, 2, 3))
    assert f'nothing to go on from in {run}' in log and 'starts at step 0' in log


def test_a_folder_is_no_checkpoint(run):
    with pytest.raises(ValueError, match=f'{run} is a folder: give a checkpoint in it, .*--work-dir'):
        choose(run, str(run))


def test_a_file_in_the_old_format_is_not_just_cut_short(tmp_path):
    torch.save(dict(meta=dict()), tmp_path / 'old.pth', _use_new_zipfile_serialization=False)
    with pytest.raises(ValueError, match=r'old\.pth is cut short, or no file of the format .* 1\.6; .* no whole one'):
        choose(tmp_path, str(tmp_path / 'old.pth'))


@pytest.mark.parametrize('content', [[1, 2], dict(state_dict=dict()), dict(meta=None), dict(meta=dict(epoch=1)),
                                     dict(meta=dict(epoch=1, iter=2), state_dict=dict())])
def test_what_is_none_of_a_training(content, tmp_path):
    torch.save(content, tmp_path / 'some.pth')
    with pytest.raises(ValueError, match=r'some\.pth is none of a training.*load_from=.*some\.pth'):
        check_training(str(tmp_path / 'some.pth'))


def test_what_is_of_a_training(run, tmp_path):
    assert check_training(str(run / 'epoch_1.pth')) is None
    assert check_training(str(tmp_path / 'absent.pth')) is None  # told by whoever loads it


def flexible(folder, seen=None, **changes):
    config = toy_recipe(folder, runner_type='FlexibleRunner', strategy=dict(type='SingleDeviceStrategy'),
                        launcher='none', env_cfg=dict(), experiment_name=f'flexible-{time.time_ns()}', **changes)
    runner = RUNNERS.build(config)
    runner.register_hook(seen or Seen())
    return runner


def test_flexible_runner_takes_the_one_before_one_that_is_cut_short(tmp_path):
    flexible(tmp_path).train()
    cut(tmp_path / 'epoch_3.pth')
    seen = Seen()
    flexible(tmp_path, seen, resume=True).train()
    assert [batch[:2] for batch in seen.batches] == [(2, step) for step in range(12, 18)]


@pytest.fixture
def resume(monkeypatch, run):
    """What tools/train.py makes of ``--resume`` and a word; returns the recipe."""
    monkeypatch.syspath_prepend(ROOT / 'tools')
    monkeypatch.delitem(sys.modules, 'train', raising=False)
    train = importlib.import_module('train')

    def call(word, **changes):
        config = plain_recipe(run, launcher='none', **changes)
        said = train.resume(config, word)
        if config.get('resume'):
            train.check_resumed(config)
        return config, said

    return call


@pytest.mark.parametrize('word, told', [('', 'an empty name .* --resume auto'), (' ', 'an empty name'),
                                        ('{}', 'is a folder: give a checkpoint in it'),
                                        ('{}/weights.pth', r'weights\.pth is none of a training.*load_from'),
                                        ('{}/list.pth', r'list\.pth.*give one that training wrote'),
                                        ('{}/absent.pth', r'no checkpoint .*absent\.pth')])
def test_a_word_that_is_no_checkpoint_ends_in_a_sentence(word, told, resume, run):
    torch.save(dict(state_dict=torch.load(run / 'epoch_1.pth')['state_dict']), run / 'weights.pth')
    torch.save([1, 2], run / 'list.pth')
    with pytest.raises(SystemExit, match=told):
        resume(word.format(run))


def test_the_newest_by_a_word_and_none(resume, run, tmp_path):
    config, said = resume('auto')
    assert config.load_from == str(run / 'epoch_3.pth') and config.randomness.seed == 5 and said == []
    config, said = resume('auto', work_dir=str(tmp_path / 'mistyped'), load_from='stock.pth')
    assert config.load_from == 'stock.pth' and not config.get('resume')
    assert len(said) == 1 and 'nothing to go on from' in said[0] and 'mistyped' in said[0]


class Killed(BaseException):
    """Stands for the end of the process."""


def test_a_kill_while_a_second_stop_is_written_leaves_the_first(tmp_path, monkeypatch):
    """FlexibleRunner writes into the file itself."""
    def stop():
        os.kill(os.getpid(), signal.SIGTERM)

    handler = signal.getsignal(signal.SIGTERM)
    with pytest.raises(SystemExit):
        flexible(tmp_path, Seen(stop, at=2)).train()
    signal.signal(signal.SIGTERM, handler)
    runner = flexible(tmp_path, Seen(stop, at=4), resume=True)

    def half(state_dict, filename, *_, **__):
        with open(filename, 'wb') as file:
            file.write(b'PK')
        raise Killed

    monkeypatch.setattr('mmengine.runner.checkpoint.save_checkpoint', half)
    with pytest.raises(Killed):
        runner.train()
    monkeypatch.undo()
    signal.signal(signal.SIGTERM, handler)
    seen = Seen(stop, at=6)
    with pytest.raises(SystemExit):
        flexible(tmp_path, seen, resume=True).train()
    signal.signal(signal.SIGTERM, handler)
    assert [batch[1] for batch in seen.batches] == [2, 3, 4, 5]
    assert [path.name for path in tmp_path.glob('*.pth')] == ['stopped.pth']


class Machines:
    """Two processes of tools/train.py, each in a folder of its own, as on two machines."""

    def __init__(self, folder):
        self.folders = [folder / 'first', folder / 'second']
        for place in self.folders:
            place.mkdir()
        recipe = plain_recipe('run', max_epochs=1, log_level='INFO', **{'model.dropout': 0.})
        recipe.custom_imports = dict(imports=['toy', 'mmxattn'], allow_failed_imports=False)
        self.recipe = folder / 'some.py'
        recipe.dump(self.recipe)

    def __call__(self, *arguments):
        """What each has said, and the exit codes; ``{}`` in an argument is the process's folder."""
        with socket.socket() as free:
            free.bind(('localhost', 0))
            port = free.getsockname()[1]
        paths = os.pathsep.join(str(path) for path in (ROOT, ROOT / 'tests' / 'engine'))
        processes = [subprocess.Popen(
            [sys.executable, ROOT / 'tools' / 'train.py', self.recipe, '--launcher', 'pytorch',
             *(argument.format(place) for argument in arguments)], cwd=place, text=True, stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT, env=dict(
                os.environ, PYTHONPATH=paths, OMP_NUM_THREADS='1', RANK=str(rank), WORLD_SIZE='2', LOCAL_RANK='0',
                MASTER_ADDR='localhost', MASTER_PORT=str(port))) for rank, place in enumerate(self.folders)]
        said = [process.communicate(timeout=200)[0] for process in processes]
        return said, [process.returncode for process in processes]


@pytest.fixture
def machines(tmp_path):
    return Machines(tmp_path)


@pytest.mark.slow
@pytest.mark.skipif(torch.cuda.is_available(), reason='for machines without GPU')
def test_all_processes_follow_the_first(machines, tmp_path):
    """Two work folders, and only the first has the checkpoints."""
    recipe = machines.recipe.read_text()
    stop = dict(type='SignalOnce', step=2, number=int(signal.SIGTERM))
    machines.recipe.write_text(f'{recipe}\ncustom_hooks = [{stop}]\n')
    said, codes = machines('--work-dir', '{}/run')
    assert codes == [143, 143], said
    machines.recipe.write_text(recipe)
    said, codes = machines('--work-dir', '{}/run', '--resume', 'auto')
    assert codes == [0, 0], said
    assert 'resumed epoch: 0, iter: 2' in said[0]
    toy_runner(toy_recipe(tmp_path / 'alone', max_epochs=1, **{
        'model.dropout': 0., 'train_dataloader.batch_size': 4, 'optim_wrapper.optimizer.lr': 0.01})).train()
    one, other = (torch.load(tmp_path / place / 'epoch_1.pth')['state_dict'] for place in ('alone', 'first/run'))
    assert one.keys() == other.keys() and all(torch.allclose(one[name], other[name], atol=1e-6) for name in one)


@pytest.mark.slow
@pytest.mark.skipif(torch.cuda.is_available(), reason='for machines without GPU')
@pytest.mark.parametrize('there', ['nothing', 'another'])
def test_a_machine_that_has_not_the_file_ends_them_all(machines, run, there):
    shutil.copytree(run, machines.folders[0] / 'run')
    if there == 'another':
        shutil.copytree(run, machines.folders[1] / 'run')
        shutil.copy(run / 'epoch_1.pth', machines.folders[1] / 'run' / 'epoch_3.pth')
    said, codes = machines('--work-dir', 'run', '--resume', 'auto')
    assert codes == [1, 1], said
    what = 'process 1 does not find it' if there == 'nothing' else 'process 1 has another file there'
    assert all('go on from the checkpoint run/epoch_3.pth' in words and what in words for words in said)
    assert all('Traceback' not in words for words in said)


@pytest.mark.parametrize('raised, told', [(KeyError('model'), ValueError), (SystemExit('No.'), SystemExit)])
def test_a_refusal_of_the_first_process_reaches_the_others(raised, told, monkeypatch):
    def refuse():
        raise raised

    sent = []
    monkeypatch.setattr('mmxattn.engine.resume.broadcast_object_list', lambda said: sent.extend(said))
    with pytest.raises(type(raised)):
        first_process(refuse)
    monkeypatch.setattr('mmxattn.engine.resume.broadcast_object_list', lambda said: said.__setitem__(slice(3), sent))
    monkeypatch.setattr('mmxattn.engine.resume.is_main_process', lambda: False)
    with pytest.raises(told, match=str(raised)):
        first_process(refuse)


@pytest.mark.parametrize('second, told', [(None, 'process 1 does not find it'), ([(1, 2)], 'process 1 has another')])
def test_a_toolboxs_own_script_ends_all_processes_too(second, told, run, monkeypatch):
    """With ``resume=True`` in the recipe: the loop asks."""
    monkeypatch.setattr('mmxattn.engine.resume.all_gather_object', lambda found: [found, second])
    with pytest.raises(ValueError, match=rf'epoch_3\.pth.*{told}'):
        toy_runner(toy_recipe(run, resume=True)).train()


def test_the_hook_and_the_loop_choose_once(run, monkeypatch):
    chosen = []
    monkeypatch.setattr('mmxattn.engine.resume.choose', lambda *given: chosen.append(given) or choose(*given))
    toy_runner(toy_recipe(run, resume=True)).train()
    assert chosen == [(str(run), None)]
