"""Digit scenes for mmseg."""
from mmseg.datasets import BaseSegDataset

from mmxattn.registry import DATASETS

from .writer import CLASSES, PALETTE, check_split, write


@DATASETS.register_module()
class DigitScenesSegDataset(BaseSegDataset):
    """Digit scenes as semantic segmentation: background and ten digits.

    The data is written at construction where it is absent.

    Args:
        split (str): 'train' or 'test'.
        scenes (dict, optional): Arguments of
            :func:`mmxattn.datasets.digit_scenes.write`.
        **kwargs: What BaseSegDataset takes besides its paths.

    Raises:
        ValueError: An unknown split, or a scene argument outside its range.
    """

    METAINFO = dict(
        classes=('background', ) + CLASSES,
        palette=[[0, 0, 0], *map(list, PALETTE)])

    def __init__(self, split, scenes=None, **kwargs):
        check_split(split)
        super().__init__(
            data_root=write(**scenes or {}),
            data_prefix=dict(
                img_path=f'{split}/images', seg_map_path=f'{split}/labels'),
            img_suffix='.png',
            seg_map_suffix='.png',
            **kwargs)
