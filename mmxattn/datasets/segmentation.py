"""Digit scenes for mmseg."""
from collections.abc import Sequence
from typing import Any

from mmseg.datasets import BaseSegDataset

from ..registry import DATASETS
from .digit_scenes import CLASSES, PALETTE, check_split, write

__all__ = ['DigitScenesSegDataset']


@DATASETS.register_module()
class DigitScenesSegDataset(BaseSegDataset):
    """Digit scenes as semantic segmentation: background and ten digits.

    The images are generated when the dataset is first built.

    Args:
        split: ``'train'`` or ``'test'``.
        scenes: Arguments of :func:`mmxattn.datasets.digit_scenes.write`.
        merge_digits: Use two classes, background and digit, instead of eleven. A segmentor takes much longer to learn
            to distinguish digits than a detector, whose features are aligned to regions.
        **kwargs: Arguments of BaseSegDataset, except paths and classes.

    Raises:
        ValueError: If the split is unknown or an argument in ``scenes`` is out of range.
    """

    METAINFO = dict(classes=('background', *CLASSES), palette=[[0, 0, 0], *map(list, PALETTE)])
    MERGED = dict(classes=('background', 'digit'), palette=[[0, 0, 0], [255, 225, 25]])

    def __init__(self, split: str, scenes: dict[str, Any] | None = None, merge_digits: bool = False,
                 **kwargs: Any) -> None:
        check_split(split)
        super().__init__(
            data_root=write(**scenes or {}),
            data_prefix=dict(img_path=f'{split}/images', seg_map_path=f'{split}/labels'),
            img_suffix='.png',
            seg_map_suffix='.png',
            metainfo=self.MERGED if merge_digits else None,
            **kwargs)

    @classmethod
    def get_label_map(cls, new_classes: Sequence[str] | None = None) -> dict[int, int] | None:
        """Map labels in the files to labels of ``new_classes``; mmseg's own version cannot merge classes."""
        if tuple(new_classes or ()) == cls.MERGED['classes']:
            return {label: min(label, 1) for label in range(11)}
        return super().get_label_map(new_classes)
