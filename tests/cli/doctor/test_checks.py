"""The checks pass on a working stack and fail where something is broken."""
import importlib
import re
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest

from mmxattn.cli.doctor import checks
from mmxattn.cli.doctor.diagnosis import TITLES
from mmxattn.cli.doctor.installed import read_installed
from mmxattn.cli.doctor.known_issues import KNOWN_ISSUES, find_issues

PATCHED = sorted({issue.check for issue in KNOWN_ISSUES if issue.kind == 'patched'})


def test_every_check_is_used():
    assert set(checks.CHECKS) == {*TITLES, *(issue.check for issue in KNOWN_ISSUES if issue.check)}


@pytest.mark.parametrize('name', sorted({*TITLES, *PATCHED} - {'onnx', 'triton', 'mmpretrain'}))
def test_checks_pass_here(name):
    _, state, message = checks.run_check(name)
    assert state != 'failed', message


@pytest.mark.parametrize('error, expected', [
    (checks.Skip('none'), ('x', 'skipped', 'none')), (SystemExit('over'), ('x', 'failed', 'SystemExit: over')),
    (RuntimeError('one\ntwo'), ('x', 'failed', 'RuntimeError: one'))])
def test_errors_are_reported_as_results(error, expected, monkeypatch):
    def fail():
        raise error

    monkeypatch.setitem(checks.CHECKS, 'x', fail)
    assert checks.run_check('x') == expected


def test_missing_module_skips_the_check():
    with pytest.raises(checks.Skip, match='no_such_module is not installed'):
        checks.require('json', 'no_such_module')


def test_onnx_check_compares_outputs_and_skips_old_exporters(monkeypatch):
    """With stand-ins for exporter and runtime, which take ten seconds."""
    import torch
    onnxruntime, exported = pytest.importorskip('onnxruntime'), []
    for name in ('onnx', 'onnxscript'):
        pytest.importorskip(name)

    class Session:

        def __init__(self, file, providers):
            pass

        def get_inputs(self):
            return [SimpleNamespace(name='x')]

        def run(self, outputs, inputs):
            return [exported[-1](torch.from_numpy(inputs['x'])).detach().numpy() + error]

    monkeypatch.setattr(torch.onnx, 'export', lambda model, args, f, dynamo, verbose: exported.append(model))
    monkeypatch.setattr(onnxruntime, 'InferenceSession', Session)
    error = 0
    assert checks.run_check('onnx')[1] == 'passed'
    error = 0.01
    assert checks.run_check('onnx')[1] == 'failed'
    monkeypatch.setattr(torch.onnx, 'export', lambda model, args, f, opset_version=None: None)  # as in torch 2.1
    assert checks.run_check('onnx')[1] == 'skipped'


def replace(path, value):
    return lambda monkeypatch: monkeypatch.setattr(path, value)


def break_import(name):
    """Make the import of a toolbox raise, as those of OpenMMLab do for unsupported versions."""
    import_module = importlib.import_module

    def fail(module):
        assert module.partition('.')[0] != name, f'{name} is incompatible'
        return import_module(module)

    return replace('importlib.import_module', fail)


def break_nms(monkeypatch):
    import mmcv.ops
    import torch
    monkeypatch.setattr(mmcv.ops, 'nms', lambda boxes, scores, threshold: (boxes, torch.arange(3)))


def break_layer(monkeypatch):
    import torch
    monkeypatch.setattr('mmxattn.layers.FINE', lambda channels: lambda low, high: torch.full((1, ), torch.inf))


@pytest.mark.parametrize('name, break_it, expected', [
    ('torch', replace('torch.ones', lambda *size: importlib.import_module('torch').zeros(size)), 'wrong result'),
    ('torch_numpy', replace('torch.from_numpy', None), 'not callable'),
    ('layers', break_layer, 'not finite'),
    ('mmcv_cpu', break_nms, r'nms keeps boxes \[0, 1, 2\], expected \[0, 2\]'),
    ('mmdet', break_import('mmdet'), 'mmdet is incompatible'),
    ('mmseg', break_import('mmseg'), 'mmseg is incompatible'),
    ('components', replace('mmengine.registry.MODELS.get', lambda name: None), 'not registered: FINEFPN, CFSAMNeck'),
    ('mim', replace('mim.utils.get_installed_path', lambda name: '/nowhere'), 'tools of mmxattn in /nowhere'),
    ('pkg_resources', lambda monkeypatch: monkeypatch.setitem(sys.modules, 'pkg_resources', None), 'pkg_resources'),
])
def test_checks_fail_where_something_is_broken(name, break_it, expected, monkeypatch):
    break_it(monkeypatch)
    _, state, message = checks.run_check(name)
    assert state == 'failed' and re.search(expected, message), (state, message)


@pytest.mark.parametrize('folder', ['.mim/tools', 'tools'])
def test_mim_finds_tools_of_wheels_and_editable_installs(folder, tmp_path, monkeypatch):
    (tmp_path / folder).mkdir(parents=True)
    (tmp_path / folder / 'doctor.py').touch()
    monkeypatch.setattr('mim.utils.get_installed_path', lambda name: str(tmp_path))
    assert checks.run_check('mim') == ('mim', 'passed', f'finds the tools of mmxattn in {tmp_path / folder}')


UNPATCHED = '''
import runpy, sys
from importlib import import_module
from types import ModuleType
package = ModuleType('mmxattn')
package.__path__ = [sys.argv[1]]
sys.modules['mmxattn'] = package
import_module('mmxattn.patches').apply = lambda: None
import_module('mmxattn.layers.safe_norm').needs_values = lambda norm: False
del sys.modules['mmxattn']
run_check = runpy.run_path(f'{sys.argv[1]}/cli/doctor/checks.py')['run_check']
for name in sys.argv[2:]:
    print(name, run_check(name)[1])
'''


@pytest.mark.slow
def test_checks_of_patches_fail_without_the_patches():
    names = [issue.check for issue in find_issues(read_installed()) if issue.kind == 'patched']
    names = [name for name in names if name not in ('frozen_stages', 'neck_list')]  # not in patches.py
    assert names
    package = Path(checks.__file__).parents[2]
    process = subprocess.run([sys.executable, '-W', 'ignore', '-c', UNPATCHED, package, *names], capture_output=True,
                             text=True)
    lines = [line for line in process.stdout.splitlines() if line.partition(' ')[0] in names]  # toolboxes print too
    assert lines == [f'{name} failed' for name in names], process.stderr


@pytest.mark.slow
@pytest.mark.parametrize('name', ['chained_plugins', 'mmseg_base'])
def test_checks_of_limitations_fail_where_the_versions_have_them(name):
    limitations = {issue.check for issue in find_issues(read_installed()) if issue.kind == 'limitation'}
    assert checks.run_check(name)[1] == ('failed' if name in limitations else 'passed')


def test_script_prints_json_and_nothing_else():
    process = subprocess.run([sys.executable, '-W', 'ignore', checks.__file__, 'torch', 'torch_numpy'],
                             capture_output=True, text=True)
    assert [line.split('"')[1] for line in process.stdout.splitlines()] == ['torch', 'torch_numpy']
