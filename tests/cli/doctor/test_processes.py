"""Checks that crash, hang or end their process are results, and the rest goes on."""
import signal
import subprocess

import pytest

from mmxattn.cli.doctor.processes import run

SCRIPT = '''
import json, os, signal, sys, time
for name in sys.argv[1:]:
    if name == 'crash':
        os.kill(os.getpid(), signal.SIGSEGV)
    elif name == 'leave':
        os._exit(3)
    elif name == 'hang':
        time.sleep(600)
    print(json.dumps([name, 'works', name.upper()]), flush=True)
'''


@pytest.fixture
def script(tmp_path):
    path = tmp_path / 'script.py'
    path.write_text(SCRIPT)
    return path


def test_each_check_has_one_outcome_in_order(script):
    outcomes = list(run(['a', 'crash', 'leave', 'b', 'hang', 'c'], seconds=2, script=script))
    assert [(outcome.name, outcome.state) for outcome in outcomes] == [
        ('a', 'works'), ('crash', 'fails'), ('leave', 'fails'), ('b', 'works'), ('hang', 'fails'), ('c', 'works')]
    told = {outcome.name: outcome.told for outcome in outcomes}
    assert told['a'] == 'A' and told['crash'] == f'ended the process with {signal.SIGSEGV.name}'
    assert told['leave'] == 'ended the process with exit code 3' and told['hang'].startswith('did not end within 2 s')


def test_who_stops_listening_leaves_no_process(script, monkeypatch):
    started, popen = [], subprocess.Popen

    def start(*args, **kwargs):
        started.append(popen(*args, **kwargs))
        return started[-1]

    monkeypatch.setattr(subprocess, 'Popen', start)
    outcomes = run(['a', 'hang'], script=script)
    assert next(outcomes).name == 'a'
    outcomes.close()
    assert started[0].wait(timeout=10) == -signal.SIGKILL
