import os

import pytest
import torch

if not torch.cuda.is_available():
    os.environ.setdefault('TRITON_INTERPRET', '1')  # read by Triton when it is first imported


@pytest.fixture(autouse=True)
def restore_environment():
    """Restore environment variables: mmengine sets some for distributed runs and does not remove them."""
    before = dict(os.environ)
    yield
    for name in os.environ.keys() - before.keys():
        del os.environ[name]
    os.environ.update(before)
