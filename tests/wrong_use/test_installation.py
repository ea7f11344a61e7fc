"""Installations that cannot work, by made metadata: which distributions, which versions, and the command that mends."""
from importlib import metadata

import pytest
from refusals import refused

from mmxattn.utils import toolboxes

OPENMMLAB = dict(mmengine='0.10.7', mmcv='2.1.0', mmdet='3.3.0', mmsegmentation='1.2.2')
ONEDL = {'onedl-mmengine': '0.10.9', 'onedl-mmcv': '2.3.6', 'onedl-mmdetection': '3.5.1',
         'onedl-mmsegmentation': '1.3.2'}


@pytest.fixture
def pretend(monkeypatch):
    """Function that lets pip's metadata hold what it is given, and nothing else."""

    def pretend(**distributions):
        def version(name):
            if name not in distributions:
                raise metadata.PackageNotFoundError(name)
            return distributions[name]
        monkeypatch.setattr(metadata, 'version', version)

    return pretend


@pytest.mark.parametrize('over, words', [
    ({'onedl-mmengine': '0.10.9'}, ('mmengine 0.10.7 and onedl-mmengine 0.10.9', 'pip uninstall -y mmengine')),
    ({'onedl-mmcv': '2.3.6'}, ('mmcv 2.1.0 and onedl-mmcv 2.3.6', 'pip uninstall -y mmcv onedl-mmcv')),
    ({'onedl-mmdetection': '3.5.1'}, ('mmdet 3.3.0 and onedl-mmdetection 3.5.1', 'pip uninstall -y mmdet')),
    ({'onedl-mmsegmentation': '1.3.2'}, ('mmsegmentation 1.2.2', 'pip uninstall -y mmsegmentation')),
    (ONEDL, ('mmengine 0.10.7 and onedl-mmengine 0.10.9', 'install the one that you want')),
])
def test_both_stacks_at_once(pretend, over, words):
    pretend(**OPENMMLAB, **over)
    refused(toolboxes.check_stacks, ImportError, *words)


@pytest.mark.parametrize('version', ['1.13.1+cu117', '2.0.1'])
def test_torch_too_old(pretend, version):
    pretend(torch=version)
    refused(toolboxes.check_torch, ImportError, version, "pip install 'torch>=2.1'")


@pytest.mark.parametrize('distributions', [OPENMMLAB, ONEDL, {}, dict(torch='2.1.0'), dict(torch='2.13.0+cpu'),
                                           dict(torch='main'), dict(OPENMMLAB, torch='2.10.0a0+git1')])
def test_what_works_passes(pretend, distributions):
    pretend(**distributions)
    assert toolboxes.check_stacks() is None
    assert toolboxes.check_torch() is None


@pytest.mark.parametrize('missing, words', [
    (('mmdet', ), ('FINEFPN needs mmdet', "pip install 'mmxattn[openmmlab]'", "'mmxattn[onedl]'")),
    (('mmseg', 'mmdet'), ('FINEFPN needs mmdet, mmseg', "pip install 'mmxattn[openmmlab]'")),
])
def test_a_toolbox_that_is_missing(monkeypatch, missing, words):
    monkeypatch.setattr(toolboxes, 'installed', lambda *names: not set(names) & set(missing))
    refused(lambda: toolboxes.require('FINEFPN', 'mmdet', 'mmseg'), ImportError, *words)
    refused(toolboxes.stand_in('FINEFPN', *sorted(missing)), ImportError, *words)
