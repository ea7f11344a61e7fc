"""Digit scenes for mmseg."""
from mmseg.datasets import BaseSegDataset

from ..registry import DATASETS
from .digit_scenes.writer import CLASSES, PALETTE, check_split, write


@DATASETS.register_module()
class DigitScenesSegDataset(BaseSegDataset):
    """Digit scenes as semantic segmentation: background and ten digits.

    The data is written at construction where it is absent.

    Args:
        split (str): 'train' or 'test'.
        scenes (dict, optional): Arguments of
            :func:`mmxattn.datasets.digit_scenes.write`.
        merge_digits (bool): Two classes, background and digit, instead of
            eleven. Which digit it is takes a segmentor far longer to learn
            than a detector, whose regions are aligned.
        **kwargs: What BaseSegDataset takes besides its paths and classes.

    Raises:
        ValueError: An unknown split, or a scene argument outside its range.
    """

    METAINFO = dict(
        classes=('background', ) + CLASSES,
        palette=[[0, 0, 0], *map(list, PALETTE)])
    MERGED = dict(
        classes=('background', 'digit'), palette=[[0, 0, 0], [255, 225, 25]])

    def __init__(self, split, scenes=None, merge_digits=False, **kwargs):
        check_split(split)
        super().__init__(
            data_root=write(**scenes or {}),
            data_prefix=dict(
                img_path=f'{split}/images', seg_map_path=f'{split}/labels'),
            img_suffix='.png',
            seg_map_suffix='.png',
            metainfo=self.MERGED if merge_digits else None,
            **kwargs)

    @classmethod
    def get_label_map(cls, new_classes=None):
        """Label in the file -> label; mmseg's own can drop classes only."""
        if tuple(new_classes or ()) == cls.MERGED['classes']:
            return {label: min(label, 1) for label in range(11)}
        return super().get_label_map(new_classes)
