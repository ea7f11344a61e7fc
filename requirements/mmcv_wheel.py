"""Compile mmcv with its operators once per machine and keep the wheel.

pip's cache identifies a built wheel only by its source. It does not consider the version of torch that the wheel was
compiled against, or whether torch was missing, in which case the wheel has no operators. Therefore, wheels are cached
here with a key that contains everything they depend on.
"""
import json
import os
import platform
import re
import shutil
import subprocess
import zipfile
from pathlib import Path

from console import SetupError, file_lock, format_seconds, log, run

__all__ = ['cache_folder', 'cached_wheel', 'check_build_tools', 'mmcv_wheel', 'probe', 'wheel_key']

# Run by the environment's Python. pip uses the version of torch's distribution, which has no local part on PyPI
# ('2.13.0', where torch.__version__ is '2.13.0+cu130').
PROBE = '''
import json, sys, sysconfig, torch
from importlib.metadata import version
from torch.utils.cpp_extension import CUDA_HOME
print(json.dumps(dict(python=sys.implementation.cache_tag, torch=torch.__version__, distribution=version('torch'),
                      cuda=torch.version.cuda or torch.version.hip, gpu=torch.cuda.is_available(), cuda_home=CUDA_HOME,
                      headers=sysconfig.get_path('include'))))
'''


def cache_folder() -> Path:
    """Return the folder for compiled wheels: $MMXATTN_CACHE, or a subfolder of the user's cache folder."""
    folder = os.environ.get('MMXATTN_CACHE')
    return Path(folder) if folder else Path(os.environ.get('XDG_CACHE_HOME') or Path.home() / '.cache') / 'mmxattn'


def probe(python: Path) -> dict:
    """Return facts about a Python and its torch: the keys of PROBE, and ``gpu_ops``, whether to compile for the GPU."""
    answer = subprocess.run([str(python), '-c', PROBE], capture_output=True, text=True)
    if answer.returncode:
        raise SetupError(f'{python} cannot import torch: {answer.stderr.strip().splitlines()[-1]}')
    facts = json.loads(answer.stdout)
    facts['gpu_ops'] = bool(facts['cuda']) and (facts['gpu'] or os.environ.get('FORCE_CUDA') == '1')
    return facts


def wheel_key(facts: dict, requirement: str) -> str:
    """Return the cache key of a compiled wheel. Builds with the same key are interchangeable."""
    device = f'gpu{facts["cuda"]}' if facts['gpu_ops'] else 'cpu'
    return '-'.join([facts['python'], platform.system().lower(), platform.machine(), f'torch{facts["torch"]}',
                     device, requirement.replace('==', '')])


def check_build_tools(facts: dict) -> None:
    """Raise SetupError if a compiler, Python's headers or, for GPU operators, nvcc is missing."""
    compiler = os.environ.get('CXX') or 'c++'
    if not (shutil.which(compiler) or shutil.which('g++') or shutil.which('clang++')):
        raise SetupError('compiling mmcv needs a C++ compiler: install one, for example with `apt-get install g++` or '
                         '`dnf install gcc-c++`.')
    if not (Path(facts['headers']) / 'Python.h').is_file():
        raise SetupError(f'compiling mmcv needs {facts["headers"]}/Python.h: install the headers of Python, for '
                         'example with `apt-get install python3-dev`.')
    if facts['gpu_ops'] and not facts['cuda_home']:
        raise SetupError(f'compiling mmcv for the GPU needs nvcc: install the CUDA toolkit {facts["cuda"]} (or set '
                         'CUDA_HOME), or set CUDA_VISIBLE_DEVICES= to work without the GPU.')


def has_operators(wheel: Path) -> bool:
    """Check whether a wheel contains compiled operators. Builds without torch silently omit them."""
    try:
        with zipfile.ZipFile(wheel) as archive:
            return any(re.fullmatch(r'mmcv/_ext\..*so', name) for name in archive.namelist())
    except (OSError, zipfile.BadZipFile):
        return False


def cached_wheel(facts: dict, requirement: str) -> Path | None:
    """Return the wheel in the cache, or None."""
    store = cache_folder() / 'wheels' / wheel_key(facts, requirement)
    return next((wheel for wheel in sorted(store.glob('*.whl')) if has_operators(wheel)), None)


def mmcv_wheel(python: Path, facts: dict, requirement: str) -> Path:
    """Return the compiled wheel of a requirement such as 'mmcv==2.1.0' from the cache. Compile it if it is missing."""
    wheel = cached_wheel(facts, requirement)
    if wheel is None:
        key = wheel_key(facts, requirement)
        with file_lock(cache_folder() / f'{key}.lock') as lock:
            wheel = cached_wheel(facts, requirement)  # compiled by another checkout meanwhile
            if wheel is None:
                build = cache_folder() / 'build' / key
                wheel = _compile(python, facts, requirement, build, lock)
                shutil.rmtree(build)
    log(f'mmcv with operators: {wheel}')
    return wheel


def _compile(python: Path, facts: dict, requirement: str, build: Path, lock: int) -> Path:
    store = cache_folder() / 'wheels' / wheel_key(facts, requirement)
    source = _download_source(python, requirement, build, lock)
    env = dict(os.environ, MMCV_WITH_OPS='1')
    env.setdefault('MAX_JOBS', str(num_jobs()))
    if facts['gpu_ops']:
        env['FORCE_CUDA'] = '1'
    # setup.py searches the PATH for ninja; the environment is not activated.
    env['PATH'] = f'{python.parent}{os.pathsep}{env.get("PATH", os.defpath)}'

    def message(seconds: float) -> str:
        done, total = progress(source)
        count = f'{done} of {total} objects, ' if total else ''
        return (f'compiling mmcv operators: {count}{format_seconds(seconds)} so far; once per machine, cached in '
                f'{store}')

    # Not `pip wheel`, which builds in a new folder each time: here ninja resumes an interrupted build.
    run([python, 'setup.py', 'bdist_wheel'], build / 'compile.log', message, cwd=source, env=env, lock=lock)
    built = next((source / 'dist').glob('*.whl'))
    if not has_operators(built):
        raise SetupError(f'mmcv was built without operators: see {build / "compile.log"} for the cause, fix it and '
                         'run the same command again.')
    store.mkdir(parents=True, exist_ok=True)
    partial = store / f'{built.name}.partial'
    shutil.copyfile(built, partial)
    return partial.rename(store / built.name)


def _download_source(python: Path, requirement: str, build: Path, lock: int) -> Path:
    """Return the unpacked source in the build folder. Download it if it is missing."""
    unpacked = build / 'source'
    if not unpacked.is_dir():
        name = requirement.split('==')[0]
        run([python, '-m', 'pip', 'download', '--no-deps', '--no-binary', name, '--no-build-isolation', '--dest',
             build, requirement], build / 'download.log',
            lambda seconds: f'downloading the source of {requirement}', lock=lock)
        partial = build / 'unpacking'
        shutil.rmtree(partial, ignore_errors=True)
        shutil.unpack_archive(next(build.glob('*.tar.gz')), partial)
        partial.rename(unpacked)
    return next(path for path in unpacked.iterdir() if path.is_dir())


def progress(source: Path) -> tuple[int, int]:
    """Return the numbers of compiled and of all object files of a build; (0, 0) before its ninja file is written."""
    plans = list(source.glob('build/temp*/build.ninja'))
    if not plans:
        return 0, 0
    total = len(re.findall(r'^build .*\.o: ', plans[0].read_text(), flags=re.MULTILINE))
    return len(list(plans[0].parent.rglob('*.o'))), total


def num_jobs() -> int:
    """Return the number of parallel compilers: at most one per usable core and per 2 GB of memory."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, 'sched_getaffinity') else os.cpu_count() or 1
    memory = os.sysconf('SC_PHYS_PAGES') * os.sysconf('SC_PAGE_SIZE') / 2**30
    return max(1, min(cores, int(memory / 2)))
