"""Installed distributions, their versions and the stack they form."""
import platform

import pytest

from mmxattn.cli.doctor.installed import TOOLBOXES, Installed, in_range, parse_version, read_installed


@pytest.mark.parametrize('version, expected', [
    ('2.13.0+cpu', (2, 13)), ('0.10.7', (0, 10, 7)), ('2.0.0rc4', (2,)), ('2.6.0a0+ecf3bae', (2, 6)), ('3', (3,)),
    ('1.2.dev3', (1, 2)), ('0.0', (0,)),
])
def test_parse_version(version, expected):
    assert parse_version(version) == expected


@pytest.mark.parametrize('version, specifier, expected', [
    ('2.13.0+cpu', '>=2.6', True), ('2.5.1', '>=2.6', False), ('2.6.0', '>=2.6', True), ('2.10', '>2.9', True),
    ('3.5.1', '>=3.3.0,<=3.5.1', True), ('3.5.2', '>=3.3.0,<=3.5.1', False), ('81.0.0', '<81', False),
    ('80.10.2', '<81', True), ('1.0', '==1', True), ('1.1', '==1', False), ('anything', '', True),
])
def test_in_range(version, specifier, expected):
    assert in_range(version, specifier) is expected


def test_stack_follows_from_the_distributions():
    assert Installed({'torch': '2.13.0'}).stack == 'none'
    assert Installed({'mmengine': '0.10.7', 'mmcv': '2.1.0'}).stack == 'OpenMMLab'
    assert Installed({'onedl-mmdetection': '3.5.1'}).stack == 'OneDL'
    assert Installed({'mmengine-lite': '0.10.7', 'onedl-mim': '0.5.1'}).stack == 'both'


def test_toolboxes_are_found_by_import_name():
    installed = Installed({'mmcv': '2.1.0', 'mmcv-lite': '2.1.0', 'onedl-mmcv': '2.3.6', 'mmsegmentation': '1.2.2'})
    assert installed.toolbox('mmcv') == ['mmcv', 'mmcv-lite', 'onedl-mmcv']
    assert installed.toolbox('mmdet') == []
    table = installed.table()
    assert table['mmseg'] == '1.2.2 (mmsegmentation)' and table['mmdet'] == table['torch'] == 'not installed'
    assert table['mmcv'] == '2.1.0 and 2.1.0 (mmcv-lite) and 2.3.6 (onedl-mmcv)'


def test_dash_matches_missing_distributions():
    assert Installed({'a': '1'}).matches({'a': '>=1', 'b': '-'})
    assert not Installed({'a': '1', 'b': '1'}).matches({'a': '>=1', 'b': '-'})
    assert not Installed({'a': '1'}).matches({'b': ''})


def test_read_installed_finds_this_environment(tmp_path, monkeypatch):
    folder = tmp_path / 'Some_Thing.Else-1.0.dist-info'
    folder.mkdir()
    (folder / 'METADATA').write_text('Metadata-Version: 2.1\nName: Some_Thing.Else\nVersion: 1.0\n')
    monkeypatch.syspath_prepend(tmp_path)
    installed = read_installed()
    assert installed.versions['some-thing-else'] == '1.0'  # normalized as by pip
    assert installed.versions['python'] == platform.python_version()
    assert installed.stack in ('OpenMMLab', 'OneDL')
    assert all(len(installed.toolbox(name)) == 1 for name in TOOLBOXES)
