"""Download hints for the toolboxes' dataset classes.

CocoDataset, CocoPanopticDataset and BaseSegDataset also read custom data, so they report a source only for files in the
folders that the recipes use.
"""
import contextlib
from pathlib import Path
from typing import Any

from . import sources
from .sources import check_before_loading

__all__ = ['add_mmdet_hints', 'add_mmpretrain_hints', 'add_mmseg_hints']

BCCD_CLASSES = ('RBC', 'WBC', 'Platelets')
CAMVID_CLASSES = ('Sky', 'Building', 'Pole', 'Road', 'Pavement', 'Tree', 'SignSymbol', 'Fence', 'Car', 'Pedestrian',
                  'Bicyclist')


def add_mmdet_hints() -> None:
    """Add download hints to VOCDataset, CocoDataset and CocoPanopticDataset."""
    from mmdet.datasets import CocoDataset, CocoPanopticDataset, VOCDataset
    check_before_loading(VOCDataset, sources.VOC, lambda dataset: [dataset.ann_file])
    check_before_loading(CocoDataset, sources.COCO, _coco_2017_paths)
    check_before_loading(CocoPanopticDataset, sources.COCO, _coco_2017_paths)
    check_before_loading(CocoDataset, sources.BCCD, _bccd_paths, classes=BCCD_CLASSES)


def add_mmseg_hints() -> None:
    """Add download hints to CityscapesDataset, ADE20KDataset and BaseSegDataset (CamVid)."""
    from mmseg.datasets import ADE20KDataset, BaseSegDataset, CityscapesDataset
    check_before_loading(CityscapesDataset, sources.CITYSCAPES, _cityscapes_paths)
    check_before_loading(ADE20KDataset, sources.ADE20K, _folders)
    check_before_loading(BaseSegDataset, sources.CAMVID, _camvid_paths, classes=CAMVID_CLASSES)


def add_mmpretrain_hints() -> None:
    """Add a download hint to mmpretrain's ImageNet; do nothing if mmpretrain cannot be imported."""
    with contextlib.suppress(ImportError):
        from mmpretrain.datasets import ImageNet
        check_before_loading(ImageNet, sources.IMAGENET, lambda dataset: [dataset.img_prefix])


def _folders(dataset: Any) -> list[str]:
    """Return the image and label folders of a dataset."""
    return [folder for folder in dataset.data_prefix.values() if folder]


def _coco_2017_paths(dataset: Any) -> list[str]:
    """Return the paths of a COCO dataset if it reads COCO 2017, else an empty list."""
    paths = [dataset.ann_file, *_folders(dataset)]
    return paths if sources.COCO.contains(*paths) and Path(dataset.ann_file).stem.endswith('2017') else []


def _bccd_paths(dataset: Any) -> list[str]:
    """Return the paths of a COCO dataset if it reads BCCD, else an empty list."""
    paths = [dataset.ann_file, *_folders(dataset)]
    return paths if sources.BCCD.contains(*paths) else []


def _camvid_paths(dataset: Any) -> list[str]:
    """Return the paths of a segmentation dataset if it reads CamVid, else an empty list."""
    return _folders(dataset) if sources.CAMVID.contains(*_folders(dataset)) else []


def _cityscapes_paths(dataset: Any) -> list[str | Path]:
    """Return the folders of a CityscapesDataset and the path of one map of train ids, which prepare_dataset creates."""
    paths: list[str | Path] = [*_folders(dataset)]
    labels = dataset.data_prefix.get('seg_map_path')
    if labels:
        pattern = f'*{dataset.seg_map_suffix}'
        paths.append(next(Path(labels).rglob(pattern), f'{labels}/CITY/{pattern}'))
    return paths
