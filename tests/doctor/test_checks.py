"""The checks themselves: they pass on a whole stack, and fail where the thing is broken."""
import subprocess
import sys

import pytest

from mmxattn.doctor import checks
from mmxattn.doctor.examination import TRIED
from mmxattn.doctor.faults import FAULTS

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


def test_operators_that_compute_wrongly_fail(monkeypatch):
    import mmcv.ops
    import torch
    monkeypatch.setattr(mmcv.ops, 'nms', lambda boxes, scores, threshold: (boxes, torch.arange(3)))
    _, state, told = checks.result_of('mmcv_cpu')
    assert (state, told) == ('fails', 'RuntimeError: nms keeps the boxes [0, 1, 2], not [0, 2]')


# Without `import mmxattn` what it mends is broken: the checks see that.
UNMENDED = '''
import runpy, sys
file = runpy.run_path(sys.argv[1])
need = file['need']
file['check_ssd_predicts'].__globals__['need'] = lambda *names: need(*(n for n in names if n != 'mmxattn')) + [None]
for name in sys.argv[2:]:
    print(name, file['result_of'](name)[1])
'''


@pytest.mark.slow
def test_the_checks_fail_where_nothing_is_mended():
    from importlib.metadata import distributions
    names = {distribution.metadata['Name'] for distribution in distributions()}
    answer = subprocess.run([sys.executable, '-W', 'ignore', '-c', UNMENDED, checks.__file__, 'ssd_predicts',
                             'checkpoint_types'], capture_output=True, text=True)
    assert 'ssd_predicts fails' in answer.stdout, answer.stderr
    if 'mmengine' in names:  # OneDL's passes its own types
        assert 'checkpoint_types fails' in answer.stdout


def test_main_answers_in_json_and_keeps_noise_away():
    answer = subprocess.run([sys.executable, '-W', 'ignore', checks.__file__, 'torch', 'torch_numpy'],
                            capture_output=True, text=True)
    assert [line.split('"')[1] for line in answer.stdout.splitlines()] == ['torch', 'torch_numpy']
