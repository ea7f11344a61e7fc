"""What is installed, from made metadata: versions, ranges, stacks."""
import platform

import pytest

from mmxattn.cli.doctor.installed import TOOLBOXES, Installed, holds, numbers, read


@pytest.mark.parametrize('version, expected', [
    ('2.13.0+cpu', (2, 13)), ('0.10.7', (0, 10, 7)), ('2.0.0rc4', (2,)), ('2.6.0a0+ecf3bae', (2, 6)), ('3', (3,)),
    ('1.2.dev3', (1, 2)), ('0.0', (0,)),
])
def test_numbers(version, expected):
    assert numbers(version) == expected


@pytest.mark.parametrize('version, wanted, expected', [
    ('2.13.0+cpu', '>=2.6', True), ('2.5.1', '>=2.6', False), ('2.6.0', '>=2.6', True), ('2.10', '>2.9', True),
    ('3.5.1', '>=3.3.0,<=3.5.1', True), ('3.5.2', '>=3.3.0,<=3.5.1', False), ('0.10.7', '<=0.10.7', True),
    ('81.0.0', '<81', False), ('80.10.2', '<81', True), ('1.0', '==1', True), ('1.1', '==1', False),
    ('anything', '', True),
])
def test_ranges(version, wanted, expected):
    assert holds(version, wanted) is expected


def test_a_stack_is_told_by_its_distributions():
    assert Installed({'torch': '2.13.0'}).stack == 'none'
    assert Installed({'mmengine': '0.10.7', 'mmcv': '2.1.0'}).stack == 'OpenMMLab'
    assert Installed({'onedl-mmdetection': '3.5.1'}).stack == 'OneDL'
    assert Installed({'mmengine-lite': '0.10.7', 'onedl-mim': '0.5.1'}).stack == 'both'


def test_toolboxes_by_import_name():
    installed = Installed({'mmcv': '2.1.0', 'mmcv-lite': '2.1.0', 'onedl-mmcv': '2.3.6', 'mmsegmentation': '1.2.2'})
    assert installed.toolbox('mmcv') == ['mmcv', 'mmcv-lite', 'onedl-mmcv']
    assert installed.toolbox('mmdet') == []
    table = installed.table()
    assert table['mmseg'] == '1.2.2 (mmsegmentation)' and table['mmdet'] == table['torch'] == 'not there'
    assert table['mmcv'] == '2.1.0 and 2.1.0 (mmcv-lite) and 2.3.6 (onedl-mmcv)'


def test_a_dash_asks_for_absence():
    assert Installed({'a': '1'}).matches({'a': '>=1', 'b': '-'})
    assert not Installed({'a': '1', 'b': '1'}).matches({'a': '>=1', 'b': '-'})
    assert not Installed({'a': '1'}).matches({'b': ''})


def test_what_is_installed_here():
    installed = read()
    assert installed.versions['python'] == platform.python_version()
    assert installed.stack in ('OpenMMLab', 'OneDL')
    assert all(len(installed.toolbox(name)) == 1 for name in TOOLBOXES)
    assert set(installed.table()) == {'python', 'torch', 'torchvision', 'numpy', *TOOLBOXES, 'timm', 'numba', 'triton',
                                      'onnx', 'onnxruntime', 'mmxattn'}


def test_names_are_compared_as_pip_does(tmp_path, monkeypatch):
    folder = tmp_path / 'Some_Thing.Else-1.0.dist-info'
    folder.mkdir()
    (folder / 'METADATA').write_text('Metadata-Version: 2.1\nName: Some_Thing.Else\nVersion: 1.0\n')
    monkeypatch.syspath_prepend(tmp_path)
    assert read().versions['some-thing-else'] == '1.0'
