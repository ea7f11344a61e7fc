"""Compile mmcv with its operators, once per machine, and keep the wheel.

pip's own cache knows a built wheel by its source alone: not which torch it was compiled against, nor that there was
none, in which case it has no operators. So wheels are kept here under a key of everything that they depend on.
"""
import json
import os
import platform
import re
import shutil
import subprocess
import zipfile
from pathlib import Path

from console import SetupError, exclusive, minutes, run, say

__all__ = ['cache_folder', 'check_tools', 'mmcv_wheel', 'probe', 'stored_wheel', 'wheel_key']

# Runs under the environment's python: what decides how mmcv is compiled. pip knows torch by its distribution's version,
# which on PyPI lacks the local part ('2.13.0', where torch.__version__ is '2.13.0+cu130').
PROBE = '''
import json, sys, sysconfig, torch
from importlib.metadata import version
from torch.utils.cpp_extension import CUDA_HOME
print(json.dumps(dict(python=sys.implementation.cache_tag, torch=torch.__version__, distribution=version('torch'),
                      cuda=torch.version.cuda or torch.version.hip, gpu=torch.cuda.is_available(), cuda_home=CUDA_HOME,
                      headers=sysconfig.get_path('include'))))
'''


def cache_folder() -> Path:
    """Where compiled wheels are kept between runs and checkouts: $MMXATTN_CACHE, or below the user's cache folder."""
    chosen = os.environ.get('MMXATTN_CACHE')
    return Path(chosen) if chosen else Path(os.environ.get('XDG_CACHE_HOME') or Path.home() / '.cache') / 'mmxattn'


def probe(python: Path) -> dict:
    """Facts about ``python`` and its torch: the keys of PROBE, and ``gpu_ops``, whether to compile for the GPU."""
    answer = subprocess.run([str(python), '-c', PROBE], capture_output=True, text=True)
    if answer.returncode:
        raise SetupError(f'{python} cannot import torch: {answer.stderr.strip().splitlines()[-1]}')
    facts = json.loads(answer.stdout)
    facts['gpu_ops'] = bool(facts['cuda']) and (facts['gpu'] or os.environ.get('FORCE_CUDA') == '1')
    return facts


def wheel_key(facts: dict, requirement: str) -> str:
    """The folder name of a compiled wheel: two builds share it only where one can stand for the other."""
    operators = f'gpu{facts["cuda"]}' if facts['gpu_ops'] else 'cpu'
    return '-'.join([facts['python'], platform.system().lower(), platform.machine(), f'torch{facts["torch"]}',
                     operators, requirement.replace('==', '')])


def check_tools(facts: dict) -> None:
    """Raise SetupError where a compiler, Python's headers or, for GPU operators, nvcc is missing."""
    compiler = os.environ.get('CXX') or 'c++'
    if not (shutil.which(compiler) or shutil.which('g++') or shutil.which('clang++')):
        raise SetupError('mmcv has to be compiled and there is no C++ compiler here: install one, for instance with '
                         '`apt-get install g++` or `dnf install gcc-c++`.')
    if not (Path(facts['headers']) / 'Python.h').is_file():
        raise SetupError(f'mmcv has to be compiled and {facts["headers"]}/Python.h is missing: install the headers of '
                         'your Python, for instance with `apt-get install python3-dev`.')
    if facts['gpu_ops'] and not facts['cuda_home']:
        raise SetupError(f'your torch runs on a GPU and mmcv needs nvcc to compile operators for it: install the CUDA '
                         f'toolkit {facts["cuda"]} (or set CUDA_HOME), or set CUDA_VISIBLE_DEVICES= to work without '
                         'the GPU.')


def has_operators(wheel: Path) -> bool:
    """Whether the wheel holds compiled operators (mmcv builds without torch leave them out silently)."""
    try:
        with zipfile.ZipFile(wheel) as archive:
            return any(re.fullmatch(r'mmcv/_ext\..*so', name) for name in archive.namelist())
    except (OSError, zipfile.BadZipFile):
        return False


def mmcv_wheel(python: Path, facts: dict, requirement: str) -> Path:
    """The compiled wheel of ``requirement`` ('mmcv==2.1.0') for ``python``: from the cache, else compiled into it."""
    wheel = stored_wheel(facts, requirement)
    if wheel is None:
        key = wheel_key(facts, requirement)
        with exclusive(cache_folder() / f'{key}.lock') as lock:
            wheel = stored_wheel(facts, requirement)  # another checkout may have compiled it while this one waited
            if wheel is None:
                build = cache_folder() / 'build' / key
                wheel = _compile(python, facts, requirement, build, lock)
                shutil.rmtree(build)
    say(f'mmcv with operators: {wheel}')
    return wheel


def stored_wheel(facts: dict, requirement: str):
    """The wheel that the cache holds for these facts, or None."""
    store = cache_folder() / 'wheels' / wheel_key(facts, requirement)
    return next((wheel for wheel in sorted(store.glob('*.whl')) if has_operators(wheel)), None)


def _compile(python: Path, facts: dict, requirement: str, build: Path, lock: int) -> Path:
    store = cache_folder() / 'wheels' / wheel_key(facts, requirement)
    source = _source(python, requirement, build, lock)
    env = dict(os.environ, MMCV_WITH_OPS='1')
    env.setdefault('MAX_JOBS', str(jobs()))
    if facts['gpu_ops']:
        env['FORCE_CUDA'] = '1'
    # setup.py looks for ninja on the path; the environment is not activated.
    env['PATH'] = f'{python.parent}{os.pathsep}{env.get("PATH", os.defpath)}'

    def doing(seconds):
        done, total = progress(source)
        count = f'{done} of {total} objects, ' if total else ''
        return (f'compiling mmcv operators: {count}{minutes(seconds)} so far; '
                f'once per machine, kept in {store}')

    # `pip wheel` would build in a fresh folder each time; in this one ninja goes on where it was interrupted.
    run([python, 'setup.py', 'bdist_wheel'], build / 'compile.log', doing, cwd=source, env=env, lock=lock)
    built = next((source / 'dist').glob('*.whl'))
    if not has_operators(built):
        raise SetupError(f'mmcv was built without operators; {build / "compile.log"} says why.')
    store.mkdir(parents=True, exist_ok=True)
    partial = store / f'{built.name}.partial'
    shutil.copyfile(built, partial)
    return partial.rename(store / built.name)


def _source(python: Path, requirement: str, build: Path, lock: int) -> Path:
    """The unpacked source package below ``build``, downloaded where it is not there yet."""
    unpacked = build / 'source'
    if not unpacked.is_dir():
        name = requirement.split('==')[0]
        run([python, '-m', 'pip', 'download', '--no-deps', '--no-binary', name, '--no-build-isolation', '--dest',
             build, requirement], build / 'download.log',
            lambda seconds: f'downloading the source of {requirement}', lock=lock)
        archive = next(build.glob('*.tar.gz'))
        partial = build / 'unpacking'
        shutil.rmtree(partial, ignore_errors=True)
        shutil.unpack_archive(archive, partial)
        partial.rename(unpacked)
    return next(path for path in unpacked.iterdir() if path.is_dir())


def progress(source: Path):
    """(compiled, total) object files of the build in ``source``; (0, 0) before ninja's plan is written."""
    plans = list(source.glob('build/temp*/build.ninja'))
    if not plans:
        return 0, 0
    total = len(re.findall(r'^build .*\.o: ', plans[0].read_text(), flags=re.MULTILINE))
    return len(list(plans[0].parent.rglob('*.o'))), total


def jobs() -> int:
    """Compilers to run at once: the usable cores, and 2 GB of memory for each of them."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, 'sched_getaffinity') else os.cpu_count() or 1
    memory = os.sysconf('SC_PHYS_PAGES') * os.sysconf('SC_PAGE_SIZE') / 2**30
    return max(1, min(cores, int(memory / 2)))
