"""The papers' data sets for mmdet, as ``prepare_dataset`` makes them ready."""
from mmdet.datasets import CocoDataset

from ..registry import DATASETS
from . import sources
from .converters import exdark, flir, visdrone, voc

__all__ = ['ExDarkDataset', 'FLIRADASDataset', 'VOCCocoDataset', 'VisDroneDataset']


class PreparedDataset(CocoDataset):
    """A COCO data set that says where its data comes from and what makes it ready, where that is not there.

    Takes CocoDataset's arguments.

    Raises:
        MissingData: the annotation file or the folder of images is missing.
    """

    SOURCE: sources.Source

    def load_data_list(self) -> list[dict]:
        if sources.on_disk(self):
            self.SOURCE.check(self.ann_file, self.data_prefix['img'])
        return super().load_data_list()


@DATASETS.register_module()
class VisDroneDataset(PreparedDataset):
    """VisDrone2019-DET: ten classes, seen from drones; its ignored regions are crowds of every class."""

    SOURCE = sources.VISDRONE
    METAINFO = dict(classes=visdrone.CLASSES)


@DATASETS.register_module()
class ExDarkDataset(PreparedDataset):
    """ExDark: twelve classes in low light."""

    SOURCE = sources.EXDARK
    METAINFO = dict(classes=exdark.CLASSES)


@DATASETS.register_module()
class FLIRADASDataset(PreparedDataset):
    """FLIR ADAS v2, thermal images: the 15 classes that are annotated there."""

    SOURCE = sources.FLIR
    METAINFO = dict(classes=flir.CLASSES)


@DATASETS.register_module()
class VOCCocoDataset(PreparedDataset):
    """Pascal VOC 2007 and 2012 in COCO's format, for COCO's average precision."""

    SOURCE = sources.VOC
    METAINFO = dict(classes=voc.CLASSES)
