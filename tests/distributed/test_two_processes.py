"""Two processes train what one with both their images does; one that is stopped stops the other; shards are exact."""
import os
import subprocess
import sys
from functools import lru_cache
from pathlib import Path

import pytest
import torch
import torch.distributed.fsdp
import two_processes
from small_hosts import PARTS

HERE = Path(__file__).parent
pytestmark = [pytest.mark.slow, pytest.mark.skipif(torch.cuda.is_available(), reason='for machines without GPU')]


@pytest.fixture(scope='module')
def found(tmp_path_factory):
    """What each of two processes found; that none fails is also that no parameter is unused (DDP would raise)."""
    folder = tmp_path_factory.mktemp('two')
    paths = os.pathsep.join(str(path) for path in (HERE.parents[1], HERE.parent, HERE))
    answer = subprocess.run([sys.executable, '-m', 'torch.distributed.run', '--standalone', '--nproc-per-node=2',
                             HERE / 'two_processes.py', folder], text=True, stdout=subprocess.PIPE,
                            stderr=subprocess.STDOUT, timeout=550,
                            env=dict(os.environ, PYTHONPATH=paths, OMP_NUM_THREADS='1'))
    assert answer.returncode == 0, answer.stdout[-5000:]
    return [torch.load(folder / f'{rank}.pth') for rank in range(2)]


@pytest.fixture(scope='module')
def alone(tmp_path_factory):
    return lru_cache(lambda part: two_processes.train(part, tmp_path_factory.mktemp(part), 1))


def difference(one, other):
    assert one.keys() == other.keys()
    return max(float((one[name].double() - other[name].double()).abs().max()) for name in one)


@pytest.mark.parametrize('part', PARTS)
def test_same_weights_as_one_process_with_both_their_images(found, alone, part):
    before, after, steps = alone(part)
    assert steps == two_processes.STEPS and difference(before, after) > 1e-3  # it did learn
    for process in found:
        assert difference(after, process[part]) < 1e-5


def test_sigterm_at_one_process_stops_both_and_both_go_on(found):
    for process in found:
        assert process['stopped at'] == 1  # counted from 0: the second step is the last
        assert difference(process['cla'], process['resumed']) == 0


@pytest.mark.skipif(not hasattr(torch.distributed.fsdp, 'fully_shard'), reason='for torch >= 2.6')
@pytest.mark.parametrize('part', PARTS)
def test_sharded_parameters(found, part):
    for process in found:
        assert process['shards'][part] < 1e-5
