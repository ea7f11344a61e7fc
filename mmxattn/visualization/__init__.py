"""What models look at: effective receptive fields, class activation maps, activations around a part, and results.

Every function takes built models, their weights loaded by the caller, and batches as a test data loader gives them:
``dict(inputs=[uint8 tensor (3, H, W), ...], data_samples=[...])``. Nothing is written and nothing is printed.
"""

from dataclasses import dataclass
from pathlib import Path

from mmengine.registry import DATASETS, init_default_scope

from ..utils.config import test_dataset_cfg
from . import sections
from .cam import cam
from .erf import erf
from .feature_maps import activation_maps, modulation_maps, parts
from .hooks import single_images
from .sections import Picture, Section
from .side_by_side import detections, segmentations

__all__ = ['Looks', 'Picture', 'Section', 'activation_maps', 'cam', 'class_meta', 'detections', 'erf', 'look',
           'modulation_maps', 'parts', 'segmentations']


@dataclass
class Looks:
    """What two or more models look at, for a report to go through.

    Attributes:
        sections: :class:`Section`, each with a title, a caption, pictures, numbers and problems.
    """

    sections: list

    def numbers(self):
        """All but the pictures, as :mod:`json` takes it: title -> caption, numbers, problems, captions of pictures."""
        return {section.title: dict(caption=section.caption, numbers=section.numbers, problems=section.problems,
                                    pictures=[picture.caption for picture in section.pictures])
                for section in self.sections}


def look(models, cfgs, batches, names=None, number=4, average=16, score_thr=0.5, iou_thr=0.5, say=None):
    """All there is to look at in two or more models on the same images.

    Args:
        models (list[mmengine.model.BaseModel]): Detectors or segmentors, the stock one first by custom.
        cfgs (list[mmengine.config.Config]): Their recipes; the first tells the names of classes.
        batches (list[dict]): Batches of a test data loader with ground truth.
        names (list[str], optional): What to call the models. By default their config files' names.
        number (int): How many images to make pictures of.
        average (int): Over how many images to average the effective receptive field.
        score_thr (float): Detections with lower scores are left out.
        iou_thr (float): Intersection over union from which on a detection is right.
        say (Callable[[str], object], optional): Is told the title of each section once it is made.

    Returns:
        Looks: The sections. What a model's family does not allow is a sentence in its section's ``problems``.

    Raises:
        ValueError: As many models, recipes and names are not given, names that are not different, or no images.
    """
    names = names or [Path(cfg.filename).stem for cfg in cfgs]
    if not len(models) == len(cfgs) == len(names) == len(set(names)):
        raise ValueError(f'{len(models)} models, {len(cfgs)} recipes and the names {names} do not belong together: '
                         f'give as many of each, and different names.')
    singles = single_images(batches, max(number, average))
    if not singles:
        raise ValueError('The batches hold no images to look at.')
    classes, palette = class_meta(cfgs[0])
    scene = sections.Scene(dict(zip(names, models)), singles[:number], singles[:average], classes, palette, score_thr,
                           iou_thr)
    made = []
    for make in sections.ALL:
        section = make(scene)
        if section is not None:
            made.append(section)
            if say:
                say(section.title)
    return Looks(made)


def class_meta(cfg):
    """Names and colours of a recipe's classes, from its test data set; no data is read.

    Args:
        cfg (mmengine.config.Config): The recipe.

    Returns:
        tuple: Sequence of names or None; sequence of (red, green, blue) or None.
    """
    init_default_scope(cfg.get('default_scope', 'mmengine'))
    try:
        meta = DATASETS.build(dict(test_dataset_cfg(cfg), lazy_init=True)).metainfo
    except Exception:  # a data set may need anything; pictures then show the classes' numbers
        meta = {}
    return meta.get('classes'), meta.get('palette')
