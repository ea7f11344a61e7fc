"""The table of known faults, row by row, on made metadata."""
import pytest
from made_versions import ONEDL, OPENMMLAB

from mmxattn.cli.doctor.checks import CHECKS
from mmxattn.cli.doctor.faults import FAULTS, known
from mmxattn.cli.doctor.installed import Installed

# How a fault's sentence begins -> (metadata that has it, metadata that has not)
CASES = {
    'torch is older than 2.1': ({'torch': '2.0.1'}, {'torch': '2.1.0'}),
    'torch before 2.3': ({'torch': '2.2.2', 'numpy': '2.0.0'}, {'torch': '2.2.2', 'numpy': '1.26.4'}),
    'mmdet and mmsegmentation refuse': ({**OPENMMLAB, 'mmcv': '2.2.0'}, OPENMMLAB),
    'mmcv-lite': ({'mmcv-lite': '2.1.0'}, OPENMMLAB),
    'mmengine imports pkg_resources': ({**OPENMMLAB, 'setuptools': '82.0.0'}, OPENMMLAB),
    'mmengine registers': ({**OPENMMLAB, 'mmengine': '0.10.5', 'transformers': '4.46.0'},
                           {**OPENMMLAB, 'transformers': '4.46.0'}),
    'mmsegmentation imports ftfy': ({'mmsegmentation': '1.2.2', 'ftfy': '6'}, OPENMMLAB),
    'openmim parses': ({**OPENMMLAB, 'click': '8.2.0'}, OPENMMLAB),
    'installing openmim lowers': ({**OPENMMLAB, 'setuptools': '60.2.0'}, OPENMMLAB),
    'PyTorch loads weights only': (OPENMMLAB, {**OPENMMLAB, 'torch': '2.5.1'}),
    'SSDHead': (ONEDL, {'onedl-mmdetection': '3.6.0'}),
    'frozen_stages': (OPENMMLAB, {'mmsegmentation': '1.2.2'}),
    "a stock neck's checkpoint": (ONEDL, {'mmengine': '0.10.7'}),
    'BatchNorm raises': (OPENMMLAB, {}),
    'of several plugins': (ONEDL, {'mmdet': '3.3.0'}),
    "_base_ = 'mmseg::": (ONEDL, OPENMMLAB),
    'a checkpoint that PyTorch refuses': (ONEDL, OPENMMLAB),
    "mmengine's pytorch launcher": (OPENMMLAB, {'torch': '2.13.0'}),
    "mmdet's ResNet.train": (ONEDL, {'mmsegmentation': '1.2.2'}),
    'mmdet and mmseg export': (ONEDL, OPENMMLAB),
    "mmengine's count": (ONEDL, {'torch': '2.13.0'}),
    'openmim does not find': (OPENMMLAB, ONEDL),
    'onedl-mim takes': (ONEDL, OPENMMLAB),
}


@pytest.mark.parametrize('fault', FAULTS, ids=lambda fault: fault.what[:40])
def test_each_fault_is_known_by_its_versions_and_by_no_others(fault):
    (has, has_not), = [case for begins, case in CASES.items() if fault.what.startswith(begins)]
    assert fault.concerns(Installed(has))
    assert not fault.concerns(Installed(has_not))


@pytest.mark.parametrize('fault', FAULTS, ids=lambda fault: fault.what[:40])
def test_rows_are_whole(fault):
    assert fault.kind in ('mended', 'clash', 'limit') and fault.what and fault.way
    assert fault.check in CHECKS or (fault.kind in ('clash', 'limit') and not fault.check)


def test_nothing_is_known_of_nothing():
    assert known(Installed({})) == []
    assert {fault.kind for fault in known(Installed(OPENMMLAB))} == {'mended', 'limit'}
