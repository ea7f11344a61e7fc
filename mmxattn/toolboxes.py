"""Which toolboxes are installed, and what to say of one that is not."""
from importlib.util import find_spec

__all__ = ['installed', 'require', 'stand_in']


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
