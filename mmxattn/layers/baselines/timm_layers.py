"""Lazy import of timm's attention layers; timm is optional."""
import importlib

__all__ = ['timm_layer']


def timm_layer(module: str, name: str) -> type:
    """Return the class ``timm.layers.MODULE.NAME``.

    Raises:
        ImportError: If timm is not installed, too old, or fails to import.
    """
    try:
        return getattr(importlib.import_module(f'timm.layers.{module}'), name)
    except Exception as error:  # torchvision raises RuntimeError if it was built for another torch
        raise ImportError(f'{name} requires timm ({error}). Run: pip install -U timm, with a torchvision that matches '
                          'the installed torch.') from error
