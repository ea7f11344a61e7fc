"""Make the environment that `make demo` and `make test` run in: torch, a compiled mmcv, the rest, mmxattn itself.

    python3 requirements/install.py [--stack openmmlab|onedl] [--rebuild-with-this-python]

The environment stands in .venv (openmmlab) or .venv-onedl. Where the Python that runs this has torch already (a GPU
build, say), the environment uses that one. Safe to run again at any time: it ends at once where everything is up to
date, and goes on where it was interrupted. Standard library only.
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

from console import SetupError, exclusive, minutes, run, say
from mmcv_wheel import check_tools, mmcv_wheel, probe, stored_wheel

ROOT = Path(__file__).resolve().parent.parent
TORCH = 'torch==2.13.0'
TRITON = 'triton==3.9.0'
# `python` and `python3` of one installation are one Python, an environment on top of it is another.
THIS_PYTHON = dict(python=sys.executable, prefix=sys.prefix, version=sys.version)


@dataclass(frozen=True)
class Stack:
    """One of the two sets of toolboxes: its environment's folder, and what is not installed by a plain `pip -r`."""
    folder: str
    mmcv: str
    mim: str


STACKS = {
    'openmmlab': Stack('.venv', 'mmcv==2.1.0', 'openmim==0.3.9'),
    'onedl': Stack('.venv-onedl', 'onedl-mmcv==2.3.6', 'onedl-mim==0.5.1'),
}

# Runs under the environment's python, from another folder than the checkout.
VERIFY = '''
import cv2, mmcv, mmcv.ops, mmdet.models, mmengine, mmpretrain.models, mmseg.models, timm.layers, torch
from importlib.util import find_spec
boxes = torch.tensor([[0., 0., 10., 10.], [0., 0., 10., 9.], [20., 20., 30., 30.]])
scores = torch.tensor([.9, .8, .7])
for device in ['cpu', 'cuda'] if torch.cuda.is_available() else ['cpu']:
    kept = mmcv.ops.nms(boxes.to(device), scores.to(device), 0.5)[1].tolist()
    if kept != [0, 2]:
        raise SystemExit(f"mmcv.ops.nms on {device} kept the boxes {kept}, not [0, 2]")
if find_spec('mmxattn') is None:
    raise SystemExit('mmxattn cannot be imported')
print(f'torch {torch.__version__}, mmengine {mmengine.__version__}, mmcv {mmcv.__version__} with operators, '
      f'mmdet {mmdet.__version__}, mmseg {mmseg.__version__}, mmpretrain {mmpretrain.__version__}, '
      f'opencv {cv2.__version__}')
'''

DECLARE_OPERATORS = '''

if not _has_ops():  # added by mmxattn's set-up
    for _name in ('nms', 'qnms'):
        torch.library.define(f'torchvision::{_name}', '(Tensor dets, Tensor scores, float iou_threshold) -> Tensor')
'''


class Environment:
    """A virtual environment in ``folder`` and the record of what it was made from."""

    def __init__(self, stack_name: str, root: Path = ROOT):
        self.stack_name, self.stack, self.root = stack_name, STACKS[stack_name], root
        self.folder = root / self.stack.folder
        self.python = self.folder / 'bin' / 'python'
        self.record = self.folder / 'mmxattn.json'
        self.stamp = self.folder / '.ready'

    def inputs(self) -> str:
        """A hash of every file that decides what the environment holds."""
        files = [*(self.root / 'requirements').rglob('*.txt'), *(self.root / 'requirements').glob('*.py'),
                 self.root / 'setup.py', self.root / 'pyproject.toml', self.root / 'mmxattn' / 'version.py']
        digest = hashlib.sha256(str(self.root).encode())
        for file in sorted(files):
            digest.update(f'{file.relative_to(self.root)}\n{hashlib.sha256(file.read_bytes()).hexdigest()}\n'.encode())
        return digest.hexdigest()

    def ready(self) -> bool:
        return self.python.exists() and self.stamp.exists() and self.stamp.read_text() == self.inputs()

    def made_from(self) -> dict:
        """The 'python', its 'prefix' and 'version' that the environment was made from; {} where there is none yet."""
        return json.loads(self.record.read_text()) if self.record.exists() else {}

    def pip(self, doing: str, *arguments, lock: int) -> None:
        name = doing.split()[-1].strip('.').replace('/', '-')
        run([self.python, '-m', 'pip', 'install', '--disable-pip-version-check', *arguments],
            self.folder / 'log' / f'{name}.log',
            lambda seconds: f'installing {doing}' + (f', {minutes(seconds)} so far' if seconds else ''), lock=lock)

    def remove(self) -> None:
        """Remove the folder; an interruption leaves no half of it behind that looks whole."""
        old = self.folder.with_name(f'{self.folder.name}.old')
        shutil.rmtree(old, ignore_errors=True)
        self.folder.rename(old)
        shutil.rmtree(old)

    def create(self, lock: int) -> None:
        """An empty environment that runs pip; where the parent has torch, it sees the parent's packages.

        A .pth file shows them, and not `--system-site-packages`: that one skips a parent that is an environment itself.
        """
        if self.folder.exists() and not self.record.exists():
            raise SetupError(f'{self.folder} exists and was not made by this set-up: move it away and try again.')
        self.folder.mkdir(exist_ok=True)
        parent = parent_packages()
        self.record.write_text(json.dumps(THIS_PYTHON))
        if not (self.python.exists() and _works(self.python, 'import pip')):
            if not _works(sys.executable, 'import ensurepip'):
                raise SetupError(f'{sys.executable} cannot make virtual environments: install its venv module, for '
                                 'instance with `apt-get install python3-venv`.')
            run([sys.executable, '-m', 'venv', self.folder], self.folder / 'log' / 'venv.log',
                lambda seconds: f'making a virtual environment in {self.folder}', lock=lock)
        if parent:
            (self.site_packages() / 'parent-packages.pth').write_text('\n'.join(parent) + '\n')

    def site_packages(self) -> Path:
        return next((self.folder / 'lib').glob('python3*')) / 'site-packages'

    def fill(self, lock: int) -> None:
        """Install everything, in an order in which what is likely to fail comes before the long compile."""
        if not _works(self.python, 'import torch'):
            self.pip(TORCH, TORCH, lock=lock)
        facts = probe(self.python)
        if [int(number) for number in facts['torch'].split('.')[:2]] < [2, 3]:
            raise SetupError(f'{THIS_PYTHON["python"]} has torch {facts["torch"]}, compiled against NumPy 1, and '
                             'this environment holds NumPy 2: name a Python with torch 2.3 or newer, or with none. '
                             'docs/compatibility.md says how to install beside an older torch by hand.')
        say(f'torch {facts["torch"]}, operators for the {"GPU" if facts["gpu_ops"] else "CPU"}')
        if stored_wheel(facts, self.stack.mmcv) is None:
            check_tools(facts)
        pin = self.folder / 'torch.txt'
        pin.write_text(f'torch=={facts["distribution"]}\n')  # whatever else is asked for, this torch stays
        here = self.root / 'requirements'
        self.pip('the toolboxes', '-r', here / 'environment' / f'{self.stack_name}.txt', '-c', pin, lock=lock)
        # mim declares opendatalab, which pins setuptools to 60.2 and which only `mim download --dataset` runs.
        self.pip(self.stack.mim, '--no-deps', self.stack.mim, lock=lock)
        self.pip('grad-cam', '--no-deps', '-r', here / 'environment' / 'no-deps.txt', lock=lock)
        self.lay_torchvision(facts['torch'], lock)
        self.lay_triton(lock)
        self.lay_headless_opencv(lock)
        wheel = mmcv_wheel(self.python, facts, self.stack.mmcv)
        if self.stack.mmcv.split('==')[1] != self._version(self.stack.mmcv) or not self._from(wheel):
            self.pip(self.stack.mmcv, '--no-deps', '--force-reinstall', wheel, lock=lock)
            (self.folder / 'mmcv-wheel').write_text(str(wheel))
        self.pip('mmxattn', '--no-deps', '--no-build-isolation', '--editable', self.root, lock=lock)
        self.show_to_mim()

    def lay_headless_opencv(self, lock: int) -> None:
        """Replace opencv-python's files by those of opencv-python-headless, the same without windows.

        mmengine asks for opencv-python, which does not import on a machine without libGL.
        """
        version = self._version('opencv-python')
        if self._version('opencv-python-headless') != version:
            self.pip('opencv-python-headless', '--no-deps', '--force-reinstall', f'opencv-python-headless=={version}',
                     lock=lock)

    def lay_torchvision(self, torch: str, lock: int) -> None:
        """Install the torchvision that belongs to this torch, where there is none; see that it imports.

        mmpretrain and timm import it, and use what of it is Python. Its compiled operators are for CUDA on PyPI and do
        not load beside a CPU build of torch; then the whole package refuses to be imported, for want of two names that
        it describes to torch. They are declared here, and whoever calls one is told that it has no kernel.
        """
        if _works(self.python, 'import torchvision'):
            return
        minor = int(torch.split('.')[1]) + 15  # torch 2.0 came with torchvision 0.15
        self.pip('torchvision', '--no-deps', f'torchvision==0.{minor}.*', lock=lock)
        file = self.site_packages() / 'torchvision' / 'extension.py'
        if file.exists() and not _works(self.python, 'import torchvision'):
            file.write_text(file.read_text() + DECLARE_OPERATORS)

    def lay_triton(self, lock: int) -> None:
        """Install Triton where torch, as a CPU build, has brought none: tests interpret the kernels with it."""
        if sys.platform == 'linux' and not _works(self.python, 'import triton'):
            self.pip(TRITON, '--no-deps', TRITON, lock=lock)

    def show_to_mim(self) -> None:
        """openmim looks for PACKAGE/.mim beside the package's metadata, where an editable install puts no package."""
        link = self.site_packages() / 'mmxattn'
        if not link.is_symlink():
            link.symlink_to(self.root / 'mmxattn', target_is_directory=True)

    def _version(self, requirement: str) -> str:
        name = requirement.split('==')[0]
        code = f'from importlib.metadata import version; print(version({name!r}))'
        return subprocess.run([str(self.python), '-c', code], capture_output=True, text=True).stdout.strip()

    def _from(self, wheel: Path) -> bool:
        note = self.folder / 'mmcv-wheel'
        return note.exists() and note.read_text() == str(wheel)

    def verify(self) -> None:
        """Import every toolbox and run an operator of mmcv; say the versions. Raises SetupError."""
        answer = subprocess.run([str(self.python), '-c', VERIFY], cwd=self.folder, capture_output=True, text=True)
        if answer.returncode:
            raise SetupError(f'the environment does not work:\n{answer.stderr.strip()}\n'
                             f'Remove {self.folder} and try again.')
        say(answer.stdout.strip().splitlines()[-1])


def parent_packages() -> list:
    """The package folders of the Python that runs this, where it has torch; [] where it has none."""
    if not _works(sys.executable, 'import torch'):
        return []
    return [folder for folder in sys.path if folder.endswith(('site-packages', 'dist-packages'))]


def _works(python, code: str) -> bool:
    return subprocess.run([str(python), '-c', code], capture_output=True).returncode == 0


def install(stack: str, rebuild: bool) -> None:
    """Bring the environment of ``stack`` up to date.

    An environment that was made from another Python stays as it is, unless ``rebuild`` asks for this one.
    """
    environment = Environment(stack)
    made_from = environment.made_from()
    other = bool(made_from) and any(made_from[key] != THIS_PYTHON[key] for key in ('prefix', 'version'))
    if environment.ready() and not (other and rebuild):
        return
    start = time.monotonic()
    with exclusive(ROOT / f'{environment.folder.name}.lock') as lock:
        if other and not rebuild and Path(made_from['python']).exists():
            say(f'{environment.folder} was made from {made_from["python"]} and stays with it')
            os.execv(made_from['python'], [made_from['python'], *sys.argv])
        elif other:
            say(f'{environment.folder} was made from {made_from["python"]}: making it anew from {sys.executable}')
            environment.remove()
        elif environment.ready():
            return
        inputs = environment.inputs()  # of now: a file that changes meanwhile makes the environment stale
        environment.stamp.unlink(missing_ok=True)
        environment.create(lock)
        environment.fill(lock)
        environment.verify()
        environment.stamp.write_text(inputs)
    say(f'{environment.folder} is ready after {minutes(time.monotonic() - start)}')


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument('--stack', choices=sorted(STACKS), default='openmmlab', help='the set of toolboxes')
    parser.add_argument('--rebuild-with-this-python', action='store_true',
                        help='replace an environment that was made from another Python')
    arguments = parser.parse_args()
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        if sys.version_info < (3, 10):  # noqa: UP036  (nothing has checked it before)
            raise SetupError(f'Python 3.10 or later is needed, {sys.executable} is {sys.version.split()[0]}: '
                             'name another one with `make ... PYTHON=python3.11`.')
        install(arguments.stack, arguments.rebuild_with_this_python)
    except SetupError as error:
        print(f'[mmxattn] {error}', file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print('[mmxattn] interrupted: run the same command again, it goes on from here', file=sys.stderr)
        return 130
    return 0


if __name__ == '__main__':
    sys.exit(main())
