"""The diagnosis of given versions and results, and the tool on this installation."""
import ast
import json
import os
import re
import subprocess
import sys
from importlib import metadata
from pathlib import Path

import pytest
from stack_versions import ONEDL, OPENMMLAB

from mmxattn.cli.doctor.diagnosis import TITLES, diagnose
from mmxattn.cli.doctor.installed import Installed
from mmxattn.cli.doctor.runner import CheckResult

TOOL = Path(__file__).parents[3] / 'tools' / 'doctor.py'


def diagnose_versions(versions, **failures):
    """Return the diagnosis and its report if all checks pass except ``failures`` (name and message)."""
    lines = []

    def runner(names):
        return [CheckResult(name, 'failed' if name in failures else 'passed', failures.get(name, '')) for name in names]

    return diagnose(lines.append, Installed(versions), runner), '\n'.join(lines)


@pytest.mark.parametrize('versions, stack', [(OPENMMLAB, 'Stack: OpenMMLab'), (ONEDL, 'Stack: OneDL')])
def test_working_stack_has_no_problems(versions, stack):
    diagnosis, report = diagnose_versions(versions, chained_plugins='only the last')
    assert diagnosis.problems == [] and diagnosis.to_dict()['healthy']
    assert report.startswith(stack) and report.endswith('Everything works.')
    assert '  limitation  if a position has several plugins, only the last one has an effect' in report
    assert '  patched     SSDHead has no loss_cls' in report and 'issue 11780' in report
    assert all(f'  ok    {title}' in report for title in TITLES.values())


@pytest.mark.parametrize('versions', [{**OPENMMLAB, **ONEDL}, {**OPENMMLAB, 'mmcv-lite': '2.1.0'}])
def test_overwritten_distributions_are_the_only_problem(versions):
    diagnosis, _ = diagnose_versions(versions, components='ImportError: no', ssd_predicts='ImportError: no')
    problem, = diagnosis.problems
    command = problem.partition('pip uninstall -y ')[2].partition('\n')[0].split()
    assert set(command) == {name for name in versions if name.startswith(('mm', 'onedl', 'openmim'))} - {'mmxattn'}
    assert "pip install 'mmxattn[openmmlab]'" in problem and "'mmxattn[onedl]'" in problem


def test_failed_check_is_reported_with_its_message():
    diagnosis, report = diagnose_versions(OPENMMLAB, mmcv_cpu="ModuleNotFoundError: No module named 'mmcv._ext'")
    assert diagnosis.problems == ["mmcv operators, CPU failed: ModuleNotFoundError: No module named 'mmcv._ext'"]
    assert '  FAIL  mmcv operators, CPU' in report and not diagnosis.to_dict()['healthy']


def test_patch_without_effect_is_a_problem_unless_mmxattn_cannot_be_imported():
    message = 'AssertionError: SSDHead has no loss_cls'
    problem, = diagnose_versions(OPENMMLAB, ssd_predicts=message)[0].problems
    assert problem.startswith('SSDHead has no loss_cls') and problem.endswith(f'no effect: {message}')
    diagnosis, _ = diagnose_versions(OPENMMLAB, components='ImportError: no', ssd_predicts=message)
    assert diagnosis.problems == ['mmxattn failed: ImportError: no']


def test_conflict_is_a_problem_only_if_its_check_fails():
    versions = {**OPENMMLAB, 'setuptools': '82.0.0'}
    diagnosis, _ = diagnose_versions(versions, pkg_resources="No module named 'pkg_resources'")
    assert diagnosis.problems == [
        "mmengine imports pkg_resources, which setuptools 81 removed: pip install 'setuptools<81'"]
    diagnosis, report = diagnose_versions(versions)  # another package provides it
    assert not diagnosis.problems and 'pkg_resources' not in report
    assert diagnose_versions({'torch': '2.0.1'})[0].problems == [
        "torch is older than 2.1: pip install 'torch>=2.1'"]


def test_missing_toolboxes_are_reported_without_a_problem():
    diagnosis, report = diagnose_versions({'torch': '2.13.0'})
    assert not diagnosis.problems and 'Stack: no toolbox' in report
    assert 'Only mmxattn.layers can be used' in report and "pip install 'mmxattn[openmmlab]'" in report
    _, report = diagnose_versions({name: version for name, version in ONEDL.items() if 'segmentation' not in name})
    assert "mmseg not installed, so their configs cannot be used: pip install 'mmxattn[onedl]'" in report


def test_missing_torch_is_a_problem():
    diagnosis = diagnose(installed=Installed({'python': '3.11.7'}),
                         runner=lambda names: [CheckResult(name, 'skipped', 'not installed') for name in names])
    assert diagnosis.problems == ["torch is not installed: pip install 'torch>=2.1'"]


@pytest.mark.parametrize('version', [(3, 7, 16), (3, 9, 18)])
def test_old_python_is_reported_before_the_package_is_imported(version):
    ast.parse(TOOL.read_text(), feature_version=(3, 7))
    code = f"import runpy, sys; sys.version_info = {version}; runpy.run_path({str(TOOL)!r}, run_name='__main__')"
    process = subprocess.run([sys.executable, '-S', '-E', '-c', code], capture_output=True, text=True)
    assert process.returncode == 1
    assert f"requires Python 3.10 or later, got {'.'.join(map(str, version))}" in process.stderr


def test_missing_mmxattn_is_reported(tmp_path):
    (tmp_path / 'doctor.py').write_text(TOOL.read_text())
    process = subprocess.run([sys.executable, '-S', '-E', 'doctor.py'], capture_output=True, text=True, cwd=tmp_path)
    assert process.returncode == 1 and 'mmxattn is not installed' in process.stderr


def doctor(*arguments, python=sys.executable, **environment):
    return subprocess.run([python, TOOL, *arguments], capture_output=True, text=True, env={**os.environ, **environment})


@pytest.mark.slow
def test_this_installation_works():
    process = doctor('--json')
    report = json.loads(process.stdout)
    assert process.returncode == 0 and report['healthy'] and report['problems'] == [], report['problems']
    assert report['stack'] in ('OpenMMLab', 'OneDL') and report['versions']['torch'] == metadata.version('torch')
    assert [check['title'] for check in report['checks']] == list(TITLES.values())
    states = {issue['description']: issue['state'] for issue in report['known_issues']}
    assert states['frozen_stages freezes new plugins at their random initialization'] == 'patched'


@pytest.mark.slow
def test_toolbox_that_cannot_be_imported_is_found(tmp_path):
    (tmp_path / 'mmseg').mkdir()
    (tmp_path / 'mmseg' / '__init__.py').write_text("raise ImportError('broken on purpose')\n")
    process = doctor(PYTHONPATH=str(tmp_path))
    assert process.returncode == 1 and 'mmseg failed: ImportError: broken on purpose' in process.stdout
    assert '  ok    mmdet' in process.stdout and 'Traceback' not in process.stdout


def dependencies(name, found):
    """A distribution and all distributions that it requires."""
    if name not in found:
        found[name] = metadata.distribution(name)
        for line in found[name].requires or ():
            if ';' not in line:
                dependencies(re.match(r'[\w.-]+', line).group(), found)
    return found


@pytest.mark.slow
def test_torch_without_toolboxes_works(tmp_path):
    """The base Python of this environment, with torch and mmxattn linked into its path."""
    python = Path(sys.base_prefix) / 'bin' / 'python3'
    if not python.exists() or subprocess.run([python, '-c', 'import mmengine'], capture_output=True).returncode == 0:
        pytest.skip('the base Python has mmengine')
    for distribution in dependencies('torch', {}).values():
        for top in {file.parts[0] for file in distribution.files} - {'..', '__pycache__'}:
            (tmp_path / top).symlink_to(distribution.locate_file(top))
    (tmp_path / 'mmxattn').symlink_to(TOOL.parents[1] / 'mmxattn')
    process = doctor(python=python, PYTHONPATH=str(tmp_path))
    assert process.returncode == 0, process.stdout + process.stderr
    assert 'Stack: no toolbox' in process.stdout and '  ok    mmxattn.layers' in process.stdout
