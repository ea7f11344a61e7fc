import json
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from mmxattn.cli.demo import CONFIGS, RECIPES

DEMO = Path(__file__).parents[2] / 'tools' / 'demo.py'
SHORT = ('train_cfg.max_epochs=1', 'train_dataloader.dataset.indices=16', 'val_dataloader.dataset.indices=4',
         'test_dataloader.dataset.indices=4')


@pytest.mark.parametrize('part', RECIPES)
def test_part_has_two_configs(part):
    baseline, candidate = RECIPES[part]
    assert baseline != candidate
    assert (CONFIGS / f'{baseline}.py').is_file()
    assert (CONFIGS / f'{candidate}.py').is_file()


def test_unknown_part_lists_the_known_ones(tool):
    code, _, errors = tool('demo', '--part', 'nothing')
    assert code == 2
    assert all(part in errors for part in RECIPES)


@pytest.mark.slow
def test_ctrl_c_prints_how_to_resume(tmp_path):
    process = subprocess.Popen(
        [sys.executable, DEMO, '--work-dir', tmp_path], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        cwd=tmp_path, preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL))  # ignored in background jobs
    assert 'trains two models' in process.stdout.readline()
    time.sleep(1)
    process.send_signal(signal.SIGINT)
    _, errors = process.communicate(timeout=60)
    assert process.returncode == 1
    assert 'To resume, run: ' in errors and str(tmp_path) in errors
    assert 'Traceback' not in errors


@pytest.mark.slow
@pytest.mark.parametrize('part, metric', [('fine', 'AP50'), ('cla', 'mIoU')])
def test_short_demo_writes_a_complete_report(part, metric, tool, tmp_path):
    code, output, errors = tool('demo', '--part', part, '--work-dir', tmp_path, '--cfg-options', *SHORT)
    assert code == 0, errors
    assert 'Summary' in output and str(tmp_path / part / 'report.html') in output
    report = json.loads((tmp_path / part / 'report.json').read_text())
    for recipe in (report['baseline'], *report['candidates']):
        assert metric in recipe['runs'][0]['accuracy']['metrics']
        assert recipe['speed'][0]['failure'] is None
    problems = {section['title']: section['problems'] for section in report['visualization']}
    assert problems['Effective receptive field'] == problems['Side by side'] == []
