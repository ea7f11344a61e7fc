"""Imports of packages that the ``demo`` extra installs."""
import importlib
from types import ModuleType

__all__ = ['import_extra']


def import_extra(module: str, package: str, feature: str) -> ModuleType:
    """Import a module, or raise an error with the command that installs it.

    Args:
        module: Module to import, such as ``'PIL.Image'``.
        package: Name of the package on PyPI.
        feature: Feature that needs the package, for the error message.

    Returns:
        The module.

    Raises:
        ImportError: If the module cannot be imported.
    """
    try:
        return importlib.import_module(module)
    except ImportError as error:
        raise ImportError(f"{feature} requires {package}. Run: pip install 'mmxattn[demo]'") from error
