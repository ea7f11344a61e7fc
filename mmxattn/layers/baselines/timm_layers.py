"""Attention layers of timm, which is optional: it is imported when a part that needs one is built, never before."""
import importlib

__all__ = ['timm_layer']


def timm_layer(file: str, name: str) -> type:
    """The class ``timm.layers.FILE.NAME``.

    Raises:
        ImportError: timm is not installed, cannot be imported, or is older than that layer.
    """
    try:
        return getattr(importlib.import_module(f'timm.layers.{file}'), name)
    except Exception as error:  # a torchvision built for another torch, which timm imports, raises RuntimeError
        raise ImportError(f'{name} is a layer of timm, and cannot be had here ({error}): pip install -U timm, and a '
                          'torchvision that goes with the installed torch.') from error
