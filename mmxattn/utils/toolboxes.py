"""Which toolboxes are installed, and what to say of one that is not, or that is there twice."""
import re
from importlib import metadata
from importlib.util import find_spec

__all__ = ['check_stacks', 'check_torch', 'installed', 'require', 'stand_in']

# Distributions that bring the same import name, and so overwrite each other's files: OpenMMLab's, and OneDL's.
SAME_NAME = (('mmengine', 'onedl-mmengine'), ('mmcv', 'onedl-mmcv'), ('mmdet', 'onedl-mmdetection'),
             ('mmsegmentation', 'onedl-mmsegmentation'), ('mmpretrain', 'onedl-mmpretrain'))
OLDEST_TORCH = (2, 1)


def installed(*toolboxes: str) -> bool:
    """Whether all of the given packages (import names: 'mmengine', 'mmcv', 'mmdet', 'mmseg') are there."""
    return all(find_spec(toolbox) for toolbox in toolboxes)


def _advice(what: str, toolboxes) -> str:
    missing = ', '.join(toolbox for toolbox in toolboxes if not installed(toolbox))
    return f"{what} needs {missing}, not installed here: pip install 'mmxattn[openmmlab]' (or 'mmxattn[onedl]')."


def require(what: str, *toolboxes: str) -> None:
    """Raise one ImportError that names what is missing for ``what`` and the command that installs it."""
    if not installed(*toolboxes):
        raise ImportError(_advice(what, toolboxes))


def stand_in(name: str, *toolboxes: str) -> type:
    """A class to register in the place of ``name`` where a toolbox is missing: building it says so.

    Without it a config would end in mmengine's "NAME is not in the registry", which reads like a typing error.
    """

    def __init__(self, *args, **kwargs):
        raise ImportError(_advice(name, toolboxes))

    return type(name, (), dict(__init__=__init__, __doc__=f'Stands for {name} until {toolboxes} are installed.'))


def version_of(distribution: str) -> str | None:
    """The version of an installed distribution, by pip's metadata; None where there is none."""
    try:
        return metadata.version(distribution)
    except metadata.PackageNotFoundError:
        return None


def check_torch() -> None:
    """Raise one ImportError where torch is older than the layers are written for."""
    version = version_of('torch')
    numbers = re.match(r'(\d+)\.(\d+)', version or '')
    if numbers and tuple(map(int, numbers.groups())) < OLDEST_TORCH:
        oldest = '.'.join(map(str, OLDEST_TORCH))
        raise ImportError(f'mmxattn needs torch {oldest} or newer, and this is {version}: pip install '
                          f"'torch>={oldest}', and compile mmcv anew against it.")


def check_stacks() -> None:
    """Raise one ImportError where a toolbox of OpenMMLab is installed and its OneDL fork over it."""
    for pair in SAME_NAME:
        versions = [version_of(distribution) for distribution in pair]
        if all(versions):
            both = ' and '.join(f'{name} {version}' for name, version in zip(pair, versions))
            raise ImportError(f'{both} are both installed, and have overwritten files of each other: pip uninstall -y '
                              f'{" ".join(pair)}, and install the one that you want again.')
