"""Package mmxattn with the configs and tools that mim searches for in PACKAGE/.mim.

Wheels contain copies of them, which are made in the build folder only. Editable installs contain links.
"""
import os
import re
import shutil
from pathlib import Path

from setuptools import find_packages, setup
from setuptools.command.build_py import build_py

ROOT = Path(__file__).resolve().parent
FOR_MIM = ('configs', 'tools', 'model-index.yml')
EXTRAS = ('openmmlab', 'onedl', 'classification', 'classification-onedl', 'demo', 'tests')


class BuildWithMim(build_py):
    """build_py that adds FOR_MIM to mmxattn/.mim."""

    def run(self):
        if self.editable_mode:
            link_for_mim(ROOT / 'mmxattn' / '.mim')
        else:
            # Otherwise deleted modules of an earlier build would be packaged again.
            shutil.rmtree(Path(self.build_lib) / 'mmxattn', ignore_errors=True)
        super().run()
        if not self.editable_mode:
            copy_for_mim(Path(self.build_lib) / 'mmxattn' / '.mim')


def link_for_mim(folder: Path) -> None:
    """Fill a folder with relative links to FOR_MIM, and remove everything else from it."""
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    for name in FOR_MIM:
        if (ROOT / name).exists():
            (folder / name).symlink_to(os.path.relpath(ROOT / name, folder))


def copy_for_mim(folder: Path) -> None:
    """Fill a folder with copies of FOR_MIM, and remove everything else from it."""
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    for name in FOR_MIM:
        source = ROOT / name
        if source.is_dir():
            shutil.copytree(source, folder / name, ignore=shutil.ignore_patterns('__pycache__', '.*'))
        elif source.exists():
            shutil.copyfile(source, folder / name)


def requirements(name: str) -> list[str]:
    """Return the lines of requirements/NAME.txt without comments."""
    lines = (ROOT / 'requirements' / f'{name}.txt').read_text(encoding='utf-8').splitlines()
    return [line.strip() for line in lines if line.strip() and not line.startswith('#')]


def version() -> str:
    text = (ROOT / 'mmxattn' / 'version.py').read_text(encoding='utf-8')
    return re.search(r"__version__ = '(.+)'", text).group(1)


def long_description() -> str:
    readme = ROOT / 'README.md'
    return readme.read_text(encoding='utf-8') if readme.exists() else ''


setup(
    name='mmxattn',
    version=version(),
    description='FINE, CFSAM, SCSA and CLA: attention for OpenMMLab detectors and segmentors',
    long_description=long_description(),
    long_description_content_type='text/markdown',
    license='Apache-2.0',
    python_requires='>=3.10',
    packages=find_packages(include=['mmxattn', 'mmxattn.*']),
    include_package_data=True,
    zip_safe=False,
    install_requires=requirements('base'),
    extras_require={name: requirements(name) for name in EXTRAS},
    cmdclass={'build_py': BuildWithMim},
    classifiers=[
        'Programming Language :: Python :: 3',
        'Topic :: Scientific/Engineering :: Image Recognition',
    ],
)
