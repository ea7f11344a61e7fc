"""The command lines of docs/clusters.md, each carried out as far as a machine without GPUs can.

Where the page has GPUs, machines and Slurm there are two processes here and stand-ins on the PATH; the recipe is a
small one. All ways of training give the weights of one process.
"""
import json
import os
import re
import signal
import subprocess
import sys
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import pytest
import torch
from toy import plain_recipe, toy_recipe, toy_runner

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / 'docs' / 'clusters.md').read_text()
BLOCKS = re.findall(r'```(\w+)\n(.*?)```', PAGE, re.DOTALL)
COMMANDS = [text.strip() for kind, text in BLOCKS if kind == 'bash']
ON_CPU = pytest.mark.skipif(torch.cuda.is_available(), reason='for machines without GPU')
try:
    version('openmim')
    BY_NAME = True
except PackageNotFoundError:
    BY_NAME = False  # onedl-mim does not know third-party packages
MIM = pytest.mark.skipif(not BY_NAME, reason='onedl-mim does not find third-party packages')

# Writes down what it was asked, and starts as many tasks of the command after its own options.
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
    """Runs a command in an empty folder where ``srun`` starts so many tasks; returns its exit code and output."""
    (tmp_path / 'bin').mkdir()

    def run(command, tasks=2, **environment):
        for name, text in dict(srun=SRUN.format(python=sys.executable, tasks=tasks), scontrol=SCONTROL,
                               mim=f'#!/bin/sh\nexec {sys.executable} -m mim "$@"\n',
                               torchrun=f'#!/bin/sh\nexec {sys.executable} -m torch.distributed.run "$@"\n').items():
            (tmp_path / 'bin' / name).write_text(text)
            (tmp_path / 'bin' / name).chmod(0o755)
        paths = os.pathsep.join(str(path) for path in (ROOT, ROOT / 'tests' / 'engine', Path(__file__).parent))
        answer = subprocess.run(['bash', '-c', command], cwd=tmp_path, text=True, stdin=subprocess.DEVNULL,
                                stdout=subprocess.PIPE, stderr=subprocess.STDOUT, timeout=300,
                                env=dict(os.environ, PATH=f'{tmp_path / "bin"}:{os.environ["PATH"]}', PYTHONPATH=paths,
                                         OMP_NUM_THREADS='1', MASTER_ADDR='localhost', **environment))
        return answer.returncode, answer.stdout

    return run


@pytest.fixture
def small(tmp_path):
    """Replaces what a CPU cannot do in a command of the page: its recipe, its GPUs, its machines."""
    recipe = plain_recipe(tmp_path / 'run', max_epochs=1, **{'model.dropout': 0., 'train_dataloader.batch_size': 2})
    recipe.custom_imports = dict(imports=['toy', 'mmxattn'], allow_failed_imports=False)
    recipe.update(auto_scale_lr=dict(base_batch_size=2), log_level='INFO')
    path = tmp_path / 'some.py'
    recipe.dump(path)

    def replaced(command):
        for name, value in {'configs/fine/faster-rcnn_r50_fine-fpn_1x_coco.py': str(path),
                            'faster-rcnn_r50_fine-fpn_1x_coco.py': str(path),
                            'tools/train.py': f'{ROOT}/tools/train.py',
                            '--gpus 16 --gpus-per-node 8': '--gpus 2 --gpus-per-node 2', '--gpus 8': '--gpus 2',
                            '--nproc-per-node=8': '--nproc-per-node=1', 'node0': 'localhost',
                            '--work-dir work_dirs/fine': f'--work-dir {tmp_path}/run'}.items():
            command = command.replace(name, value)
        return command

    return replaced


def trained(folder):
    return torch.load(folder / 'run' / 'epoch_1.pth')['state_dict']


@pytest.fixture(scope='module')
def alone(tmp_path_factory):
    """One process with the batch and the learning rate of two."""
    folder = tmp_path_factory.mktemp('alone')
    toy_runner(toy_recipe(folder / 'run', max_epochs=1, **{
        'model.dropout': 0., 'train_dataloader.batch_size': 4, 'optim_wrapper.optimizer.lr': 0.02})).train()
    return trained(folder)


def same(one, other):
    return one.keys() == other.keys() and all(torch.allclose(one[name], other[name], atol=1e-5) for name in one)


def test_the_page_has_the_commands_that_are_run_here():
    assert [command.split()[0] for command in COMMANDS] == ['mim', 'torchrun', 'mim']
    assert [kind for kind, _ in BLOCKS] == ['bash', 'bash', 'bash', 'text', 'sbatch', 'python']


@MIM
@pytest.mark.slow
@ON_CPU
def test_one_machine(shell, small, alone, tmp_path):
    code, said = shell(small(COMMANDS[0]))
    assert code == 0, said[-3000:]
    assert '--nproc_per_node=2 --master_port=29501' in said
    assert same(trained(tmp_path), alone)  # the learning rate too is that of four images
    assert 'Scaling the original LR by 2.0' in said


@pytest.mark.slow
@ON_CPU
def test_two_machines(shell, small, alone, tmp_path):
    command = small(COMMANDS[1]).replace(':29500', ':29517')
    code, said = shell(f'{command} & first=$!; {command} && wait $first')
    assert code == 0, said[-3000:]
    assert same(trained(tmp_path), alone)


@pytest.mark.slow
@ON_CPU
def test_sigterm_to_torchrun_itself(shell, small, tmp_path):
    command = small(COMMANDS[1]).replace('--nnodes=2', '--nnodes=1').replace('=1 --rdzv', '=2 --rdzv')
    command = command.replace(':29500', ':29523')
    assert '--nnodes=1 --nproc-per-node=2' in command
    recipe = tmp_path / 'some.py'
    recipe.write_text(recipe.read_text() + "\ncustom_imports = dict(imports=['toy', 'mmxattn', 'launch'])\n"
                      "train_cfg.update(max_epochs=200)\ncustom_hooks = [dict(type='StopLauncher', step=5)]\n")
    code, said = shell(command)
    assert code == 1, said[-3000:]
    written = tmp_path / 'run' / 'stopped.pth'
    assert (tmp_path / 'run' / 'last_checkpoint').read_text() == str(written)
    assert 5 <= torch.load(written)['meta']['iter'] < 100, said[-3000:]


@MIM
def test_the_srun_line_to_the_letter(shell, tmp_path):
    code, said = shell(COMMANDS[2], tasks=0)
    assert code == 1, said  # no task, no training: the line is what is looked at
    written = json.loads((tmp_path / 'srun.json').read_text())
    line = next(text for kind, text in BLOCKS if kind == 'text').split()
    python, train, config = (written['arguments'][line.index(name) - 1] for name in ('PYTHON', 'TRAIN', 'CONFIG'))
    assert Path(train).samefile(ROOT / 'tools' / 'train.py') and os.access(python, os.X_OK) or python == 'python'
    assert Path(config).samefile(ROOT / 'configs' / 'fine' / 'faster-rcnn_r50_fine-fpn_1x_coco.py')
    filled = [dict(PYTHON=python, TRAIN=train, CONFIG=config).get(word, word) for word in line]
    assert ['srun', *written['arguments']] == filled
    assert written['port'] == '29501'


@pytest.mark.slow
@ON_CPU
def test_the_batch_script_stops_is_requeued_and_goes_on(shell, small, alone, tmp_path):
    script = small(next(text for kind, text in BLOCKS if kind == 'sbatch'))
    (tmp_path / 'job.sh').write_text(script)
    recipe = tmp_path / 'some.py'
    whole = recipe.read_text()
    recipe.write_text(whole + f"\ncustom_hooks = [dict(type='SignalOnce', step=2, number={int(signal.SIGTERM)})]\n")
    code, said = shell('bash job.sh', SLURM_JOB_ID='77', MASTER_PORT='29519')
    assert code == 143, said[-3000:]
    assert (tmp_path / 'requeued').read_text() == 'requeue 77\n'
    assert (tmp_path / 'run' / 'last_checkpoint').read_text() == str(tmp_path / 'run' / 'stopped.pth')
    recipe.write_text(whole)
    code, said = shell('bash job.sh', SLURM_JOB_ID='77', MASTER_PORT='29519')
    assert code == 0, said[-3000:]
    assert 'resumed epoch: 0, iter: 2' in said
    assert same(trained(tmp_path), alone)


def test_the_pages_entries_of_a_recipe_are_what_the_train_script_switches_on(tmp_path):
    from mmengine.config import Config

    from mmxattn.engine import make_resumable
    base = __import__('mmdet').__path__[0] + '/.mim/configs/faster_rcnn/faster-rcnn_r50_fpn_1x_coco.py'
    stock = f'_base_ = {base!r}\n'
    (tmp_path / 'ours.py').write_text(stock + next(text for kind, text in BLOCKS if kind == 'python'))
    ours, stock = Config.fromfile(tmp_path / 'ours.py'), Config.fromstring(stock, '.py')
    batches = stock.train_dataloader.pop('batch_sampler')  # AspectRatioBatchSampler: the page has plain ones
    assert batches.type == 'AspectRatioBatchSampler'
    make_resumable(stock)
    for mine, theirs in ((ours.train_cfg, stock.train_cfg), (ours.default_hooks, stock.default_hooks),
                         (ours.train_dataloader.batch_sampler, stock.train_dataloader.batch_sampler)):
        assert short(mine).items() <= short(theirs).items()
    assert short(ours.custom_hooks[0]) == short(stock.custom_hooks[0])


def short(node):
    """Types without their scope."""
    if isinstance(node, dict):
        return {key: short(value) for key, value in node.items()}
    return node.removeprefix('mmxattn.') if isinstance(node, str) else node
