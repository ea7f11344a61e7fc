"""The embedded dataset for mmdet and mmseg; each class only where its toolbox is installed."""
from ..registry import DATASETS
from ..toolboxes import installed, stand_in

__all__ = ['DigitScenesDataset', 'DigitScenesSegDataset']

# `digit_scenes` is not imported here: `python -m` would then run it twice.
if installed('mmdet'):
    from .detection import DigitScenesDataset
else:
    DigitScenesDataset = stand_in('DigitScenesDataset', 'mmdet')
    DATASETS.register_module(module=DigitScenesDataset)

if installed('mmseg'):
    from .segmentation import DigitScenesSegDataset
else:
    DigitScenesSegDataset = stand_in('DigitScenesSegDataset', 'mmseg')
    DATASETS.register_module(module=DigitScenesSegDataset)
