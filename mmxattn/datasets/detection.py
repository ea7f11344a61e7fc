"""Datasets for mmdet: digit scenes, and the papers' datasets after ``mim run mmxattn prepare_dataset``."""
from typing import Any

from mmdet.datasets import CocoDataset

from ..registry import DATASETS
from . import sources
from .converters import exdark, flir, visdrone, voc
from .digit_scenes import CLASSES, PALETTE, check_split, write

__all__ = ['DigitScenesDataset', 'ExDarkDataset', 'FLIRADASDataset', 'VOCCocoDataset', 'VisDroneDataset']


@DATASETS.register_module()
class DigitScenesDataset(CocoDataset):
    """Digit scenes as a COCO dataset with ten classes, boxes and masks.

    The images are generated when the dataset is first built.

    Args:
        split: ``'train'`` or ``'test'``.
        scenes: Arguments of :func:`mmxattn.datasets.digit_scenes.write`.
        **kwargs: Arguments of CocoDataset, except paths.

    Raises:
        ValueError: If the split is unknown or an argument in ``scenes`` is out of range.
    """

    METAINFO = dict(classes=CLASSES, palette=list(PALETTE))

    def __init__(self, split: str, scenes: dict[str, Any] | None = None, **kwargs: Any) -> None:
        check_split(split)
        super().__init__(
            data_root=write(**scenes or {}),
            ann_file=f'{split}.json',
            data_prefix=dict(img=f'{split}/images/', seg=f'{split}/labels/'),
            **kwargs)


class ConvertedDataset(CocoDataset):
    """COCO dataset that raises an error with the download page if files are missing.

    Takes the arguments of CocoDataset.

    Raises:
        DatasetNotFoundError: If the annotation file or the image folder is missing.
    """

    SOURCE: sources.DatasetSource

    def load_data_list(self) -> list[dict]:
        if sources.reads_local_files(self):
            self.SOURCE.check(self.ann_file, self.data_prefix['img'])
        return super().load_data_list()


@DATASETS.register_module()
class VisDroneDataset(ConvertedDataset):
    """VisDrone2019-DET: ten classes, drone images. Ignored regions are crowds of every class."""

    SOURCE = sources.VISDRONE
    METAINFO = dict(classes=visdrone.CLASSES)


@DATASETS.register_module()
class ExDarkDataset(ConvertedDataset):
    """ExDark: twelve classes in low light."""

    SOURCE = sources.EXDARK
    METAINFO = dict(classes=exdark.CLASSES)


@DATASETS.register_module()
class FLIRADASDataset(ConvertedDataset):
    """Thermal images of FLIR ADAS v2: the 15 classes with annotations."""

    SOURCE = sources.FLIR
    METAINFO = dict(classes=flir.CLASSES)


@DATASETS.register_module()
class VOCCocoDataset(ConvertedDataset):
    """Pascal VOC 2007 and 2012 in COCO format, evaluated with COCO's average precision."""

    SOURCE = sources.VOC
    METAINFO = dict(classes=voc.CLASSES)
