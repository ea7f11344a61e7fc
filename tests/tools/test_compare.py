"""The comparison as a person meets it: from the command line."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

COMPARE = Path(__file__).parents[2] / 'tools' / 'compare.py'
DEMO = Path(__file__).parents[2] / 'configs' / 'demo'
STOCK, FINE = DEMO / 'faster-rcnn_r18-w32_fpn64_digits.py', DEMO / 'faster-rcnn_r18-w32_fine-fpn64_digits.py'


def run(*arguments):
    return subprocess.run([sys.executable, COMPARE, *map(str, arguments)], capture_output=True, text=True)


@pytest.mark.parametrize('arguments', [['--help'], []])
def test_help_is_for_a_newcomer(arguments):
    told = run(*arguments).stdout
    for word in ('stock one first', 'report.html', 'examples:', '--checkpoints stock.pth ours.pth', '--seeds 0 1 2'):
        assert word in told


@pytest.mark.parametrize('arguments, told', [
    ((STOCK, ), 'two or more config files'),
    ((STOCK, 'absent.py'), 'no config file absent.py'),
    ((STOCK, FINE, '--checkpoints', 'absent.pth', 'absent.pth'), 'no checkpoint absent.pth'),
    ((STOCK, FINE, '--modes', 'fp33'), "no mode 'fp33'"),
    ((STOCK, FINE, '--shape', '0', '8'), 'faster-rcnn_r18-w32_fpn64_digits cannot be run on an image of 0x8 pixels'),
])
def test_what_cannot_be_compared_is_one_sentence(arguments, told, tmp_path):
    result = run(*arguments, '--work-dir', tmp_path)
    assert result.returncode == 1
    assert told in result.stderr and 'Traceback' not in result.stderr
    assert not list(tmp_path.iterdir())


@pytest.mark.slow
def test_without_data_and_weights(tmp_path):
    result = run(STOCK, FINE, '--shape', 96, 128, '--work-dir', tmp_path, '--turns', 4, '--budget', 5)
    assert result.returncode == 0, result.stderr
    report = json.loads((tmp_path / 'report.json').read_text())
    assert report['made_images'] and report['shape'] == [96, 128]
    assert [candidate['runs'] for candidate in report['candidates']] == [[], []]
    fine = report['candidates'][1]['complexity']['modules']['neck.fine']
    assert fine['parameters'] == report['candidates'][1]['complexity']['parameters'] - report['candidates'][0][
        'complexity']['parameters']
    assert str(tmp_path / 'report.html') in result.stdout
    fields = [section for section in report['looks'] if section['title'] == 'Effective receptive field']
    assert fields[0]['problems'] == [] and len(fields[0]['numbers']) == 2


@pytest.mark.slow
def test_a_model_against_itself(tmp_path):
    result = run(STOCK, STOCK, '--work-dir', tmp_path, '--no-looks', '--turns', 4, '--budget', 5)
    assert result.returncode == 0, result.stderr
    first, second = json.loads((tmp_path / 'report.json').read_text())['candidates']
    assert second['changes'] == []
    assert second['complexity'] == first['complexity']
