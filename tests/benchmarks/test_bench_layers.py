"""The layer benchmark as a person meets it: from the command line."""

import json
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

TOOL = Path(__file__).parents[2] / 'benchmarks' / 'bench_layers.py'


def start(*arguments):
    return subprocess.Popen([sys.executable, TOOL, *map(str, arguments)], stdout=subprocess.PIPE,
                            stderr=subprocess.PIPE, text=True, preexec_fn=heed_ctrl_c)


def heed_ctrl_c():
    """A shell's background job ignores Ctrl-C, and all that it starts: these tests may run in one."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)


def run(*arguments):
    process = start(*arguments)
    output, told = process.communicate()
    return process.returncode, output, told


def test_help_is_for_a_newcomer():
    _, output, _ = run('--help')
    for word in ('literal form of its paper', 'SCSA, FINE, CFSAM, CLA', 'examples:', '--only 512x7x7', '--compile'):
        assert word in output


def test_one_case(tmp_path):
    file = tmp_path / 'layers.json'
    code, output, told = run('--layers', 'SCSA', '--only', '512x7x7', '--turns', 2, '--budget', 1, '--json', file)
    assert code == 0, told
    for word in ('literal /', 'SCSA 32x512x7x7', 'inference', 'training step', 'GB/s', 'threads'):
        assert word in output
    report = json.loads(file.read_text())
    assert {'torch', 'python', 'device', 'threads', 'timer', 'clock_mhz', 'dtype'} <= set(report['environment'])
    assert all(rate > 0 for rate in report['rates'].values())
    assert [result['training'] for result in report['results']] == [False, True]
    for result in report['results']:
        assert result['layer'] == 'SCSA' and result['error'] < 2e-3 and result['floor'] > 0
        for form in (result['ours'], result['literal']):
            assert len(form['seconds']) == 2 and form['memory'] > 0
        assert result['literal']['bytes_moved'] > result['necessary_bytes']
        assert result['speed_up']['lower'] <= result['speed_up']['median'] <= result['speed_up']['upper']


@pytest.mark.parametrize('arguments, told', [
    (('--layers', 'ABC'), "no layer 'ABC' to time: take some of SCSA, FINE, CFSAM, CLA"),
    (('--json', 'absent/layers.json'), 'no folder absent'),
    (('--scaling', '--json', 'absent/layers.json'), 'no folder absent'),
    (('--scaling', '--layers', 'SCSA'), "no layer 'SCSA' to time: take some of CFSAM, CLA"),
    (('--scaling', '--layers', 'CLA', '--only', 'levels 3'), 'levels 1 and 4, patch_size=1'),
    (('--scaling', '--turns', 0), 'turns=0 must be at least 1'),
])
def test_what_cannot_be_timed_is_a_sentence(arguments, told):
    code, output, said = run(*arguments)
    assert code == 1 and 'literal' not in output
    assert told in said and 'Traceback' not in said


def test_ctrl_c_keeps_what_was_measured(tmp_path):
    file = tmp_path / 'layers.json'
    process = start('--layers', 'SCSA', '--only', '512x7x7', '--turns', 10000, '--budget', 3, '--json', file)
    while not file.is_file() and process.poll() is None:
        time.sleep(0.05)
    process.send_signal(signal.SIGINT)
    output, told = process.communicate(timeout=60)
    assert process.returncode == 1
    assert 'Stopped' in told and 'Traceback' not in told
    assert 'inference' in output and 'training step' not in output
    assert [result['training'] for result in json.loads(file.read_text())['results']] == [False]
