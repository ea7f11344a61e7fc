"""Digit scenes for mmdet."""
from mmdet.datasets import CocoDataset

from ..registry import DATASETS
from .digit_scenes.writer import CLASSES, PALETTE, check_split, write


@DATASETS.register_module()
class DigitScenesDataset(CocoDataset):
    """Digit scenes as a COCO dataset: ten classes, boxes and masks.

    The data is written at construction where it is absent.

    Args:
        split (str): 'train' or 'test'.
        scenes (dict, optional): Arguments of
            :func:`mmxattn.datasets.digit_scenes.write`.
        **kwargs: What CocoDataset takes besides its paths.

    Raises:
        ValueError: An unknown split, or a scene argument outside its range.
    """

    METAINFO = dict(classes=CLASSES, palette=list(PALETTE))

    def __init__(self, split, scenes=None, **kwargs):
        check_split(split)
        super().__init__(
            data_root=write(**scenes or {}),
            ann_file=f'{split}.json',
            data_prefix=dict(img=f'{split}/images/', seg=f'{split}/labels/'),
            **kwargs)
