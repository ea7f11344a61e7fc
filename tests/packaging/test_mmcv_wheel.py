"""The cache of compiled wheels: what may share one, what is no use, what is told before a compile."""
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


def test_torch_is_known_by_both_of_its_versions(tmp_path, monkeypatch):
    """PyPI's CUDA builds: pip finds no 'torch==2.1.2+cu121', which is what the module calls itself."""
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


@pytest.mark.parametrize('change', [
    dict(python='cpython-312'), dict(torch='2.13.0+cu130'), dict(torch='2.12.0+cpu'),
    dict(cuda='13.0', gpu_ops=True), dict(cuda='12.4', gpu_ops=True)])
def test_what_a_compile_depends_on_is_in_the_key(change):
    assert mmcv_wheel.wheel_key({**FACTS, **change}, 'mmcv==2.1.0') != mmcv_wheel.wheel_key(FACTS, 'mmcv==2.1.0')


def test_keys_tell_stacks_and_versions_apart():
    keys = {mmcv_wheel.wheel_key(FACTS, name) for name in ('mmcv==2.1.0', 'mmcv==2.0.1', 'onedl-mmcv==2.1.0')}
    assert len(keys) == 3


def test_a_gpu_build_of_torch_without_gpu_shares_nothing_with_one_that_has_it():
    facts = dict(FACTS, torch='2.13.0+cu130', cuda='13.0')
    assert mmcv_wheel.wheel_key(facts, 'mmcv==2.1.0') != mmcv_wheel.wheel_key(dict(facts, gpu_ops=True), 'mmcv==2.1.0')


def test_only_a_wheel_with_operators_is_taken_from_the_cache(tmp_path, monkeypatch):
    monkeypatch.setenv('MMXATTN_CACHE', str(tmp_path))
    store = tmp_path / 'wheels' / mmcv_wheel.wheel_key(FACTS, 'mmcv==2.1.0')
    write_wheel(store / 'mmcv-2.1.0-a.whl', 'mmcv/__init__.py', 'mmcv/ops/nms.py')
    (store / 'mmcv-2.1.0-b.whl').write_bytes(b'broken off while it was copied')
    assert mmcv_wheel.stored_wheel(FACTS, 'mmcv==2.1.0') is None
    good = write_wheel(store / 'mmcv-2.1.0-c.whl', 'mmcv/__init__.py', 'mmcv/_ext.cpython-311-x86_64-linux-gnu.so')
    assert mmcv_wheel.stored_wheel(FACTS, 'mmcv==2.1.0') == good
    assert mmcv_wheel.stored_wheel(dict(FACTS, torch='2.9.0+cpu'), 'mmcv==2.1.0') is None


def test_cache_folder(monkeypatch):
    monkeypatch.delenv('MMXATTN_CACHE', raising=False)
    monkeypatch.setenv('XDG_CACHE_HOME', '/somewhere')
    assert mmcv_wheel.cache_folder() == Path('/somewhere/mmxattn')
    monkeypatch.delenv('XDG_CACHE_HOME')
    assert mmcv_wheel.cache_folder() == Path.home() / '.cache' / 'mmxattn'
    monkeypatch.setenv('MMXATTN_CACHE', '/elsewhere')
    assert mmcv_wheel.cache_folder() == Path('/elsewhere')


@pytest.fixture
def complete(tmp_path, monkeypatch) -> dict:
    """Facts of a machine with compiler and headers, and nothing else on the path."""
    (tmp_path / 'Python.h').touch()
    compiler = tmp_path / 'g++'
    compiler.touch(mode=0o755)
    monkeypatch.setenv('PATH', str(tmp_path))
    monkeypatch.delenv('CXX', raising=False)
    return dict(FACTS, headers=str(tmp_path))


def test_tools_are_complete(complete):
    assert mmcv_wheel.check_tools(complete) is None


@pytest.mark.parametrize('missing, told', [('g++', r'C\+\+ compiler'), ('Python.h', 'python3-dev')])
def test_a_missing_tool_is_told_with_the_way_out(complete, missing, told):
    (Path(complete['headers']) / missing).unlink()
    with pytest.raises(SetupError, match=told):
        mmcv_wheel.check_tools(complete)


def test_gpu_operators_need_nvcc(complete):
    facts = dict(complete, cuda='13.0', gpu=True, gpu_ops=True)
    with pytest.raises(SetupError, match=r'CUDA toolkit 13\.0'):
        mmcv_wheel.check_tools(facts)
    mmcv_wheel.check_tools(dict(facts, cuda_home='/usr/local/cuda'))


def test_progress_counts_objects_against_the_plan(tmp_path):
    assert mmcv_wheel.progress(tmp_path) == (0, 0)
    folder = tmp_path / 'build' / 'temp.linux-x86_64-cpython-311'
    (folder / 'ops').mkdir(parents=True)
    plan = ('rule compile', 'build /a/ops/x.o: compile x.cpp', 'build /a/ops/y.o: compile y.cpp',
            'build all: phony /a/ops/x.o')
    (folder / 'build.ninja').write_text('\n'.join(plan))
    (folder / 'ops' / 'x.o').touch()
    assert mmcv_wheel.progress(tmp_path) == (1, 2)
