"""Checks that crash, hang or exit are reported as failed, and the others still run."""
import signal
import subprocess

import pytest

from mmxattn.cli.doctor.runner import run_checks

SCRIPT = '''
import json, os, signal, sys, time
for name in sys.argv[1:]:
    if name == 'crash':
        os.kill(os.getpid(), signal.SIGSEGV)
    elif name == 'exit':
        os._exit(3)
    elif name == 'hang':
        time.sleep(600)
    print(json.dumps([name, 'passed', name.upper()]), flush=True)
'''


@pytest.fixture
def script(tmp_path):
    path = tmp_path / 'script.py'
    path.write_text(SCRIPT)
    return path


def test_every_check_has_a_result(script):
    results = list(run_checks(['a', 'crash', 'exit', 'b', 'hang', 'c'], timeout=2, script=script))
    assert [(result.name, result.state) for result in results] == [
        ('a', 'passed'), ('crash', 'failed'), ('exit', 'failed'), ('b', 'passed'), ('hang', 'failed'), ('c', 'passed')]
    messages = {result.name: result.message for result in results}
    assert messages['a'] == 'A' and messages['crash'] == 'crashed with SIGSEGV'
    assert messages['exit'] == 'exited with code 3' and messages['hang'].startswith('timed out after 2 s')


def test_process_is_killed_with_its_generator(script, monkeypatch):
    started, popen = [], subprocess.Popen

    def start(*args, **kwargs):
        started.append(popen(*args, **kwargs))
        return started[-1]

    monkeypatch.setattr(subprocess, 'Popen', start)
    results = run_checks(['a', 'hang'], script=script)
    assert next(results).name == 'a'
    results.close()
    assert started[0].wait(timeout=10) == -signal.SIGKILL
