"""Detect installed OpenMMLab toolboxes and report missing or conflicting ones."""
import re
from importlib import metadata
from importlib.util import find_spec

__all__ = ['check_stacks', 'check_torch', 'installed', 'placeholder', 'require']

# OpenMMLab's and OneDL's distributions provide the same import names and overwrite each other's files.
CONFLICTS = (('mmengine', 'onedl-mmengine'), ('mmcv', 'onedl-mmcv'), ('mmdet', 'onedl-mmdetection'),
             ('mmsegmentation', 'onedl-mmsegmentation'), ('mmpretrain', 'onedl-mmpretrain'))
OLDEST_TORCH = (2, 1)


def installed(*toolboxes: str) -> bool:
    """Check whether all packages with these import names ('mmengine', 'mmcv', 'mmdet', 'mmseg') are installed."""
    return all(find_spec(toolbox) for toolbox in toolboxes)


def _missing(component: str, toolboxes: tuple[str, ...]) -> ImportError:
    missing = ', '.join(toolbox for toolbox in toolboxes if not installed(toolbox))
    return ImportError(f"{component} requires {missing}, which is not installed. Run: pip install "
                       "'mmxattn[openmmlab]' (or 'mmxattn[onedl]').")


def require(component: str, *toolboxes: str) -> None:
    """Raise an ImportError with the command to install the toolboxes that ``component`` needs, if one is missing."""
    if not installed(*toolboxes):
        raise _missing(component, toolboxes)


def placeholder(name: str, *toolboxes: str) -> type:
    """Return a class that raises an ImportError on construction, to register in place of a component.

    Without it, a config would fail with mmengine's "NAME is not in the registry", which looks like a typo.
    """

    def __init__(self, *args, **kwargs):
        raise _missing(name, toolboxes)

    return type(name, (), dict(__init__=__init__, __doc__=f'Placeholder for {name}, which requires {toolboxes}.'))


def version_of(distribution: str) -> str | None:
    """Return the version of an installed distribution, or None if it is not installed."""
    try:
        return metadata.version(distribution)
    except metadata.PackageNotFoundError:
        return None


def check_torch() -> None:
    """Raise an ImportError if torch is older than 2.1."""
    version = version_of('torch')
    numbers = re.match(r'(\d+)\.(\d+)', version or '')
    if numbers and tuple(map(int, numbers.groups())) < OLDEST_TORCH:
        oldest = '.'.join(map(str, OLDEST_TORCH))
        raise ImportError(f"mmxattn requires torch>={oldest}, got {version}. Run: pip install 'torch>={oldest}', then "
                          'rebuild mmcv against it.')


def check_stacks() -> None:
    """Raise an ImportError if a toolbox is installed from both OpenMMLab and OneDL."""
    for pair in CONFLICTS:
        versions = [version_of(distribution) for distribution in pair]
        if all(versions):
            both = ' and '.join(f'{name} {version}' for name, version in zip(pair, versions))
            raise ImportError(f'{both} are both installed and overwrite each other. Run: pip uninstall -y '
                              f'{" ".join(pair)}, then reinstall one of them.')
