"""Missing, outdated and conflicting installations, simulated by fake metadata."""
from importlib import metadata

import pytest

from mmxattn.utils import toolboxes

OPENMMLAB = dict(mmengine='0.10.7', mmcv='2.1.0', mmdet='3.3.0', mmsegmentation='1.2.2')
ONEDL = {'onedl-mmengine': '0.10.9', 'onedl-mmcv': '2.3.6', 'onedl-mmdetection': '3.5.1',
         'onedl-mmsegmentation': '1.3.2'}


@pytest.fixture
def install(monkeypatch):
    """Function that sets the installed distributions and their versions."""

    def install(**distributions):
        def version(name):
            if name not in distributions:
                raise metadata.PackageNotFoundError(name)
            return distributions[name]
        monkeypatch.setattr(metadata, 'version', version)

    return install


@pytest.mark.parametrize('onedl, message', [
    ({'onedl-mmengine': '0.10.9'}, 'mmengine 0.10.7 and onedl-mmengine 0.10.9 .* pip uninstall -y mmengine'),
    ({'onedl-mmcv': '2.3.6'}, 'mmcv 2.1.0 and onedl-mmcv 2.3.6 .* pip uninstall -y mmcv onedl-mmcv'),
    ({'onedl-mmdetection': '3.5.1'}, 'mmdet 3.3.0 and onedl-mmdetection 3.5.1 .* pip uninstall -y mmdet'),
    ({'onedl-mmsegmentation': '1.3.2'}, 'mmsegmentation 1.2.2 .* pip uninstall -y mmsegmentation'),
    (ONEDL, 'mmengine 0.10.7 and onedl-mmengine 0.10.9'),
])
def test_both_stacks_are_refused(install, onedl, message):
    install(**OPENMMLAB, **onedl)
    with pytest.raises(ImportError, match=message):
        toolboxes.check_stacks()


@pytest.mark.parametrize('version', ['1.13.1+cu117', '2.0.1'])
def test_old_torch_is_refused(install, version):
    install(torch=version)
    with pytest.raises(ImportError, match=r"requires torch>=2.1, got .* pip install 'torch>=2.1'"):
        toolboxes.check_torch()


@pytest.mark.parametrize('distributions', [OPENMMLAB, ONEDL, {}, dict(torch='2.1.0'), dict(torch='2.13.0+cpu'),
                                           dict(torch='main'), dict(OPENMMLAB, torch='2.10.0a0+git1')])
def test_supported_installations_pass(install, distributions):
    install(**distributions)
    toolboxes.check_stacks()
    toolboxes.check_torch()


@pytest.mark.parametrize('missing, message', [
    (('mmdet', ), r"FINEFPN requires mmdet, .*'mmxattn\[openmmlab\]' \(or 'mmxattn\[onedl\]'\)"),
    (('mmseg', 'mmdet'), 'FINEFPN requires mmdet, mmseg, '),
])
def test_missing_toolbox_is_named_with_the_command(monkeypatch, missing, message):
    monkeypatch.setattr(toolboxes, 'installed', lambda *names: not set(names) & set(missing))
    with pytest.raises(ImportError, match=message):
        toolboxes.require('FINEFPN', 'mmdet', 'mmseg')
    with pytest.raises(ImportError, match=message):
        toolboxes.placeholder('FINEFPN', *sorted(missing))(in_channels=[8])
