"""What is installed, by the metadata that pip leaves, and which of the two stacks it makes."""
import platform
from collections.abc import Mapping
from dataclasses import dataclass
from importlib import metadata

__all__ = ['TOOLBOXES', 'Installed', 'holds', 'read']

# Import name -> the distributions that bring it, of OpenMMLab and of OneDL. Those of one line overwrite each other.
TOOLBOXES = {
    'mmengine': (('mmengine', 'mmengine-lite'), ('onedl-mmengine',)),
    'mmcv': (('mmcv', 'mmcv-full', 'mmcv-lite'), ('onedl-mmcv',)),
    'mmdet': (('mmdet',), ('onedl-mmdetection',)),
    'mmseg': (('mmsegmentation',), ('onedl-mmsegmentation',)),
    'mmpretrain': (('mmpretrain',), ('onedl-mmpretrain',)),
    'mim': (('openmim',), ('onedl-mim',)),
}
BESIDE = ('torch', 'torchvision', 'numpy', 'timm', 'numba', 'triton', 'onnx', 'onnxruntime', 'mmxattn')


def numbers(version: str) -> tuple[int, ...]:
    """(2, 13, 0) of '2.13.0+cpu': the leading number of each part, up to the first part that has none."""
    found: list[int] = []
    for part in version.partition('+')[0].split('.'):
        digits = part[:len(part) - len(part.lstrip('0123456789'))]
        if not digits:
            break
        found.append(int(digits))
    while len(found) > 1 and found[-1] == 0:  # 2.0 is 2
        found.pop()
    return tuple(found)


def holds(version: str, wanted: str) -> bool:
    """Whether ``version`` is in a range such as '>=2.6,<3'; '' is any version."""
    ordered = {'>=': lambda a, b: a >= b, '<=': lambda a, b: a <= b, '==': lambda a, b: a == b,
               '>': lambda a, b: a > b, '<': lambda a, b: a < b}
    for term in filter(None, wanted.split(',')):
        sign = next(sign for sign in ordered if term.startswith(sign))
        if not ordered[sign](numbers(version), numbers(term[len(sign):])):
            return False
    return True


@dataclass(frozen=True)
class Installed:
    """Distributions and their versions.

    Attributes:
        versions: version by distribution name, lower case with hyphens; 'python' is one of them.
    """

    versions: Mapping[str, str]

    def toolbox(self, name: str) -> list[str]:
        """The distributions that are there of an import name of TOOLBOXES; more than one is a fault."""
        return [distribution for stack in TOOLBOXES[name] for distribution in stack if distribution in self.versions]

    @property
    def of_openmmlab(self) -> list[str]:
        """The distributions of OpenMMLab that are there."""
        return self._of_stack(0)

    @property
    def of_onedl(self) -> list[str]:
        """The distributions of OneDL that are there."""
        return self._of_stack(1)

    def _of_stack(self, which: int) -> list[str]:
        return [name for stacks in TOOLBOXES.values() for name in stacks[which] if name in self.versions]

    @property
    def stack(self) -> str:
        """'OpenMMLab', 'OneDL', 'both' or 'none'."""
        return {(True, True): 'both', (True, False): 'OpenMMLab', (False, True): 'OneDL',
                (False, False): 'none'}[bool(self.of_openmmlab), bool(self.of_onedl)]

    def matches(self, ranges: Mapping[str, str]) -> bool:
        """Whether each distribution of ``ranges`` is there in its range; '-' is one that is not there."""
        return all(name not in self.versions if wanted == '-' else
                   name in self.versions and holds(self.versions[name], wanted) for name, wanted in ranges.items())

    def table(self) -> dict[str, str]:
        """Each package that counts -> its version, with the distribution where its name is another, or 'not there'."""
        rows = {'python': self.versions.get('python', 'not there')}
        for name in BESIDE[:3]:
            rows[name] = self.versions.get(name, 'not there')
        for name in TOOLBOXES:
            found = self.toolbox(name)
            rows[name] = ' and '.join(self.versions[own] + (f' ({own})' if own != name else '') for own in found) \
                or 'not there'
        rows.update((name, self.versions.get(name, 'not there')) for name in BESIDE[3:])
        return rows


def read() -> Installed:
    """What this Python has; where a distribution is there twice, the one that is imported."""
    versions = {'python': platform.python_version()}
    for distribution in metadata.distributions():
        name = distribution.metadata['Name']
        if name:  # a folder that a broken uninstall left has none
            versions.setdefault(name.lower().replace('_', '-').replace('.', '-'), distribution.version)
    return Installed(versions)
