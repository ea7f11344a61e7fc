"""Random numbers that depend on what they are for, and on nothing that happened before."""
import random

import numpy as np
import torch

__all__ = ['own_random_numbers', 'seed_generators']


def seed_generators(*key: int) -> None:
    """Start Python's, NumPy's and torch's generators from ``key``: any number of non-negative integers.

    On a machine with GPUs torch seeds theirs as well; never in a data loader's worker, where CUDA must not start.
    """
    for_python, for_numpy, for_torch = np.random.SeedSequence(key).generate_state(3, np.uint32).tolist()
    random.seed(for_python)
    np.random.seed(for_numpy)
    if torch.utils.data.get_worker_info() is None:
        torch.manual_seed(for_torch)
    else:
        torch.default_generator.manual_seed(for_torch)


class own_random_numbers:
    """``with own_random_numbers():`` whatever is drawn or seeded inside, the CPU's generators then go on as before."""

    def __enter__(self):
        self.states = random.getstate(), np.random.get_state(), torch.get_rng_state()

    def __exit__(self, *failure):
        python, numpy, torchs = self.states
        random.setstate(python)
        np.random.set_state(numpy)
        torch.set_rng_state(torchs)
