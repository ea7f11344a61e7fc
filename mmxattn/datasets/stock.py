"""The toolboxes' own data sets tell where to get what recipes here read with them, not just which path is missing.

CocoDataset, CocoPanopticDataset and BaseSegDataset read anybody's data: they tell only of what is where the recipes
look for it.
"""
import contextlib
from pathlib import Path
from typing import Any

from . import sources

__all__ = ['tell_of_mmdet', 'tell_of_mmpretrain', 'tell_of_mmseg']

BCCD_CLASSES = ('RBC', 'WBC', 'Platelets')
CAMVID_CLASSES = ('Sky', 'Building', 'Pole', 'Road', 'Pavement', 'Tree', 'SignSymbol', 'Fence', 'Car', 'Pedestrian',
                  'Bicyclist')


def folders(dataset: Any) -> list[str]:
    """The folders of images and labels that a data set has."""
    return [folder for folder in dataset.data_prefix.values() if folder]


def coco_2017(dataset: Any) -> list[str]:
    """What a data set in COCO's format needs where folder and list are COCO's own, else nothing."""
    needed = [dataset.ann_file, *folders(dataset)]
    return needed if sources.COCO.holds(*needed) and Path(dataset.ann_file).stem.endswith('2017') else []


def bccd(dataset: Any) -> list[str]:
    """What a data set in COCO's format needs where the folder is BCCD's, else nothing."""
    needed = [dataset.ann_file, *folders(dataset)]
    return needed if sources.BCCD.holds(*needed) else []


def camvid(dataset: Any) -> list[str]:
    """What mmseg's plain data set needs where the folder is CamVid's, else nothing."""
    return folders(dataset) if sources.CAMVID.holds(*folders(dataset)) else []


def tell_of_mmdet() -> None:
    """Let VOCDataset tell of VOC, CocoDataset and CocoPanopticDataset of COCO 2017, CocoDataset of the demo's BCCD."""
    from mmdet.datasets import CocoDataset, CocoPanopticDataset, VOCDataset
    sources.tell_if_missing(VOCDataset, sources.VOC, lambda self: [self.ann_file])
    sources.tell_if_missing(CocoDataset, sources.COCO, coco_2017)
    sources.tell_if_missing(CocoPanopticDataset, sources.COCO, coco_2017)
    sources.tell_if_missing(CocoDataset, sources.BCCD, bccd, classes=BCCD_CLASSES)


def tell_of_mmseg() -> None:
    """Let CityscapesDataset and ADE20KDataset tell of theirs, and BaseSegDataset of the demo's CamVid."""
    from mmseg.datasets import ADE20KDataset, BaseSegDataset, CityscapesDataset
    sources.tell_if_missing(CityscapesDataset, sources.CITYSCAPES, sources.train_id_maps)
    sources.tell_if_missing(ADE20KDataset, sources.ADE20K, folders)
    sources.tell_if_missing(BaseSegDataset, sources.CAMVID, camvid, classes=CAMVID_CLASSES)


def tell_of_mmpretrain() -> None:
    """Let ImageNet tell of ImageNet-1K. mmpretrain is optional, and one that does not import concerns its own users."""
    with contextlib.suppress(ImportError):
        from mmpretrain.datasets import ImageNet
        sources.tell_if_missing(ImageNet, sources.IMAGENET, lambda self: [self.img_prefix])
