"""Data parallel training in two processes gives the gradients of one process."""
import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from small_models import MODULES

pytestmark = [pytest.mark.slow, pytest.mark.skipif(torch.cuda.is_available(), reason='for machines without a GPU')]
HELPERS = Path(__file__).parents[1] / 'helpers'


@pytest.fixture(scope='module')
def found(tmp_path_factory):
    """The gradients of each process."""
    folder = tmp_path_factory.mktemp('two')
    answer = subprocess.run(
        [sys.executable, '-m', 'torch.distributed.run', '--standalone', '--nproc-per-node=2',
         HELPERS / 'distributed_worker.py', folder], text=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
        timeout=550, env=dict(os.environ, PYTHONPATH=f'{HELPERS}{os.pathsep}{HELPERS.parents[1]}', OMP_NUM_THREADS='1'))
    assert answer.returncode == 0, answer.stdout[-5000:]
    return [torch.load(folder / f'{rank}.pth') for rank in range(2)]


@pytest.mark.parametrize('wrapper', ['ddp', 'fsdp', 'fully_shard'])
@pytest.mark.parametrize('module', MODULES)
def test_gradients_are_those_of_one_process(module, wrapper, found):
    if wrapper not in found[0][module]:
        pytest.skip('for torch >= 2.6')
    for process in found:
        expected, actual = process[module]['one process'], process[module][wrapper]
        assert expected.keys() == actual.keys()
        for name, value in expected.items():
            torch.testing.assert_close(actual[name], value, rtol=1e-4, atol=1e-4 * float(value.abs().max()) + 1e-9,
                                       msg=lambda message, name=name: f'{name}: {message}')
