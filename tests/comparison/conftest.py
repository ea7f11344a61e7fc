import functools
from pathlib import Path

import pytest

import toy_classifier


@pytest.fixture
def toy_config(tmp_path, monkeypatch):
    """Return a function that writes a config of the toy classifier, for this process and for those it starts."""
    monkeypatch.setenv('PYTHONPATH', str(Path(toy_classifier.__file__).parent), prepend=':')
    return functools.partial(toy_classifier.write_config, tmp_path)


@pytest.fixture
def steps(tmp_path):
    """Return a function that reads the training steps of a config over all its runs."""
    return functools.partial(toy_classifier.read_steps, tmp_path)
