"""Installed distributions, read from the metadata of pip, and the toolbox stack they form."""
import platform
from collections.abc import Mapping
from dataclasses import dataclass
from importlib import metadata

__all__ = ['TOOLBOXES', 'Installed', 'in_range', 'read_installed']

# Import name: distributions of OpenMMLab, distributions of OneDL. Those of one line overwrite each other.
TOOLBOXES = {
    'mmengine': (('mmengine', 'mmengine-lite'), ('onedl-mmengine',)),
    'mmcv': (('mmcv', 'mmcv-full', 'mmcv-lite'), ('onedl-mmcv',)),
    'mmdet': (('mmdet',), ('onedl-mmdetection',)),
    'mmseg': (('mmsegmentation',), ('onedl-mmsegmentation',)),
    'mmpretrain': (('mmpretrain',), ('onedl-mmpretrain',)),
    'mim': (('openmim',), ('onedl-mim',)),
}
BASE = ('python', 'torch', 'torchvision', 'numpy')
OPTIONAL = ('timm', 'numba', 'triton', 'onnx', 'onnxruntime', 'mmxattn')


def parse_version(version: str) -> tuple[int, ...]:
    """Parse the release numbers of a version: '2.13.0+cpu' and '2.13' are (2, 13)."""
    numbers: list[int] = []
    for part in version.partition('+')[0].split('.'):
        digits = part[:len(part) - len(part.lstrip('0123456789'))]
        if not digits:
            break
        numbers.append(int(digits))
    while len(numbers) > 1 and numbers[-1] == 0:
        numbers.pop()
    return tuple(numbers)


def in_range(version: str, specifier: str) -> bool:
    """Check whether a version is in a range such as '>=2.6,<3'. An empty range contains all versions."""
    operators = {'>=': lambda a, b: a >= b, '<=': lambda a, b: a <= b, '==': lambda a, b: a == b,
                 '>': lambda a, b: a > b, '<': lambda a, b: a < b}
    for term in filter(None, specifier.split(',')):
        operator = next(operator for operator in operators if term.startswith(operator))
        if not operators[operator](parse_version(version), parse_version(term[len(operator):])):
            return False
    return True


@dataclass(frozen=True)
class Installed:
    """Installed distributions.

    Attributes:
        versions: Version by distribution name, in lower case with hyphens. Includes 'python'.
    """

    versions: Mapping[str, str]

    def toolbox(self, name: str) -> list[str]:
        """Return the installed distributions that provide an import name of TOOLBOXES. More than one is a conflict."""
        return [distribution for stack in TOOLBOXES[name] for distribution in stack if distribution in self.versions]

    @property
    def openmmlab(self) -> list[str]:
        """Installed distributions of OpenMMLab."""
        return [name for names, _ in TOOLBOXES.values() for name in names if name in self.versions]

    @property
    def onedl(self) -> list[str]:
        """Installed distributions of OneDL."""
        return [name for _, names in TOOLBOXES.values() for name in names if name in self.versions]

    @property
    def stack(self) -> str:
        """'OpenMMLab', 'OneDL', 'both' or 'none'."""
        if self.openmmlab and self.onedl:
            return 'both'
        return 'OpenMMLab' if self.openmmlab else 'OneDL' if self.onedl else 'none'

    def matches(self, ranges: Mapping[str, str]) -> bool:
        """Check whether all distributions are installed in the given ranges. The range '-' means not installed."""
        return all(name not in self.versions if specifier == '-' else
                   name in self.versions and in_range(self.versions[name], specifier)
                   for name, specifier in ranges.items())

    def table(self) -> dict[str, str]:
        """Return the version of each relevant package, with the distribution if its name differs."""
        rows = {name: self.versions.get(name, 'not installed') for name in BASE}
        for name in TOOLBOXES:
            found = [self.versions[own] + (f' ({own})' if own != name else '') for own in self.toolbox(name)]
            rows[name] = ' and '.join(found) or 'not installed'
        rows.update((name, self.versions.get(name, 'not installed')) for name in OPTIONAL)
        return rows


def read_installed() -> Installed:
    """Read the distributions of this Python. If there are duplicates, the one that is imported counts."""
    versions = {'python': platform.python_version()}
    for distribution in metadata.distributions():
        name = distribution.metadata['Name']
        if name:  # None for the leftovers of a broken uninstall
            versions.setdefault(name.lower().replace('_', '-').replace('.', '-'), distribution.version)
    return Installed(versions)
