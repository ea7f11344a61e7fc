"""The host benchmark as a person meets it: from the command line."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

TOOL = Path(__file__).parents[2] / 'benchmarks' / 'bench_hosts.py'


def run(*arguments):
    done = subprocess.run([sys.executable, TOOL, *map(str, arguments)], capture_output=True, text=True)
    return done.returncode, done.stdout, done.stderr


def test_help_is_for_a_newcomer():
    _, output, _ = run('--help')
    for word in ('what each part adds', 'same weights', 'examples:', '--only', '--turns'):
        assert word in output


@pytest.mark.parametrize('arguments, told', [
    (('--only', 'YOLO'), "No host has 'YOLO' in its name"),
    (('--json', 'absent/hosts.json'), 'no folder absent'),
    (('--turns', 0), 'turns=0 must be at least 1'),
])
def test_what_cannot_be_timed_is_a_sentence(arguments, told):
    code, output, said = run(*arguments)
    assert code == 1 and 'stock' not in output
    assert told in said and 'Traceback' not in said


@pytest.mark.slow
def test_one_host(tmp_path):
    file = tmp_path / 'hosts.json'
    code, output, told = run('--only', 'patch_size=8', '--turns', 5, '--budget', 1, '--json', file)
    assert code == 0, told
    for word in ('with part', 'CLA in SegFormer-B0, 512x512, patch_size=8', 'training step', 'threads'):
        assert word in output
    inference, training = json.loads(file.read_text())['results']
    assert len(inference['stock']) == len(inference['ours']) == 5 and not inference['training'] and training['training']
    assert 0 < inference['between'][0] <= inference['ratio']['median'] <= inference['between'][1]
    assert inference['macs'][0] > 0
