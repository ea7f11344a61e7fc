"""Converters from the official layout of a dataset to the layout that the recipes read, one file per dataset."""
from collections.abc import Callable, Iterator

from . import cityscapes, exdark, flir, visdrone, voc
from .coco import ConvertedSplit

__all__ = ['CONVERTERS']

# Each converter takes (source, target, overwrite) and yields the splits as they are written.
CONVERTERS: dict[str, Callable[..., Iterator[ConvertedSplit]]] = dict(
    visdrone=visdrone.convert, exdark=exdark.convert, flir=flir.convert, voc=voc.convert, cityscapes=cityscapes.convert)
