"""A time limit for every test; the command-line tools, called as their files are, in this process."""
import os
import runpy
import sys
from pathlib import Path

import pytest
from refusals import limited

TOOLS = Path(__file__).resolve().parents[2] / 'tools'
LIMIT_S = 240  # of a test; the longest takes some ten, and starts processes that have a limit of their own


@pytest.fixture(autouse=True)
def limit():
    """None hangs: a test that takes longer fails where it stands."""
    with limited(LIMIT_S):
        yield


@pytest.fixture
def tool(monkeypatch, tmp_path, capsys):
    """Function of a tool's name and its arguments: the exit code, and what it said on stderr; run in ``tmp_path``."""
    monkeypatch.syspath_prepend(TOOLS)
    monkeypatch.setattr(os, 'environ', os.environ.copy())
    monkeypatch.chdir(tmp_path)

    def call(name, *arguments):
        monkeypatch.setattr(sys, 'argv', [f'{name}.py', *map(str, arguments)])
        with pytest.raises(SystemExit) as stop:
            runpy.run_path(str(TOOLS / f'{name}.py'), run_name='__main__')
        told = capsys.readouterr().err
        if isinstance(stop.value.code, str):  # Python prints it, and exits with 1
            return 1, told + stop.value.code
        return stop.value.code, told

    return call
