import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(scope='session')
def checkout(tmp_path_factory) -> Path:
    """A copy of the repository with leftovers of an earlier build."""
    copy = tmp_path_factory.mktemp('checkout')
    for name in ('benchmarks', 'configs', 'tools', 'mmxattn', 'requirements'):
        shutil.copytree(ROOT / name, copy / name, ignore=shutil.ignore_patterns('__pycache__', '.mim'))
    for name in ('setup.py', 'pyproject.toml', 'MANIFEST.in', 'LICENSE', 'README.md', 'model-index.yml'):
        shutil.copyfile(ROOT / name, copy / name)
    for stale in ('build/lib/mmxattn/gone.py', 'build/lib/mmxattn/.mim/configs/gone.py', 'mmxattn/.mim/tools/gone.py'):
        (copy / stale).parent.mkdir(parents=True, exist_ok=True)
        (copy / stale).write_text('raise RuntimeError\n')
    return copy


@pytest.fixture(scope='session')
def wheel(checkout, tmp_path_factory) -> Path:
    """The wheel of ``checkout``."""
    return build_wheel(checkout, tmp_path_factory.mktemp('wheel'))


def build_wheel(source, folder) -> Path:
    """Build a wheel without network."""
    subprocess.run([sys.executable, '-m', 'pip', 'wheel', '--quiet', '--no-deps', '--no-build-isolation',
                    '--wheel-dir', folder, source], check=True)
    return next(folder.glob('*.whl'))
