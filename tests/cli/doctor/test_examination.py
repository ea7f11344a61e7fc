"""The verdict, from made metadata and made outcomes; and the tool, on the installation that runs the tests."""
import ast
import json
import os
import subprocess
import sys
from importlib import metadata
from pathlib import Path

import pytest
from made_versions import ONEDL, OPENMMLAB

from mmxattn.cli.doctor.examination import TRIED, examine
from mmxattn.cli.doctor.installed import Installed
from mmxattn.cli.doctor.processes import Outcome

TOOL = Path(__file__).parents[3] / 'tools' / 'doctor.py'


def examined(versions, **failing):
    """An examination where all works but ``failing``: check -> what it tells."""
    lines = []

    def runner(names):
        return [Outcome(name, 'fails' if name in failing else 'works', failing.get(name, '')) for name in names]

    return examine(lines.append, Installed(versions), runner), '\n'.join(lines)


@pytest.mark.parametrize('versions, stack', [(OPENMMLAB, 'Stack: OpenMMLab'), (ONEDL, 'Stack: OneDL')])
def test_a_whole_stack_is_well(versions, stack):
    examination, text = examined(versions, chained_plugins='only the last')
    assert examination.broken == [] and examination.to_dict()['well']
    assert text.startswith(stack) and text.endswith('All is well.')
    assert '  limit   of several plugins at one position only the last one counts' in text
    assert '  mended  SSDHead has no loss_cls' in text and 'issue 11780' in text
    for name, title in TRIED.items():
        assert f'  yes  {title}' in text, name


def test_both_stacks_at_once_are_a_fault_with_the_commands_that_end_it():
    examination, text = examined({**OPENMMLAB, **ONEDL})
    sentence, = examination.broken
    assert 'same import names' in sentence and 'Stack: both at once' in text
    for name in ('mmengine', 'mmcv', 'mmdet', 'mmsegmentation', 'openmim', 'onedl-mmengine', 'onedl-mmdetection'):
        assert name in sentence.partition('pip uninstall -y ')[2].partition('\n')[0].split()
    assert "pip install 'mmxattn[openmmlab]'" in sentence and "'mmxattn[onedl]'" in sentence


def test_two_forms_of_one_toolbox_are_a_fault_too():
    examination, _ = examined({**OPENMMLAB, 'mmcv-lite': '2.1.0'})
    assert 'pip uninstall -y mmengine mmcv mmcv-lite' in examination.broken[0]


def test_what_fails_is_told_with_its_own_words():
    examination, text = examined(OPENMMLAB, mmcv_cpu="ModuleNotFoundError: No module named 'mmcv._ext'")
    assert examination.broken == ["mmcv operators, CPU fails: ModuleNotFoundError: No module named 'mmcv._ext'"]
    assert '  NO   mmcv operators, CPU' in text and not examination.to_dict()['well']


def test_a_mending_that_does_not_hold_is_broken():
    examination, _ = examined(OPENMMLAB, ssd_predicts='AssertionError: SSDHead has no loss_cls')
    sentence, = examination.broken
    assert sentence.startswith('SSDHead has no loss_cls: SSD raises AttributeError at every prediction. ')
    assert sentence.endswith('mmxattn mends it, but not here: AssertionError: SSDHead has no loss_cls')


def test_what_comes_of_a_cause_is_not_told_beside_it():
    examination, _ = examined(OPENMMLAB, components='ImportError: no', ssd_predicts='ImportError: no')
    assert examination.broken == ['mmxattn fails: ImportError: no']
    examination, _ = examined({**OPENMMLAB, **ONEDL}, components='ImportError: no', ssd_predicts='ImportError: no')
    assert len(examination.broken) == 1 and 'same import names' in examination.broken[0]


def test_a_clash_is_broken_where_its_check_fails_and_gone_where_it_passes():
    clash = {**OPENMMLAB, 'setuptools': '82.0.0'}
    examination, _ = examined(clash, pkg_resources="No module named 'pkg_resources'")
    sentence, = examination.broken
    assert sentence == "mmengine imports pkg_resources, which setuptools gave up: pip install 'setuptools<81'"
    examination, text = examined(clash)  # another package brings it
    assert not examination.broken and 'pkg_resources' not in text


def test_old_versions_are_broken_by_themselves():
    examination, _ = examined({'python': '3.11.7', 'torch': '2.0.1'})
    assert examination.broken == ["torch is older than 2.1: pip install 'torch>=2.1'"]


@pytest.mark.parametrize('version', [(3, 7, 16), (3, 9, 18)])
def test_an_old_python_is_told_by_the_tool_itself(version):
    """The package does not import there, so that nothing of it may be asked."""
    ast.parse(TOOL.read_text(), feature_version=(3, 7))
    pretend = f"import runpy, sys; sys.version_info = {version}; runpy.run_path({str(TOOL)!r}, run_name='__main__')"
    answer = subprocess.run([sys.executable, '-S', '-E', '-c', pretend], capture_output=True, text=True)
    assert answer.returncode == 1
    found = '.'.join(map(str, version))
    assert answer.stderr == (f'Python {found} is older than 3.10, the oldest for mmxattn: make an environment from '
                             'Python 3.10 to 3.12.\n')


def test_mim_on_an_editable_install_is_no_fault():
    """It goes to the checkout's tools then; the row is for wheels."""
    _, text = examined(ONEDL)
    assert 'does not start' not in text
    _, text = examined(ONEDL, mim='RuntimeError: it looks elsewhere')
    assert '`mim run mmxattn` does not start on a normal install (one without -e)' in text


def test_missing_toolboxes_are_no_fault_but_told():
    examination, text = examined({'python': '3.11.7', 'torch': '2.13.0'})
    assert not examination.broken and 'Stack: no toolbox' in text
    assert 'mmxattn.layers is what works here' in text and "pip install 'mmxattn[openmmlab]'" in text
    _, text = examined({name: version for name, version in ONEDL.items() if 'segmentation' not in name})
    assert "mmseg not installed, so recipes for them say so and stop: pip install 'mmxattn[onedl]'" in text


def test_without_torch_nothing_works():
    examination = examine(installed=Installed({'python': '3.11.7'}),
                          runner=lambda names: [Outcome(name, 'absent', 'torch is not installed') for name in names])
    assert examination.broken == ["torch is not installed: pip install 'torch>=2.1'"]


def call(*arguments, python=sys.executable, **environment):
    return subprocess.run([python, TOOL, *arguments], capture_output=True, text=True, env={**os.environ, **environment})


@pytest.mark.slow
def test_this_installation_is_well():
    answer = call('--json')
    report = json.loads(answer.stdout)
    assert answer.returncode == 0 and report['well'] and report['broken'] == [], report['broken']
    assert report['stack'] in ('OpenMMLab', 'OneDL') and report['versions']['torch'] == metadata.version('torch')
    assert [check['title'] for check in report['checks']] == list(TRIED.values())
    states = {fault['what']: fault['state'] for fault in report['faults']}
    assert states['frozen_stages freezes new plugins at their random start'] == 'mended'


@pytest.mark.slow
def test_a_toolbox_that_does_not_import_is_found_and_the_rest_is_told(tmp_path):
    (tmp_path / 'mmseg').mkdir()
    (tmp_path / 'mmseg' / '__init__.py').write_text("raise ImportError('broken on purpose')\n")
    answer = call(PYTHONPATH=str(tmp_path))
    assert answer.returncode == 1 and 'mmseg fails: ImportError: broken on purpose' in answer.stdout
    assert '  yes  mmdet' in answer.stdout and '  NO   mmseg' in answer.stdout and 'Traceback' not in answer.stdout


def tree_of(name, seen):
    """A distribution and all that it asks for."""
    if name not in seen:
        seen[name] = metadata.distribution(name)
        for line in seen[name].requires or ():
            if ';' not in line:
                tree_of(line.split('>')[0].split('=')[0].split('<')[0].split('!')[0].split('[')[0].strip(' ('), seen)
    return seen


@pytest.mark.slow
def test_with_torch_alone(tmp_path):
    """On a Python that has neither toolboxes nor mmengine: torch and mmxattn lent to what ours was made from."""
    python = Path(sys.base_prefix) / 'bin' / 'python3'
    if not python.exists() or subprocess.run([python, '-c', 'import mmengine'], capture_output=True).returncode == 0:
        pytest.skip('there is no Python without toolboxes here')
    for distribution in tree_of('torch', {}).values():
        for top in {file.parts[0] for file in distribution.files} - {'..', '__pycache__'}:
            (tmp_path / top).symlink_to(distribution.locate_file(top))
    (tmp_path / 'mmxattn').symlink_to(TOOL.parents[1] / 'mmxattn')
    answer = call(python=python, PYTHONPATH=str(tmp_path))
    assert answer.returncode == 0, answer.stdout + answer.stderr
    assert 'Stack: no toolbox' in answer.stdout and '  yes  mmxattn.layers' in answer.stdout
    assert 'mmxattn.layers is what works here' in answer.stdout


def test_without_mmxattn_it_says_so(tmp_path):
    copy = tmp_path / 'doctor.py'
    copy.write_text(TOOL.read_text())
    answer = subprocess.run([sys.executable, '-S', '-E', copy], capture_output=True, text=True, cwd=tmp_path)
    assert answer.returncode == 1 and 'mmxattn is not installed' in answer.stderr
