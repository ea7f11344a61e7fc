"""Create the environment for `make demo` and `make test`: torch, a compiled mmcv, the toolboxes and mmxattn.

    python3 requirements/install.py [--stack openmmlab|onedl] [--rebuild-with-this-python]

The environment is in .venv (openmmlab) or .venv-onedl. If the Python that runs this script has torch, such as a GPU
build, the environment uses that torch. The script can be run again at any time: it exits at once if everything is up to
date, and continues after an interruption. It uses only the standard library.
"""
import argparse
import hashlib
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path

from console import SetupError, file_lock, format_seconds, log, run
from mmcv_wheel import cached_wheel, check_build_tools, mmcv_wheel, probe

ROOT = Path(__file__).resolve().parent.parent
TORCH = 'torch==2.13.0'
TRITON = 'triton==3.9.0'
# `python` and `python3` of one installation are the same Python; an environment based on it is another one.
THIS_PYTHON = dict(python=sys.executable, prefix=sys.prefix, version=sys.version)


@dataclass(frozen=True)
class Stack:
    """A set of toolboxes: the folder of its environment, and packages that are not installed by `pip -r`."""

    folder: str
    mmcv: str
    mim: str


STACKS = {
    'openmmlab': Stack('.venv', 'mmcv==2.1.0', 'openmim==0.3.9'),
    'onedl': Stack('.venv-onedl', 'onedl-mmcv==2.3.6', 'onedl-mim==0.5.1'),
}

# Run by the environment's Python, outside of the checkout.
VERIFY = '''
import cv2, mmcv, mmcv.ops, mmdet.models, mmengine, mmpretrain.models, mmseg.models, timm.layers, torch
from importlib.util import find_spec
boxes = torch.tensor([[0., 0., 10., 10.], [0., 0., 10., 9.], [20., 20., 30., 30.]])
scores = torch.tensor([.9, .8, .7])
for device in ['cpu', 'cuda'] if torch.cuda.is_available() else ['cpu']:
    kept = mmcv.ops.nms(boxes.to(device), scores.to(device), 0.5)[1].tolist()
    if kept != [0, 2]:
        raise SystemExit(f"mmcv.ops.nms on {device} kept the boxes {kept}, expected [0, 2]")
if find_spec('mmxattn') is None:
    raise SystemExit('mmxattn cannot be imported')
print(f'torch {torch.__version__}, mmengine {mmengine.__version__}, mmcv {mmcv.__version__} with operators, '
      f'mmdet {mmdet.__version__}, mmseg {mmseg.__version__}, mmpretrain {mmpretrain.__version__}, '
      f'opencv {cv2.__version__}')
'''

DECLARE_OPERATORS = '''

if not _has_ops():  # added by mmxattn's setup
    for _name in ('nms', 'qnms'):
        torch.library.define(f'torchvision::{_name}', '(Tensor dets, Tensor scores, float iou_threshold) -> Tensor')
'''


class Environment:
    """A virtual environment and the record of the Python that it was created from."""

    def __init__(self, stack_name: str, root: Path = ROOT):
        self.stack_name, self.stack, self.root = stack_name, STACKS[stack_name], root
        self.folder = root / self.stack.folder
        self.python = self.folder / 'bin' / 'python'
        self.record = self.folder / 'mmxattn.json'
        self.stamp = self.folder / '.ready'

    def inputs_hash(self) -> str:
        """Hash the files that determine the content of the environment."""
        files = [*(self.root / 'requirements').rglob('*.txt'), *(self.root / 'requirements').glob('*.py'),
                 self.root / 'setup.py', self.root / 'pyproject.toml', self.root / 'mmxattn' / 'version.py']
        digest = hashlib.sha256(str(self.root).encode())
        for file in sorted(files):
            digest.update(f'{file.relative_to(self.root)}\n{hashlib.sha256(file.read_bytes()).hexdigest()}\n'.encode())
        return digest.hexdigest()

    def is_ready(self) -> bool:
        return self.python.exists() and self.stamp.exists() and self.stamp.read_text() == self.inputs_hash()

    def base_python(self) -> dict:
        """Return 'python', 'prefix' and 'version' of the Python that it was created from, or {} if unknown."""
        return json.loads(self.record.read_text()) if self.record.exists() else {}

    def pip(self, what: str, *arguments, lock: int) -> None:
        """Run ``pip install`` with a message and a log file named after ``what``."""
        def message(seconds: float) -> str:
            return f'installing {what}' + (f', {format_seconds(seconds)} so far' if seconds else '')

        name = what.split()[-1].strip('.').replace('/', '-')
        run([self.python, '-m', 'pip', 'install', '--disable-pip-version-check', *arguments],
            self.folder / 'log' / f'{name}.log', message, lock=lock)

    def remove(self) -> None:
        """Remove the folder. It is renamed first, so that an interruption does not leave a partial environment."""
        old = self.folder.with_name(f'{self.folder.name}.old')
        shutil.rmtree(old, ignore_errors=True)
        self.folder.rename(old)
        shutil.rmtree(old)

    def create(self, lock: int) -> None:
        """Create an environment with pip. If this Python has torch, the environment sees its packages.

        A .pth file is used instead of `--system-site-packages`, which ignores a base that is an environment itself.
        """
        if self.folder.exists() and not self.record.exists():
            raise SetupError(f'{self.folder} exists and was not created by this setup: move it away and try again.')
        self.folder.mkdir(exist_ok=True)
        packages = base_packages()
        self.record.write_text(json.dumps(THIS_PYTHON))
        if not (self.python.exists() and _works(self.python, 'import pip')):
            if not _works(sys.executable, 'import ensurepip'):
                raise SetupError(f'{sys.executable} cannot create virtual environments: install its venv module, for '
                                 'example with `apt-get install python3-venv`.')
            run([sys.executable, '-m', 'venv', self.folder], self.folder / 'log' / 'venv.log',
                lambda seconds: f'creating a virtual environment in {self.folder}', lock=lock)
        if packages:
            (self.site_packages() / 'parent-packages.pth').write_text('\n'.join(packages) + '\n')

    def site_packages(self) -> Path:
        return next((self.folder / 'lib').glob('python3*')) / 'site-packages'

    def install_packages(self, lock: int) -> None:
        """Install everything. Steps that are likely to fail come before the long compilation."""
        if not _works(self.python, 'import torch'):
            self.pip(TORCH, TORCH, lock=lock)
        facts = probe(self.python)
        if [int(number) for number in facts['torch'].split('.')[:2]] < [2, 3]:
            raise SetupError(f'{THIS_PYTHON["python"]} has torch {facts["torch"]}, compiled against NumPy 1, and this '
                             'environment needs NumPy 2: use a Python with torch 2.3 or newer, or without torch. To '
                             'install mmxattn with an older torch, see docs/compatibility.md.')
        log(f'torch {facts["torch"]}, operators for the {"GPU" if facts["gpu_ops"] else "CPU"}')
        if cached_wheel(facts, self.stack.mmcv) is None:
            check_build_tools(facts)
        constraint = self.folder / 'torch.txt'
        constraint.write_text(f'torch=={facts["distribution"]}\n')  # keep this torch
        here = self.root / 'requirements'
        self.pip('the toolboxes', '-r', here / 'environment' / f'{self.stack_name}.txt', '-c', constraint, lock=lock)
        # mim requires opendatalab, which pins setuptools to 60.2 and is only used by `mim download --dataset`.
        self.pip(self.stack.mim, '--no-deps', self.stack.mim, lock=lock)
        self.pip('grad-cam', '--no-deps', '-r', here / 'environment' / 'no-deps.txt', lock=lock)
        self.install_torchvision(facts['torch'], lock)
        self.install_triton(lock)
        self.install_headless_opencv(lock)
        wheel = mmcv_wheel(self.python, facts, self.stack.mmcv)
        if self.stack.mmcv.split('==')[1] != self._version(self.stack.mmcv) or not self._has_wheel(wheel):
            self.pip(self.stack.mmcv, '--no-deps', '--force-reinstall', wheel, lock=lock)
            (self.folder / 'mmcv-wheel').write_text(str(wheel))
        self.pip('mmxattn', '--no-deps', '--no-build-isolation', '--editable', self.root, lock=lock)
        self.link_for_mim()

    def install_headless_opencv(self, lock: int) -> None:
        """Replace opencv-python, which mmengine requires and which needs libGL, with opencv-python-headless."""
        version = self._version('opencv-python')
        if self._version('opencv-python-headless') != version:
            self.pip('opencv-python-headless', '--no-deps', '--force-reinstall', f'opencv-python-headless=={version}',
                     lock=lock)

    def install_torchvision(self, torch: str, lock: int) -> None:
        """Install the torchvision that belongs to this torch, and make sure that it can be imported.

        mmpretrain and timm use its Python code. The wheels on PyPI contain operators that are compiled for CUDA and do
        not load with a CPU build of torch. `import torchvision` then fails because it registers fake implementations of
        two operators that do not exist. They are declared here; calling one raises an error.
        """
        if _works(self.python, 'import torchvision'):
            return
        minor = int(torch.split('.')[1]) + 15  # torch 2.0 belongs to torchvision 0.15
        self.pip('torchvision', '--no-deps', f'torchvision==0.{minor}.*', lock=lock)
        file = self.site_packages() / 'torchvision' / 'extension.py'
        if file.exists() and not _works(self.python, 'import torchvision'):
            file.write_text(file.read_text() + DECLARE_OPERATORS)

    def install_triton(self, lock: int) -> None:
        """Install Triton for CPU builds of torch, which do not include it. Tests run the kernels in its interpreter."""
        if sys.platform == 'linux' and not _works(self.python, 'import triton'):
            self.pip(TRITON, '--no-deps', TRITON, lock=lock)

    def link_for_mim(self) -> None:
        """Link the package next to its metadata, where openmim looks for .mim. Editable installs have none there."""
        link = self.site_packages() / 'mmxattn'
        if not link.is_symlink():
            link.symlink_to(self.root / 'mmxattn', target_is_directory=True)

    def _version(self, requirement: str) -> str:
        name = requirement.split('==')[0]
        code = f'from importlib.metadata import version; print(version({name!r}))'
        return subprocess.run([str(self.python), '-c', code], capture_output=True, text=True).stdout.strip()

    def _has_wheel(self, wheel: Path) -> bool:
        note = self.folder / 'mmcv-wheel'
        return note.exists() and note.read_text() == str(wheel)

    def verify(self) -> None:
        """Import every toolbox, run an operator of mmcv, and print the versions. Raises SetupError."""
        answer = subprocess.run([str(self.python), '-c', VERIFY], cwd=self.folder, capture_output=True, text=True)
        if answer.returncode:
            raise SetupError(f'the environment does not work:\n{answer.stderr.strip()}\n'
                             f'Remove {self.folder} and try again.')
        log(answer.stdout.strip().splitlines()[-1])


def base_packages() -> list[str]:
    """Return the package folders of the Python that runs this script if it has torch, and [] otherwise."""
    if not _works(sys.executable, 'import torch'):
        return []
    return [folder for folder in sys.path if folder.endswith(('site-packages', 'dist-packages'))]


def _works(python: Path | str, code: str) -> bool:
    return subprocess.run([str(python), '-c', code], capture_output=True).returncode == 0


def install(stack: str, rebuild: bool) -> None:
    """Bring the environment of a stack up to date.

    Args:
        stack: Key of STACKS.
        rebuild: Replace an environment that was created from another Python. By default it is kept.
    """
    environment = Environment(stack)
    base = environment.base_python()
    is_other_python = bool(base) and any(base[key] != THIS_PYTHON[key] for key in ('prefix', 'version'))
    if environment.is_ready() and not (is_other_python and rebuild):
        return
    start = time.monotonic()
    with file_lock(ROOT / f'{environment.folder.name}.lock') as lock:
        if is_other_python and not rebuild and Path(base['python']).exists():
            log(f'{environment.folder} was created from {base["python"]}: using this Python again')
            os.execv(base['python'], [base['python'], *sys.argv])
        elif is_other_python:
            log(f'{environment.folder} was created from {base["python"]}: creating it from {sys.executable} instead')
            environment.remove()
        elif environment.is_ready():
            return
        inputs_hash = environment.inputs_hash()  # before the installation, during which files may change
        environment.stamp.unlink(missing_ok=True)
        environment.create(lock)
        environment.install_packages(lock)
        environment.verify()
        environment.stamp.write_text(inputs_hash)
    log(f'{environment.folder} is ready after {format_seconds(time.monotonic() - start)}')


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument('--stack', choices=sorted(STACKS), default='openmmlab', help='set of toolboxes')
    parser.add_argument('--rebuild-with-this-python', action='store_true',
                        help='replace an environment that was created from another Python')
    args = parser.parse_args()
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        if sys.version_info < (3, 10):  # noqa: UP036  (runs before pip checks it)
            raise SetupError(f'Python 3.10 or later is required, but {sys.executable} is {sys.version.split()[0]}: '
                             'use a newer one with `make ... PYTHON=python3.11`.')
        install(args.stack, args.rebuild_with_this_python)
    except SetupError as error:
        print(f'[mmxattn] {error}', file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print('[mmxattn] interrupted: run the same command again to continue', file=sys.stderr)
        return 130
    return 0


if __name__ == '__main__':
    sys.exit(main())
