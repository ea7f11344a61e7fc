"""The cache of compiled mmcv wheels, and the check of build tools."""
import sys
import zipfile
from pathlib import Path

import mmcv_wheel
import pytest
from console import SetupError

FACTS = dict(python='cpython-311', torch='2.13.0+cpu', cuda=None, gpu=False, cuda_home=None, headers='', gpu_ops=False)


def write_wheel(path: Path, *names: str) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    with zipfile.ZipFile(path, 'w') as archive:
        for name in names:
            archive.writestr(name, '')
    return path


def test_probe_reports_module_and_distribution_version_of_torch(tmp_path, monkeypatch):
    """For CUDA builds of PyPI they differ: pip does not find 'torch==2.1.2+cu121'."""
    for name, text in {
            'torch/__init__.py': "__version__ = '2.1.2+cu121'\nfrom . import cuda, version\n",
            'torch/version.py': "cuda, hip = '12.1', None\n",
            'torch/cuda.py': 'def is_available():\n    return False\n',
            'torch/utils/cpp_extension.py': 'CUDA_HOME = None\n',
            'torch-2.1.2.dist-info/METADATA': 'Metadata-Version: 2.1\nName: torch\nVersion: 2.1.2\n'}.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(text)
    monkeypatch.setenv('PYTHONPATH', str(tmp_path))
    facts = mmcv_wheel.probe(Path(sys.executable))
    assert (facts['torch'], facts['distribution']) == ('2.1.2+cu121', '2.1.2')


def test_wheel_key_depends_on_everything_a_build_depends_on():
    gpu = dict(FACTS, torch='2.13.0+cu130', cuda='13.0')
    keys = [mmcv_wheel.wheel_key(facts, requirement) for facts, requirement in (
        (FACTS, 'mmcv==2.1.0'), (FACTS, 'mmcv==2.0.1'), (FACTS, 'onedl-mmcv==2.1.0'),
        (dict(FACTS, python='cpython-312'), 'mmcv==2.1.0'), (dict(FACTS, torch='2.12.0+cpu'), 'mmcv==2.1.0'),
        (gpu, 'mmcv==2.1.0'), (dict(gpu, gpu_ops=True), 'mmcv==2.1.0'),
        (dict(gpu, gpu_ops=True, cuda='12.4'), 'mmcv==2.1.0'))]
    assert len(set(keys)) == len(keys)


def test_only_wheels_with_operators_are_taken_from_the_cache(tmp_path, monkeypatch):
    monkeypatch.setenv('MMXATTN_CACHE', str(tmp_path))
    store = tmp_path / 'wheels' / mmcv_wheel.wheel_key(FACTS, 'mmcv==2.1.0')
    write_wheel(store / 'mmcv-2.1.0-a.whl', 'mmcv/__init__.py', 'mmcv/ops/nms.py')
    (store / 'mmcv-2.1.0-b.whl').write_bytes(b'truncated')
    assert mmcv_wheel.cached_wheel(FACTS, 'mmcv==2.1.0') is None
    complete = write_wheel(store / 'mmcv-2.1.0-c.whl', 'mmcv/__init__.py', 'mmcv/_ext.cpython-311-x86_64-linux-gnu.so')
    assert mmcv_wheel.cached_wheel(FACTS, 'mmcv==2.1.0') == complete
    assert mmcv_wheel.cached_wheel(dict(FACTS, torch='2.9.0+cpu'), 'mmcv==2.1.0') is None


def test_cache_folder_follows_the_environment(monkeypatch):
    monkeypatch.delenv('MMXATTN_CACHE', raising=False)
    monkeypatch.setenv('XDG_CACHE_HOME', '/somewhere')
    assert mmcv_wheel.cache_folder() == Path('/somewhere/mmxattn')
    monkeypatch.delenv('XDG_CACHE_HOME')
    assert mmcv_wheel.cache_folder() == Path.home() / '.cache' / 'mmxattn'
    monkeypatch.setenv('MMXATTN_CACHE', '/elsewhere')
    assert mmcv_wheel.cache_folder() == Path('/elsewhere')


@pytest.fixture
def facts(tmp_path, monkeypatch) -> dict:
    """Facts of a machine with compiler and headers, and nothing else on the PATH."""
    (tmp_path / 'Python.h').touch()
    (tmp_path / 'g++').touch(mode=0o755)
    monkeypatch.setenv('PATH', str(tmp_path))
    monkeypatch.delenv('CXX', raising=False)
    return dict(FACTS, headers=str(tmp_path))


@pytest.mark.parametrize('missing, message', [('g++', r'needs a C\+\+ compiler'), ('Python.h', 'python3-dev')])
def test_missing_build_tool_is_reported(facts, missing, message):
    mmcv_wheel.check_build_tools(facts)
    (Path(facts['headers']) / missing).unlink()
    with pytest.raises(SetupError, match=message):
        mmcv_wheel.check_build_tools(facts)


def test_gpu_operators_need_nvcc(facts):
    facts = dict(facts, cuda='13.0', gpu=True, gpu_ops=True)
    with pytest.raises(SetupError, match=r'CUDA toolkit 13\.0'):
        mmcv_wheel.check_build_tools(facts)
    mmcv_wheel.check_build_tools(dict(facts, cuda_home='/usr/local/cuda'))


def test_progress_counts_compiled_and_planned_objects(tmp_path):
    assert mmcv_wheel.progress(tmp_path) == (0, 0)
    folder = tmp_path / 'build' / 'temp.linux-x86_64-cpython-311'
    (folder / 'ops').mkdir(parents=True)
    plan = ('rule compile', 'build /a/ops/x.o: compile x.cpp', 'build /a/ops/y.o: compile y.cpp',
            'build all: phony /a/ops/x.o')
    (folder / 'build.ninja').write_text('\n'.join(plan))
    (folder / 'ops' / 'x.o').touch()
    assert mmcv_wheel.progress(tmp_path) == (1, 2)
