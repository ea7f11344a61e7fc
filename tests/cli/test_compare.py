import json

import pytest

import recipes
from mmxattn.cli.compare import parse_args

BASELINE = recipes.CONFIGS / 'demo' / 'faster-rcnn_r18-w32_fpn64_digits.py'
FINE = recipes.CONFIGS / 'demo' / 'faster-rcnn_r18-w32_fine-fpn64_digits.py'
PAIR = (BASELINE, FINE)


@pytest.mark.parametrize('arguments', [(), ('--help', )])
def test_help_describes_the_report(tool, arguments):
    code, output, _ = tool('compare', *arguments)
    assert code == 0
    for text in ('the baseline first', 'report.html', 'examples:', '--checkpoints baseline.pth', '--seeds 0 1 2',
                 '--no-visualization'):
        assert text in output
    assert '--no-looks' not in output


def test_no_looks_is_a_deprecated_alias(monkeypatch, capsys):
    monkeypatch.setattr('sys.argv', ['compare.py', 'a.py', 'b.py', '--no-looks'])
    assert parse_args().no_visualization
    assert 'use --no-visualization' in capsys.readouterr().err


@pytest.mark.parametrize('code, message, arguments', [
    (1, 'two or more config files, the baseline first; got 1', (BASELINE, )),
    (1, 'no config file absent.py', (BASELINE, 'absent.py')),
    (1, 'notes.txt cannot be read', (BASELINE, 'notes.txt')),
    (1, 'must define `model`', (BASELINE, 'no_model.py')),
    (1, 'no_base.py cannot be read', (BASELINE, 'no_base.py')),
    (1, 'give one checkpoint per config', (*PAIR, '--checkpoints', 'a.pth')),
    (1, 'no checkpoint absent.pth', (*PAIR, '--checkpoints', 'absent.pth', 'absent.pth')),
    (1, 'seeds must differ', (*PAIR, '--train', '--seeds', '0', '0')),
    (1, "modes must be among fp32, amp, compile; got 'fp33'", (*PAIR, '--modes', 'fp33')),
    (1, 'faster-rcnn_r18-w32_fpn64_digits cannot run on an image of 0x8 pixels', (*PAIR, '--shape', '0', '8')),
    (1, 'notes.txt/report', (*PAIR, '--work-dir', 'notes.txt/report')),
    (2, "'many'", (*PAIR, '--turns', 'many')),
])
def test_invalid_arguments_give_a_message(code, message, arguments, tool, tmp_path):
    (tmp_path / 'notes.txt').write_text('Not a config.\n')
    (tmp_path / 'no_model.py').write_text('optimizer = dict(lr=1)\n')
    (tmp_path / 'no_base.py').write_text("_base_ = 'gone.py'\n")
    files = sorted(tmp_path.rglob('*'))
    found, _, errors = tool('compare', *arguments)
    assert found == code
    assert message in errors and 'Traceback' not in errors
    assert sorted(tmp_path.rglob('*')) == files


@pytest.mark.slow
def test_comparison_without_data_or_weights(tool, tmp_path):
    code, output, errors = tool('compare', *PAIR, '--shape', 96, 128, '--work-dir', tmp_path, '--turns', 4,
                                '--budget', 5)
    assert code == 0, errors
    report = json.loads((tmp_path / 'report.json').read_text())
    assert report['synthetic_images'] and report['shape'] == [96, 128]
    baseline, candidate = report['baseline'], report['candidates'][0]
    assert baseline['runs'] == candidate['runs'] == []
    added = candidate['complexity']['parameters'] - baseline['complexity']['parameters']
    assert candidate['complexity']['modules']['neck.fine']['parameters'] == added
    assert 'Summary' in output and str(tmp_path / 'report.html') in output
    section = next(section for section in report['visualization'] if section['title'] == 'Effective receptive field')
    assert section['problems'] == [] and len(section['numbers']) == 2


@pytest.mark.slow
def test_equal_recipes_have_equal_complexity(tool, tmp_path):
    code, _, errors = tool('compare', BASELINE, BASELINE, '--work-dir', tmp_path, '--no-visualization', '--turns', 4,
                           '--budget', 5)
    assert code == 0, errors
    report = json.loads((tmp_path / 'report.json').read_text())
    assert report['candidates'][0]['config_diff'] == []
    assert report['candidates'][0]['complexity'] == report['baseline']['complexity']
