"""Where the papers' data sets come from, and what to say where one is missing."""
import functools
from dataclasses import dataclass
from pathlib import Path
from typing import Any

__all__ = [
    'CITYSCAPES', 'EXDARK', 'FLIR', 'IMAGENET', 'SOURCES', 'VISDRONE', 'VOC', 'MissingData', 'Source',
    'tell_if_missing', 'train_id_maps'
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
SOURCES = {source.name: source for source in (VISDRONE, EXDARK, FLIR, VOC, CITYSCAPES)}


def tell_if_missing(dataset: type[Any], source: Source, needed) -> None:
    """Let a toolbox's own data set say where its data comes from, before it looks for it.

    Args:
        dataset: the class; what is derived from it stays as it is, for its data is another.
        source: of its data.
        needed: function of an instance that gives the paths that must be there.
    """
    load = dataset.load_data_list

    @functools.wraps(load)
    def load_data_list(self):
        if type(self) is dataset:
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
