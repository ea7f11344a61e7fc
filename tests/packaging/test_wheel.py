"""Wheels, source distributions and editable installs hold the package, and configs and tools for mim."""
import subprocess
import sys
import tarfile
import zipfile
from collections import Counter
from pathlib import Path

import pytest
from install import STACKS
from packaging.requirements import Requirement

ROOT = Path(__file__).resolve().parents[2]
EXTRAS = ('openmmlab', 'onedl', 'classification', 'classification-onedl', 'demo', 'tests')


def requirement_lines(name: str) -> list[str]:
    text = (ROOT / 'requirements' / f'{name}.txt').read_text().splitlines()
    return [line for line in text if line and not line.startswith('#')]


def files_to_ship(folder: Path) -> set[str]:
    return {str(path.relative_to(folder.parent)) for path in folder.rglob('*')
            if path.is_file() and '__pycache__' not in path.parts and '.mim' not in path.parts
            and not path.name.startswith('.')}


@pytest.mark.slow
def test_wheel_holds_the_package_and_files_for_mim(checkout, wheel):
    names = {name for name in zipfile.ZipFile(wheel).namelist() if '.dist-info/' not in name}
    code = {name for name in files_to_ship(checkout / 'mmxattn') if name.endswith(('.py', '.html', '.md'))}
    for_mim = files_to_ship(checkout / 'configs') | files_to_ship(checkout / 'tools') | {'model-index.yml'}
    assert names == code | {f'mmxattn/.mim/{name}' for name in for_mim}
    assert 'mmxattn/.mim/tools/train.py' in names


@pytest.mark.slow
def test_wheel_requires_toolboxes_only_in_extras(wheel):
    archive = zipfile.ZipFile(wheel)
    metadata = archive.read(next(name for name in archive.namelist() if name.endswith('METADATA'))).decode()
    required = [line.removeprefix('Requires-Dist: ') for line in metadata.splitlines()
                if line.startswith('Requires-Dist:')]
    base = {Requirement(line).name for line in required if 'extra ==' not in line}
    assert base == {'torch', 'numpy', 'numba'}
    for extra in EXTRAS:
        assert sum(line.split('extra ==')[-1].strip(' "\'') == extra for line in required) == len(
            requirement_lines(extra))


@pytest.mark.slow
def test_source_distribution_builds_the_same_wheel(checkout, wheel, tmp_path):
    subprocess.run([sys.executable, 'setup.py', '--quiet', 'sdist', '--dist-dir', tmp_path], cwd=checkout, check=True)
    with tarfile.open(next(tmp_path.glob('*.tar.gz'))) as archive:
        names = archive.getnames()
        archive.extractall(tmp_path / 'source')
    assert not [name for name in names if '.mim' in name]
    assert [name for name in names if name.endswith('/benchmarks/bench_layers.py')]
    subprocess.run([sys.executable, '-m', 'pip', 'wheel', '--quiet', '--no-deps', '--no-build-isolation', '--wheel-dir',
                    tmp_path, next((tmp_path / 'source').iterdir())], check=True)
    rebuilt = next(tmp_path.glob('*.whl'))
    assert set(zipfile.ZipFile(rebuilt).namelist()) == set(zipfile.ZipFile(wheel).namelist())


@pytest.mark.slow
def test_editable_install_links_files_for_mim(checkout, tmp_path):
    subprocess.run([sys.executable, '-m', 'pip', 'install', '--quiet', '--no-deps', '--no-build-isolation', '--target',
                    tmp_path, '--editable', checkout], check=True)
    for_mim = checkout / 'mmxattn' / '.mim'
    assert {path.name for path in for_mim.iterdir()} == {'configs', 'tools', 'model-index.yml'}
    assert all(path.is_symlink() and path.exists() for path in for_mim.iterdir())


def test_requirements_are_ranges():
    for name in (*EXTRAS, 'base'):
        assert not [line for line in requirement_lines(name) if '==' in line.partition(';')[0]]


@pytest.mark.parametrize('stack', ['openmmlab', 'onedl'])
def test_pinned_versions_are_in_the_ranges(stack):
    pinned = [Requirement(line) for line in requirement_lines(f'environment/{stack}') if not line.startswith('-r')]
    versions = {pin.name: next(iter(pin.specifier)).version for pin in pinned if '==' in str(pin.specifier)}
    versions.update([STACKS[stack].mmcv.split('==')])
    ranges = [requirement for requirement in map(Requirement, requirement_lines(stack)) if requirement.name in versions]
    assert len(ranges) == 4
    assert all(requirement.specifier.contains(versions[requirement.name]) for requirement in ranges)


def test_config_names_are_unique():
    """mim searches for configs by their file name."""
    names = Counter(path.name for path in (ROOT / 'configs').rglob('*.py'))
    assert not [name for name, count in names.items() if count > 1]
