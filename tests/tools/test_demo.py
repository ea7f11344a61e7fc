"""The demo as a person meets it: from the command line."""

import importlib.util
import json
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

DEMO = Path(__file__).parents[2] / 'tools' / 'demo.py'
SHORT = ['train_cfg.max_epochs=1', 'train_dataloader.dataset.indices=16', 'val_dataloader.dataset.indices=4',
         'test_dataloader.dataset.indices=4']


@pytest.fixture
def demo(monkeypatch):
    monkeypatch.syspath_prepend(DEMO.parent)
    spec = importlib.util.spec_from_file_location('demo', DEMO)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def start(*arguments, **kwargs):
    return subprocess.Popen([sys.executable, DEMO, *arguments], stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                            text=True, preexec_fn=heed_ctrl_c, **kwargs)


def heed_ctrl_c():
    """A shell's background job ignores Ctrl-C, and all that it starts: these tests may run in one."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)


@pytest.mark.parametrize('part', ['fine', 'cfsam', 'scsa', 'cla'])
def test_each_part_has_its_two_recipes(demo, part):
    stock, ours = demo.RECIPES[part]
    assert stock != ours
    assert (demo.CONFIGS / f'{stock}.py').is_file()
    assert (demo.CONFIGS / f'{ours}.py').is_file()


def test_an_unknown_part_is_told_with_the_known_ones():
    process = start('--part', 'nothing')
    _, told = process.communicate()
    assert process.returncode == 2
    assert all(part in told for part in ('fine', 'cfsam', 'scsa', 'cla'))


def test_ctrl_c_says_how_to_go_on(tmp_path):
    process = start('--work-dir', str(tmp_path), cwd=tmp_path)
    assert 'trains two models' in process.stdout.readline()
    time.sleep(1)  # into the work
    process.send_signal(signal.SIGINT)
    _, told = process.communicate(timeout=60)
    assert process.returncode == 1
    assert 'To go on from here: ' in told and str(tmp_path) in told
    assert 'Traceback' not in told


@pytest.mark.slow
@pytest.mark.parametrize('part, metric', [('fine', 'AP50'), ('cla', 'mIoU')])
def test_a_short_run_from_end_to_end(part, metric, tmp_path):
    process = start('--part', part, '--work-dir', str(tmp_path), '--cfg-options', *SHORT)
    output, told = process.communicate()
    assert process.returncode == 0, told
    assert 'At a glance' in output and str(tmp_path / part / 'report.html') in output
    result = json.loads((tmp_path / part / 'report.json').read_text())
    assert all(metric in candidate['runs'][0]['accuracy']['metrics'] for candidate in result['candidates'])
    assert all(candidate['speed'][0]['failure'] is None for candidate in result['candidates'])
    problems = {section['title']: section['problems'] for section in result['looks']}
    assert problems['Effective receptive field'] == problems['Side by side'] == []
