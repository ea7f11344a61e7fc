"""The embedded dataset and the papers' datasets, for mmdet and mmseg; each class only where its toolbox is there."""
from ..registry import DATASETS
from ..utils.toolboxes import installed, stand_in
from . import stock

__all__ = []

# `digit_scenes` is not imported here: `python -m` would then run it twice.
if installed('mmdet'):
    from .detection import DigitScenesDataset
    from .prepared import ExDarkDataset, FLIRADASDataset, VisDroneDataset, VOCCocoDataset
    __all__ += ['DigitScenesDataset', 'ExDarkDataset', 'FLIRADASDataset', 'VOCCocoDataset', 'VisDroneDataset']
    stock.tell_of_mmdet()
else:
    for name in ('DigitScenesDataset', 'ExDarkDataset', 'FLIRADASDataset', 'VOCCocoDataset', 'VisDroneDataset'):
        DATASETS.register_module(name=name, module=stand_in(name, 'mmdet'))

if installed('mmseg'):
    from .segmentation import DigitScenesSegDataset
    __all__ += ['DigitScenesSegDataset']
    stock.tell_of_mmseg()
else:
    DATASETS.register_module(name='DigitScenesSegDataset', module=stand_in('DigitScenesSegDataset', 'mmseg'))

stock.tell_of_mmpretrain()
