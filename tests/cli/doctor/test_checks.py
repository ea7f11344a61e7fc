"""The checks themselves: they pass on a whole stack, and fail where the thing is broken."""
import importlib
import re
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import click
import pytest

from mmxattn.cli.doctor import checks
from mmxattn.cli.doctor.examination import TRIED
from mmxattn.cli.doctor.faults import FAULTS, known
from mmxattn.cli.doctor.installed import read
from mmxattn.cli.doctor.processes import run

MENDED = sorted({fault.check for fault in FAULTS if fault.kind == 'mended'})


def test_every_check_is_used():
    assert set(checks.CHECKS) == {*TRIED, *(fault.check for fault in FAULTS if fault.check)}


@pytest.mark.parametrize('name', sorted({*TRIED, *MENDED} - {'onnx', 'triton', 'components', 'mmpretrain'}))
def test_what_is_here_works(name):
    _, state, told = checks.result_of(name)
    assert state != 'fails', told


def test_a_result_tells_absence_and_failure_apart(monkeypatch):
    for error, expected in ((checks.Absent('none'), ('x', 'absent', 'none')),
                            (SystemExit('over'), ('x', 'fails', 'SystemExit: over')),
                            (RuntimeError('one\ntwo'), ('x', 'fails', 'RuntimeError: one'))):

        def fail(error=error):
            raise error

        monkeypatch.setitem(checks.CHECKS, 'x', fail)
        assert checks.result_of('x') == expected


def test_need_tells_what_is_not_installed():
    with pytest.raises(checks.Absent, match='no_such_module is not installed'):
        checks.need('json', 'no_such_module')


def test_an_exporter_that_torch_lacks_is_absent_and_not_broken(monkeypatch):
    import torch
    for name in ('onnx', 'onnxscript', 'onnxruntime'):
        pytest.importorskip(name)
    monkeypatch.setattr(torch.onnx, 'export', lambda model, args, f, opset_version=None: None)  # as in torch 2.1
    _, state, told = checks.result_of('onnx')
    assert state == 'absent' and told.endswith('lacks the dynamo exporter, which came with 2.5')


def exported_as(monkeypatch, wrong):
    """An exporter and a runtime whose numbers are ``wrong`` by so much; the real ones take ten seconds."""
    import torch
    onnxruntime, told = pytest.importorskip('onnxruntime'), {}
    for name in ('onnx', 'onnxscript'):
        pytest.importorskip(name)

    class Session:

        def __init__(self, file, providers):
            pass

        def get_inputs(self):
            return [SimpleNamespace(name='x')]

        def run(self, outputs, maps):
            return [told['model'](torch.from_numpy(maps['x'])).detach().numpy() + wrong]

    def export(model, args, f, dynamo, verbose):
        told['model'] = model

    monkeypatch.setattr(torch.onnx, 'export', export)
    monkeypatch.setattr(onnxruntime, 'InferenceSession', Session)


def test_a_runtime_with_the_layers_numbers_works(monkeypatch):
    exported_as(monkeypatch, wrong=0)
    _, state, told = checks.result_of('onnx')
    assert state == 'works' and told.endswith("give SCSA's numbers")


def without_mending(owner, method):
    """A toolbox's method as it was before `import mmxattn`."""
    return lambda monkeypatch: monkeypatch.setattr(
        module_of(owner), method, getattr(module_of(owner), method).__wrapped__)


def module_of(path):
    """What a dotted path names."""
    module, _, name = path.rpartition('.')
    return getattr(importlib.import_module(module), name)


def plain_norm(module):
    """A layer that calls its norm as PyTorch has it."""
    return lambda monkeypatch: monkeypatch.setattr(importlib.import_module(module), 'normalize',
                                                   lambda norm, x: norm(x))


def replaced(path, value):
    return lambda monkeypatch: monkeypatch.setattr(path, value)


def refusing(name):
    """A toolbox that refuses another at its import, as those of OpenMMLab do."""

    def refuse(module):
        assert module.partition('.')[0] != name, f'{name} is incompatible'
        return importing(module)

    importing = importlib.import_module
    return replaced('importlib.import_module', refuse)


def wrong_boxes(monkeypatch):
    import mmcv.ops
    import torch
    monkeypatch.setattr(mmcv.ops, 'nms', lambda boxes, scores, threshold: (boxes, torch.arange(3)))


def infinite_layer(monkeypatch):
    import torch
    monkeypatch.setattr('mmxattn.layers.FINE', lambda channels: lambda low, high: torch.full((1, ), torch.inf))


def nothing_registered(monkeypatch):
    from mmengine.registry import MODELS
    monkeypatch.setattr(MODELS, 'get', lambda name: None)


def options_that_raise(monkeypatch):
    class Command(click.Command):

        def get_help(self, context):
            raise TypeError('make_metavar() misses ctx')

    monkeypatch.setattr(importlib.import_module('mim.commands.run'), 'cli', Command('run'))


# Check -> what breaks the thing that it looks at, and what it has to say then.
BREAKS = [
    ('torch', replaced('torch.ones', lambda *size: importlib.import_module('torch').zeros(size)), 'matrices wrongly'),
    ('torch_numpy', replaced('torch.from_numpy', None), 'not callable'),
    ('layers', infinite_layer, 'a layer gives numbers that are not finite'),
    ('numba', replaced('mmxattn.ops.scsa.dispatch.on_cpu.run', lambda layer, x: x.clone()), 'not close'),
    ('mmcv_cpu', wrong_boxes, r'nms keeps the boxes \[0, 1, 2\], not \[0, 2\]'),
    ('mmdet', refusing('mmdet'), 'mmdet is incompatible'),
    ('mmseg', refusing('mmseg'), 'mmseg is incompatible'),
    ('mmpretrain', refusing('mmpretrain'), 'mmpretrain is incompatible'),
    ('toolbox_versions', refusing('mmdet'), 'mmdet is incompatible'),
    ('toolbox_versions', refusing('mmseg'), 'mmseg is incompatible'),
    ('components', nothing_registered, 'not registered: FINEFPN, CFSAMNeck, SCSA, CLASegformerHead'),
    ('onnx', lambda monkeypatch: exported_as(monkeypatch, wrong=0.01), 'not close'),
    ('mim', replaced('mim.utils.get_installed_path', lambda name: '/nowhere'), 'tools of mmxattn in /nowhere'),
    ('mim_options', options_that_raise, 'misses ctx'),
    ('pkg_resources', lambda monkeypatch: monkeypatch.setitem(sys.modules, 'pkg_resources', None), 'pkg_resources'),
    ('ssd_predicts', without_mending('mmdet.models.SSDHead', '__init__'), 'SSDHead has no loss_cls'),
    ('frozen_stages', without_mending('mmdet.models.ResNet', '_freeze_stages'), 'frozen at their random start: .*scsa'),
    ('chain_of_necks', without_mending('mmengine.model.Sequential', '_load_from_state_dict'), 'do not reach the chain'),
    ('single_value_norm', plain_norm('mmxattn.layers.cfsam'), 'more than 1 value per channel'),
    ('single_value_norm', plain_norm('mmxattn.layers.scsa'), 'more than 1 value per channel'),
    ('single_value_norm', plain_norm('mmxattn.layers.baselines.mobilevit'), 'more than 1 value per channel'),
]
LIMITS = sorted({fault.check for fault in FAULTS if fault.kind == 'limit'} - {'mim'})


@pytest.mark.parametrize('name, breaks, expected', BREAKS, ids=[f'{i}-{case[0]}' for i, case in enumerate(BREAKS)])
def test_a_check_fails_where_its_thing_is_broken(name, breaks, expected, monkeypatch):
    if name == 'mmpretrain':
        pytest.importorskip('mmpretrain')
    breaks(monkeypatch)
    _, state, told = checks.result_of(name)
    assert state == 'fails' and re.search(expected, told), (state, told)


def test_every_check_was_seen_to_fail():
    """Here or below; there is no GPU to break, and nothing of torchvision is needed."""
    seen = {name for name, *_ in BREAKS} | set(LIMITS) | set(MENDED)
    assert set(checks.CHECKS) - seen == {'cuda', 'triton', 'mmcv_cuda', 'torchvision'}


@pytest.mark.parametrize('folder', ['.mim/tools', 'tools'])
def test_mim_looks_in_two_places(folder, tmp_path, monkeypatch):
    (tmp_path / folder).mkdir(parents=True)
    (tmp_path / folder / 'doctor.py').touch()
    monkeypatch.setattr('mim.utils.get_installed_path', lambda name: str(tmp_path))
    assert checks.result_of('mim') == ('mim', 'works', f'finds the tools of mmxattn in {tmp_path / folder}')


# What `import mmxattn` mends is broken without that: the checks see it.
UNMENDED = '''
import runpy, sys
from importlib import import_module
from types import ModuleType
package = ModuleType('mmxattn')
package.__path__ = [sys.argv[1]]
sys.modules['mmxattn'] = package
import_module('mmxattn.patches').apply = lambda: None
import_module('mmxattn.layers.safe_norm').needs_values = lambda norm: False
del sys.modules['mmxattn']
result_of = runpy.run_path(f'{sys.argv[1]}/doctor/checks.py')['result_of']
for name in sys.argv[2:]:
    print(name, result_of(name)[1])
'''


@pytest.mark.slow
def test_the_checks_fail_where_nothing_is_mended():
    names = [fault.check for fault in known(read()) if fault.kind == 'mended']
    assert names
    answer = subprocess.run([sys.executable, '-W', 'ignore', '-c', UNMENDED, Path(checks.__file__).parents[2], *names],
                            capture_output=True, text=True)
    told = [line for line in answer.stdout.splitlines() if line.partition(' ')[0] in names]  # toolboxes talk beside it
    assert told == [f'{name} fails' for name in names], answer.stderr


@pytest.mark.slow
def test_a_limit_is_there_where_its_versions_are():
    import torch
    names = [name for name in LIMITS if name != 'launcher_without_gpu' or not torch.cuda.is_available()]
    limits = {fault.check for fault in known(read()) if fault.kind == 'limit'}
    assert {outcome.name: outcome.state for outcome in run(names)} == {
        name: 'fails' if name in limits else 'works' for name in names}


def test_main_answers_in_json_and_keeps_noise_away():
    answer = subprocess.run([sys.executable, '-W', 'ignore', checks.__file__, 'torch', 'torch_numpy'],
                            capture_output=True, text=True)
    assert [line.split('"')[1] for line in answer.stdout.splitlines()] == ['torch', 'torch_numpy']
