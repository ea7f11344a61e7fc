"""What every test leaves as it found it."""
import os

import pytest
import torch

if not torch.cuda.is_available():  # kernels are interpreted; Triton reads this when it is first imported
    os.environ.setdefault('TRITON_INTERPRET', '1')


@pytest.fixture(autouse=True)
def environment():
    """The environment's variables: mmengine sets some for a distributed run, such as MKL's threads, and keeps them."""
    before = dict(os.environ)
    yield
    for name in os.environ.keys() - before.keys():
        del os.environ[name]
    os.environ.update(before)
