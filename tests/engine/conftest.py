import pytest
from toy_training import resumable_config, train


@pytest.fixture(scope='session')
def trained(tmp_path_factory):
    """The folder of a run of three epochs. Tests copy it and do not change it."""
    folder = tmp_path_factory.mktemp('trained')
    train(resumable_config(folder))
    return folder
