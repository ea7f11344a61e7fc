"""A script of this folder in two processes; and a hook that ends what has started them."""
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import torch
from mmengine.hooks import Hook
from mmengine.registry import HOOKS

HERE = Path(__file__).parent
ENVIRONMENT = dict(os.environ, PYTHONPATH=os.pathsep.join(map(str, (HERE.parents[1], HERE.parent / 'helpers', HERE))),
                   OMP_NUM_THREADS='1')


def in_two_processes(script: str, folder: Path) -> list[dict]:
    """What each of them left in FOLDER/RANK.pth; FOLDER is the script's argument."""
    answer = subprocess.run([sys.executable, '-m', 'torch.distributed.run', '--standalone', '--nproc-per-node=2',
                             HERE / script, folder], text=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                            timeout=550, env=ENVIRONMENT)
    assert answer.returncode == 0, answer.stdout[-5000:]
    return [torch.load(folder / f'{rank}.pth') for rank in range(2)]


@HOOKS.register_module(force=True)
class StopLauncher(Hook):
    """The first process sends SIGTERM to its parent after a step; the steps that follow take their time."""

    def __init__(self, step):
        self.step = step

    def after_train_iter(self, runner, batch_idx, data_batch=None, outputs=None):
        if runner.iter + 1 == self.step and runner.rank == 0:
            os.kill(os.getppid(), signal.SIGTERM)
        if runner.iter + 1 >= self.step:
            time.sleep(0.1)
