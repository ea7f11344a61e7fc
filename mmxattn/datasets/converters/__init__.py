"""From the layout that a data set's makers hand out to the one that the recipes read, one file a data set."""
from . import cityscapes, exdark, flir, visdrone, voc

__all__ = ['CONVERSIONS']

# name -> function of (source folder, target folder, overwrite) that yields each part when it is ready
CONVERSIONS = dict(visdrone=visdrone.prepare, exdark=exdark.prepare, flir=flir.prepare, voc=voc.prepare,
                   cityscapes=cityscapes.prepare)
