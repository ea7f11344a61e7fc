"""The commands of docs/clusters.md, run as far as possible on a machine without GPUs.

GPUs and machines are replaced by two processes, Slurm's programs by stand-ins on the PATH, and the config by a small
one. Every way of training must give the same weights as one process.
"""
import json
import os
import re
import signal
import subprocess
import sys
from importlib.metadata import distributions
from pathlib import Path

import pytest
import torch
from mmengine.config import Config
from toy_training import plain_config, resumable_config, train

from mmxattn.engine import make_resumable

ROOT = Path(__file__).parents[2]
BLOCKS = re.findall(r'```(\w+)\n(.*?)```', (ROOT / 'docs' / 'clusters.md').read_text(), re.DOTALL)
COMMANDS = [text.strip() for language, text in BLOCKS if language == 'bash']
IS_OPENMIM = any(distribution.metadata['Name'] == 'openmim' for distribution in distributions())
NEEDS_OPENMIM = pytest.mark.skipif(not IS_OPENMIM, reason='onedl-mim does not find third-party packages')
ON_CPU = [pytest.mark.slow, pytest.mark.skipif(torch.cuda.is_available(), reason='for machines without a GPU')]

# Records its arguments and starts the command as many times as there are tasks.
SRUN = """#!{python}
import json, os, subprocess, sys
arguments = sys.argv[1:]
command = arguments[next(i for i, a in enumerate(arguments) if a == '-u') - 1:]
json.dump(dict(arguments=arguments, port=os.environ.get('MASTER_PORT')), open('srun.json', 'w'))
if command[0] == 'python':
    command[0] = sys.executable
tasks = [subprocess.Popen(command, env=dict(os.environ, SLURM_PROCID=str(rank), SLURM_LOCALID=str(rank),
                                            SLURM_NTASKS='2', SLURM_NODELIST='node[0]')) for rank in range({tasks})]
sys.exit(max(abs(task.wait()) for task in tasks))
"""
SCONTROL = """#!/bin/sh
if [ "$1" = show ]; then echo localhost; else echo "$@" >> requeued; fi
"""


@pytest.fixture
def shell(tmp_path):
    """Return a function that runs a command in an empty folder with the stand-ins; it returns exit code and output."""
    (tmp_path / 'bin').mkdir()

    def run(command, tasks=2, **environment):
        for name, text in dict(srun=SRUN.format(python=sys.executable, tasks=tasks), scontrol=SCONTROL,
                               mim=f'#!/bin/sh\nexec {sys.executable} -m mim "$@"\n',
                               torchrun=f'#!/bin/sh\nexec {sys.executable} -m torch.distributed.run "$@"\n').items():
            (tmp_path / 'bin' / name).write_text(text)
            (tmp_path / 'bin' / name).chmod(0o755)
        answer = subprocess.run(['bash', '-c', command], cwd=tmp_path, text=True, stdin=subprocess.DEVNULL,
                                stdout=subprocess.PIPE, stderr=subprocess.STDOUT, timeout=300,
                                env=dict(os.environ, PATH=f'{tmp_path / "bin"}:{os.environ["PATH"]}',
                                         PYTHONPATH=f'{ROOT}{os.pathsep}{ROOT / "tests" / "helpers"}',
                                         OMP_NUM_THREADS='1', MASTER_ADDR='localhost', **environment))
        return answer.returncode, answer.stdout

    return run


@pytest.fixture
def config(tmp_path) -> Path:
    """A small config in place of the page's."""
    config = plain_config(tmp_path / 'run', max_epochs=1, **{'model.dropout': 0., 'train_dataloader.batch_size': 2})
    config.custom_imports = dict(imports=['toy_training', 'mmxattn'], allow_failed_imports=False)
    config.update(auto_scale_lr=dict(base_batch_size=2), log_level='INFO')
    config.dump(tmp_path / 'some.py')
    return tmp_path / 'some.py'


@pytest.fixture
def adapt(config, tmp_path):
    """Return a function that adapts the config, GPUs and machines of a command to this machine."""
    def adapt(command, port=29500):
        for name, value in {'configs/fine/faster-rcnn_r50_fine-fpn_1x_coco.py': str(config),
                            'faster-rcnn_r50_fine-fpn_1x_coco.py': str(config),
                            'tools/train.py': f'{ROOT}/tools/train.py',
                            '--gpus 16 --gpus-per-node 8': '--gpus 2 --gpus-per-node 2', '--gpus 8': '--gpus 2',
                            '--nproc-per-node=8': '--nproc-per-node=1', 'node0:29500': f'localhost:{port}',
                            '--work-dir work_dirs/fine': f'--work-dir {tmp_path}/run'}.items():
            command = command.replace(name, value)
        return command

    return adapt


@pytest.fixture(scope='module')
def expected(tmp_path_factory):
    """Weights of one process with the batch size and learning rate of two."""
    folder = tmp_path_factory.mktemp('alone')
    train(resumable_config(folder / 'run', max_epochs=1, **{
        'model.dropout': 0., 'train_dataloader.batch_size': 4, 'optim_wrapper.optimizer.lr': 0.02}))
    return weights(folder)


def weights(folder):
    return torch.load(folder / 'run' / 'epoch_1.pth')['state_dict']


def assert_close(one, other):
    assert one.keys() == other.keys() and all(torch.allclose(one[name], other[name], atol=1e-5) for name in one)


def test_page_has_the_commands_tested_here():
    assert [command.split()[0] for command in COMMANDS] == ['mim', 'torchrun', 'mim']
    assert [language for language, _ in BLOCKS] == ['bash', 'bash', 'bash', 'text', 'sbatch', 'python']


class TestTraining:
    pytestmark = ON_CPU

    @NEEDS_OPENMIM
    def test_one_machine(self, shell, adapt, expected, tmp_path):
        code, output = shell(adapt(COMMANDS[0]))
        assert code == 0, output[-3000:]
        assert '--nproc_per_node=2 --master_port=29501' in output and 'Scaling the original LR by 2.0' in output
        assert_close(weights(tmp_path), expected)

    def test_two_machines(self, shell, adapt, expected, tmp_path):
        command = adapt(COMMANDS[1], port=29517)
        code, output = shell(f'{command} & first=$!; {command} && wait $first')
        assert code == 0, output[-3000:]
        assert_close(weights(tmp_path), expected)

    def test_sigterm_to_torchrun_saves_a_checkpoint(self, shell, adapt, config, tmp_path):
        command = adapt(COMMANDS[1], port=29523).replace('--nnodes=2', '--nnodes=1').replace('node=1', 'node=2')
        assert '--nnodes=1 --nproc-per-node=2' in command
        hook = dict(type='SendSignal', at=5, signal=int(signal.SIGTERM), to='parent', rank=0)
        config.write_text(f'{config.read_text()}\ntrain_cfg.update(max_epochs=200)\ncustom_hooks = [{hook}]\n')
        code, output = shell(command)
        assert code == 1, output[-3000:]
        stopped = tmp_path / 'run' / 'stopped.pth'
        assert (tmp_path / 'run' / 'last_checkpoint').read_text() == str(stopped)
        assert 5 <= torch.load(stopped)['meta']['iter'] < 200, output[-3000:]

    def test_batch_script_is_requeued_and_resumes(self, shell, adapt, config, expected, tmp_path):
        (tmp_path / 'job.sh').write_text(adapt(next(text for language, text in BLOCKS if language == 'sbatch')))
        whole = config.read_text()
        hook = dict(type='SendSignal', at=2, signal=int(signal.SIGTERM))
        config.write_text(f'{whole}\ncustom_hooks = [{hook}]\n')
        code, output = shell('bash job.sh', SLURM_JOB_ID='77', MASTER_PORT='29519')
        assert code == 143, output[-3000:]
        assert (tmp_path / 'requeued').read_text() == 'requeue 77\n'
        config.write_text(whole)
        code, output = shell('bash job.sh', SLURM_JOB_ID='77', MASTER_PORT='29519')
        assert code == 0, output[-3000:]
        assert 'resumed epoch: 0, iter: 2' in output
        assert_close(weights(tmp_path), expected)


@NEEDS_OPENMIM
@pytest.mark.slow
def test_srun_line_is_exact(shell, tmp_path):
    code, output = shell(COMMANDS[2], tasks=0)
    assert code == 1, output  # without tasks nothing is trained
    written = json.loads((tmp_path / 'srun.json').read_text())
    line = next(text for language, text in BLOCKS if language == 'text').split()
    python, script, config = (written['arguments'][line.index(name) - 1] for name in ('PYTHON', 'TRAIN', 'CONFIG'))
    assert Path(script).samefile(ROOT / 'tools' / 'train.py')
    assert Path(config).samefile(ROOT / 'configs' / 'fine' / 'faster-rcnn_r50_fine-fpn_1x_coco.py')
    filled = [dict(PYTHON=python, TRAIN=script, CONFIG=config).get(word, word) for word in line]
    assert ['srun', *written['arguments']] == filled
    assert written['port'] == '29501'


def test_config_entries_are_those_of_make_resumable(tmp_path):
    base = __import__('mmdet').__path__[0] + '/.mim/configs/faster_rcnn/faster-rcnn_r50_fpn_1x_coco.py'
    stock = f'_base_ = {base!r}\n'
    (tmp_path / 'page.py').write_text(stock + next(text for language, text in BLOCKS if language == 'python'))
    page, stock = Config.fromfile(tmp_path / 'page.py'), Config.fromstring(stock, '.py')
    stock.train_dataloader.pop('batch_sampler')  # AspectRatioBatchSampler, which the page does not keep
    make_resumable(stock)
    for name in ('train_cfg', 'default_hooks'):
        assert without_scopes(page[name]).items() <= without_scopes(stock[name]).items()
    assert without_scopes(page.train_dataloader.batch_sampler).items() <= \
        without_scopes(stock.train_dataloader.batch_sampler).items()
    assert without_scopes(page.custom_hooks[0]) == without_scopes(stock.custom_hooks[0])


def without_scopes(node):
    if isinstance(node, dict):
        return {key: without_scopes(value) for key, value in node.items()}
    return node.removeprefix('mmxattn.') if isinstance(node, str) else node
