"""Two processes train what one with both their images does; one that is stopped stops the other; shards are exact."""
from functools import lru_cache

import pytest
import torch
import torch.distributed.fsdp
import two_processes
from launch import in_two_processes
from small_hosts import PARTS

pytestmark = [pytest.mark.slow, pytest.mark.skipif(torch.cuda.is_available(), reason='for machines without GPU')]


@pytest.fixture(scope='module')
def found(tmp_path_factory):
    """What each of two processes found; that none fails is also that no parameter is unused (DDP would raise)."""
    return in_two_processes('two_processes.py', tmp_path_factory.mktemp('two'))


@pytest.fixture(scope='module')
def alone(tmp_path_factory):
    return lru_cache(lambda part: two_processes.train(part, tmp_path_factory.mktemp(part), 1))


def difference(one, other):
    """The greatest of all values; not a number where one is not."""
    assert one.keys() == other.keys()
    return float(torch.stack([(one[name].double() - other[name].double()).abs().max() for name in one]).max())


@pytest.mark.parametrize('part', PARTS)
def test_same_weights_as_one_process_with_both_their_images(found, alone, part):
    before, after, steps = alone(part)
    assert steps == two_processes.STEPS
    own = two_processes.rates(part)
    moved = {name: float((after[name] - before[name]).abs().max()) for name in own}
    assert min(moved.values()) > 5e-4  # each tensor of the part has learnt
    host = after.keys() - own.keys()
    for process in found:
        assert difference({name: after[name] for name in host}, {name: process[part][name] for name in host}) < 1e-5
        for name in own:  # at its own rate rounding that reaches the other side of a ReLU is 1e-5 and more
            assert difference({name: after[name]}, {name: process[part][name]}) < moved[name] / 50, name


def test_sigterm_at_one_process_stops_both_and_both_go_on(found):
    for process in found:
        assert process['stopped at'] == 1  # counted from 0: the second step is the last
        assert difference(process['cla'], process['resumed']) == 0


@pytest.mark.skipif(not hasattr(torch.distributed.fsdp, 'fully_shard'), reason='for torch >= 2.6')
@pytest.mark.parametrize('part', PARTS)
def test_sharded_parameters(found, part):
    for process in found:
        whole, sharded = process['shards'][part]
        assert whole.keys() == sharded.keys()
        for name, expected in whole.items():
            torch.testing.assert_close(sharded[name], expected, rtol=1e-5, atol=1e-5 * float(expected.abs().max()),
                                       msg=lambda why, name=name: f'{name}: {why}')
