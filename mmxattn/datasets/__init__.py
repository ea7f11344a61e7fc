"""Datasets for mmdet and mmseg: digit scenes, and the papers' datasets as converted by ``prepare_dataset``."""
from ..registry import DATASETS
from ..utils.toolboxes import installed, placeholder
from .download_hints import add_mmdet_hints, add_mmpretrain_hints, add_mmseg_hints

__all__ = []

if installed('mmdet'):
    from .detection import DigitScenesDataset, ExDarkDataset, FLIRADASDataset, VisDroneDataset, VOCCocoDataset
    __all__ += ['DigitScenesDataset', 'ExDarkDataset', 'FLIRADASDataset', 'VOCCocoDataset', 'VisDroneDataset']
    add_mmdet_hints()
else:
    for name in ('DigitScenesDataset', 'ExDarkDataset', 'FLIRADASDataset', 'VOCCocoDataset', 'VisDroneDataset'):
        DATASETS.register_module(name=name, module=placeholder(name, 'mmdet'))

if installed('mmseg'):
    from .segmentation import DigitScenesSegDataset
    __all__ += ['DigitScenesSegDataset']
    add_mmseg_hints()
else:
    DATASETS.register_module(name='DigitScenesSegDataset', module=placeholder('DigitScenesSegDataset', 'mmseg'))

add_mmpretrain_hints()
