import runpy
import sys
from pathlib import Path

import pytest

TOOLS = Path(__file__).resolve().parents[2] / 'tools'


@pytest.fixture
def tool(monkeypatch, tmp_path, capsys):
    """Return a function that runs tools/NAME.py here, in an empty folder, and returns exit code, stdout and stderr."""
    monkeypatch.chdir(tmp_path)

    def call(name, *arguments):
        capsys.readouterr()
        monkeypatch.setattr(sys, 'argv', [f'{name}.py', *map(str, arguments)])
        code = 0
        try:
            runpy.run_path(str(TOOLS / f'{name}.py'), run_name='__main__')
        except SystemExit as stop:
            code = stop.code or 0
        output, errors = capsys.readouterr()
        if isinstance(code, str):  # Python prints it to stderr and exits with 1
            code, errors = 1, errors + code
        return code, output, errors

    return call

