import sys
from pathlib import Path

import pytest
import torch

sys.path.insert(0, str(Path(__file__).parent))  # small_hosts
sys.path.append(str(Path(__file__).parents[1] / 'engine'))  # toy


@pytest.fixture(autouse=True, scope='module')
def one_thread():
    """As torch.distributed.run gives each of its processes: what is compared with them sums in the same order."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)
