"""Known issues are found for the affected versions, and for no others."""
import pytest
from stack_versions import ONEDL, OPENMMLAB

from mmxattn.cli.doctor.checks import CHECKS
from mmxattn.cli.doctor.installed import Installed
from mmxattn.cli.doctor.known_issues import KNOWN_ISSUES, find_issues

# Beginning of the description: (affected versions, unaffected versions)
CASES = {
    'torch is older than 2.1': ({'torch': '2.0.1'}, {'torch': '2.1.0'}),
    'torch before 2.3': ({'torch': '2.2.2', 'numpy': '2.0.0'}, {'torch': '2.2.2', 'numpy': '1.26.4'}),
    'mmdet and mmsegmentation reject': ({**OPENMMLAB, 'mmcv': '2.2.0'}, OPENMMLAB),
    'mmcv-lite': ({'mmcv-lite': '2.1.0'}, OPENMMLAB),
    'mmengine imports pkg_resources': ({**OPENMMLAB, 'setuptools': '82.0.0'}, OPENMMLAB),
    'mmengine registers': ({**OPENMMLAB, 'mmengine': '0.10.5', 'transformers': '4.46.0'},
                           {**OPENMMLAB, 'transformers': '4.46.0'}),
    'mmsegmentation imports ftfy': ({'mmsegmentation': '1.2.2', 'ftfy': '6'}, OPENMMLAB),
    'openmim parses': ({**OPENMMLAB, 'click': '8.2.0'}, OPENMMLAB),
    'openmim downgrades': ({**OPENMMLAB, 'setuptools': '60.2.0'}, OPENMMLAB),
    'PyTorch loads only weights': (OPENMMLAB, {**OPENMMLAB, 'torch': '2.5.1'}),
    'SSDHead': (ONEDL, {'onedl-mmdetection': '3.6.0'}),
    'frozen_stages': (OPENMMLAB, {'mmsegmentation': '1.2.2'}),
    'the checkpoint of a single neck': (ONEDL, {'mmengine': '0.10.7'}),
    'BatchNorm raises': (OPENMMLAB, {}),
    'if a position has several plugins': (ONEDL, {'mmdet': '3.3.0'}),
    "_base_ = 'mmseg::": (ONEDL, OPENMMLAB),
    'checkpoints that PyTorch refuses': (ONEDL, OPENMMLAB),
    'openmim does not find': (OPENMMLAB, ONEDL),
    'onedl-mim mistakes': (ONEDL, OPENMMLAB),
}


@pytest.mark.parametrize('issue', KNOWN_ISSUES, ids=lambda issue: issue.description[:40])
def test_issue_applies_to_affected_versions_only(issue):
    (affected, unaffected), = [case for begin, case in CASES.items() if issue.description.startswith(begin)]
    assert issue.applies_to(Installed(affected))
    assert not issue.applies_to(Installed(unaffected))
    assert issue.kind in ('patched', 'conflict', 'limitation') and issue.fix
    assert issue.check in CHECKS or (issue.kind == 'conflict' and not issue.check)


def test_the_environments_of_make_have_no_conflicts():
    assert find_issues(Installed({})) == []
    for versions in (OPENMMLAB, ONEDL):
        assert {issue.kind for issue in find_issues(Installed(versions))} == {'patched', 'limitation'}
