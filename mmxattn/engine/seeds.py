"""Random seeds that depend only on a key."""
import random
from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
import torch

__all__ = ['preserve_rng_state', 'seed_all']


def seed_all(*key: int) -> None:
    """Seed the generators of Python, NumPy and PyTorch from a key.

    GPU generators are seeded too, except in data loader workers, which must not initialize CUDA.

    Args:
        *key: Non-negative integers.
    """
    python_seed, numpy_seed, torch_seed = np.random.SeedSequence(key).generate_state(3, np.uint32).tolist()
    random.seed(python_seed)
    np.random.seed(numpy_seed)
    if torch.utils.data.get_worker_info() is None:
        torch.manual_seed(torch_seed)
    else:
        torch.default_generator.manual_seed(torch_seed)


@contextmanager
def preserve_rng_state() -> Iterator[None]:
    """Restore the CPU generators of Python, NumPy and PyTorch at the end of the block."""
    states = random.getstate(), np.random.get_state(), torch.get_rng_state()
    try:
        yield
    finally:
        random.setstate(states[0])
        np.random.set_state(states[1])
        torch.set_rng_state(states[2])
