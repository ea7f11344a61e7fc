"""What ships: the package, and the configs and tools where mim looks for them."""
import subprocess
import sys
import tarfile
import zipfile
from collections import Counter
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
REQUIREMENTS = ROOT / 'requirements'


def lines(name: str) -> list:
    text = (REQUIREMENTS / f'{name}.txt').read_text().splitlines()
    return [line for line in text if line and not line.startswith('#')]


def shipped_files(folder: str) -> set:
    """The files below a folder of the repository that are meant to ship."""
    return {str(path.relative_to(ROOT)) for path in (ROOT / folder).rglob('*')
            if path.is_file() and '__pycache__' not in path.parts and '.mim' not in path.parts
            and not path.name.startswith('.')}


def test_the_wheel_holds_the_tree_and_nothing_else(wheel):
    names = {name for name in zipfile.ZipFile(wheel).namelist() if '.dist-info/' not in name}
    code = {name for name in shipped_files('mmxattn') if name.endswith(('.py', '.html', '.md'))}
    for_mim = {f'mmxattn/.mim/{name}' for name in shipped_files('configs') | shipped_files('tools')}
    if (ROOT / 'model-index.yml').exists():
        for_mim.add('mmxattn/.mim/model-index.yml')
    assert names == code | for_mim
    assert 'mmxattn/.mim/tools/train.py' in names


def test_the_wheel_declares_no_toolbox_but_in_extras(wheel):
    archive = zipfile.ZipFile(wheel)
    name = next(name for name in archive.namelist() if name.endswith('METADATA'))
    declared = [line for line in archive.read(name).decode().splitlines() if line.startswith('Requires-Dist:')]
    base = [line for line in declared if 'extra ==' not in line]
    assert len(base) == len(lines('base'))
    assert not [line for line in base if 'mm' in line]
    for extra in ('openmmlab', 'onedl', 'classification', 'classification-onedl', 'tests'):
        assert sum(line.split('extra ==')[-1].strip(' "\'') == extra for line in declared) == len(lines(extra))


def test_the_source_package_builds_the_same_wheel(checkout, wheel, tmp_path):
    subprocess.run([sys.executable, 'setup.py', '--quiet', 'sdist', '--dist-dir', tmp_path], cwd=checkout, check=True)
    with tarfile.open(next(tmp_path.glob('*.tar.gz'))) as package:
        assert not [name for name in package.getnames() if '.mim' in name]
        package.extractall(tmp_path / 'source')
    subprocess.run([sys.executable, '-m', 'pip', 'wheel', '--quiet', '--no-deps', '--no-build-isolation', '--wheel-dir',
                    tmp_path, next((tmp_path / 'source').iterdir())], check=True)
    again = next(tmp_path.glob('*.whl'))
    assert set(zipfile.ZipFile(again).namelist()) == set(zipfile.ZipFile(wheel).namelist())


def test_an_editable_install_links_what_mim_looks_for(checkout, tmp_path):
    subprocess.run([sys.executable, '-m', 'pip', 'install', '--quiet', '--no-deps', '--no-build-isolation', '--target',
                    tmp_path, '--editable', checkout], check=True)
    for_mim = checkout / 'mmxattn' / '.mim'
    assert {path.name for path in for_mim.iterdir()} >= {'configs', 'tools'}
    assert all(path.is_symlink() and path.exists() for path in for_mim.iterdir())


def test_extras_are_ranges():
    for extra in ('openmmlab', 'onedl', 'classification', 'classification-onedl', 'tests', 'base'):
        assert not [line for line in lines(extra) if '==' in line.partition(';')[0]]


@pytest.mark.parametrize('stack', ['openmmlab', 'onedl'])
def test_the_pinned_versions_lie_in_the_ranges(stack):
    from install import STACKS
    from packaging.requirements import Requirement
    pinned = [Requirement(line) for line in lines(f'environment/{stack}') if not line.startswith('-r')]
    exact = {pin.name: next(iter(pin.specifier)).version for pin in pinned if '==' in str(pin.specifier)}
    exact.update([STACKS[stack].mmcv.split('==')])
    ranges = [Requirement(line) for line in lines(stack)]
    checked = [wanted.name for wanted in ranges if wanted.name in exact]
    assert len(checked) == 4
    for wanted in ranges:
        assert wanted.name not in exact or wanted.specifier.contains(exact[wanted.name])


def test_no_two_recipes_share_a_base_name():
    names = Counter(path.name for path in Path(ROOT / 'configs').rglob('*.py'))
    assert not [name for name, count in names.items() if count > 1]
