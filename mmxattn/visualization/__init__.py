"""Visualize models: effective receptive fields, class activation maps, feature maps, and predictions side by side.

Functions take built models with loaded weights, and batches of a test data loader:
``dict(inputs=[uint8 tensor (3, H, W), ...], data_samples=[...])``. They neither write files nor print.
"""

from collections.abc import Callable, Sequence
from pathlib import Path

from mmengine.config import Config
from mmengine.model import BaseModel
from mmengine.registry import DATASETS, init_default_scope

from ..utils.config import test_dataset_cfg
from .cam import cam
from .erf import erf
from .feature_maps import activation_maps, attention_modules, modulation_maps
from .hooks import split_batches
from .sections import SECTIONS, Inputs, Picture, Section
from .side_by_side import compare_detections, compare_segmentations

__all__ = ['Picture', 'Section', 'activation_maps', 'attention_modules', 'cam', 'class_meta', 'compare_detections',
           'compare_segmentations', 'erf', 'modulation_maps', 'visualize']


def visualize(models: Sequence[BaseModel],
              cfgs: Sequence[Config],
              batches: Sequence[dict],
              names: Sequence[str] | None = None,
              num_images: int = 4,
              num_erf_images: int = 16,
              score_thr: float = 0.5,
              iou_thr: float = 0.5,
              log: Callable[[str], object] | None = None) -> list[Section]:
    """Create all visualizations of two or more models on the same images.

    Args:
        models: Detectors or segmentors, the baseline first.
        cfgs: Recipe of each model. Class names are taken from the first.
        batches: Batches of a test data loader with ground truth.
        names: Display name of each model. Default: names of the config files.
        num_images: Number of images to draw.
        num_erf_images: Number of images to average the effective receptive field over.
        score_thr: Minimum score of a detection.
        iou_thr: Minimum intersection over union of a true positive.
        log: Callback that receives the title of each finished section.

    Returns:
        Sections. Visualizations that a model does not support are listed in the ``problems`` of their section.

    Raises:
        ValueError: If the numbers of models, recipes and names differ, names are not unique, or there are no images.
    """
    names = names or [Path(cfg.filename).stem for cfg in cfgs]
    if not len(models) == len(cfgs) == len(names) == len(set(names)):
        raise ValueError(f'models, cfgs and names must have the same length and names must be unique, got '
                         f'{len(models)} models, {len(cfgs)} cfgs and the names {names}.')
    images = split_batches(batches, max(num_images, num_erf_images))
    if not images:
        raise ValueError('batches must contain at least one image, got none.')
    classes, palette = class_meta(cfgs[0])
    inputs = Inputs(dict(zip(names, models)), images[:num_images], images[:num_erf_images], classes, palette,
                    score_thr, iou_thr)
    sections = []
    for create in SECTIONS:
        section = create(inputs)
        if section is not None:
            sections.append(section)
            if log:
                log(section.title)
    return sections


def class_meta(cfg: Config) -> tuple[Sequence[str] | None, Sequence | None]:
    """Get names and RGB colors of the classes from the test dataset of a recipe, without reading the data.

    Args:
        cfg: Recipe.

    Returns:
        Names and colors, each None if the dataset does not define them.
    """
    init_default_scope(cfg.get('default_scope', 'mmengine'))
    try:
        meta = DATASETS.build(dict(test_dataset_cfg(cfg), lazy_init=True)).metainfo
    except Exception:  # a dataset can raise anything; pictures then show class indices
        meta = {}
    return meta.get('classes'), meta.get('palette')
