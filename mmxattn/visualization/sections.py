"""Sections of the visualization: captioned pictures and statistics. Failures are reported in the section."""

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

import numpy as np
from mmengine.model import BaseModel
from PIL import Image

from .cam import cam
from .erf import erf
from .feature_maps import activation_maps, attention_modules, fine_modules, modulation_maps
from .ground_truth import class_of_interest, energy_inside, ground_truth_mask
from .images import colorbar, grid, overlay, resize_for_display, thumbnail, to_rgb
from .side_by_side import compare_detections, compare_segmentations

MAX_MODULES = 4  # shown per model, evenly spaced if it has more


@dataclass
class Picture:
    """Picture with a caption."""

    caption: str
    image: Image.Image


@dataclass
class Section:
    """One visualization of several models.

    Attributes:
        title: Heading.
        caption: Description of the pictures and how they were computed.
        pictures: Pictures.
        numbers: JSON-compatible statistics by model.
        problems: Error messages of the parts that failed.
    """

    title: str
    caption: str
    pictures: list[Picture] = field(default_factory=list)
    numbers: dict[str, list[dict]] = field(default_factory=dict)
    problems: list[str] = field(default_factory=list)

    def attempt(self, name: str, function: Callable, *args: Any, **kwargs: Any) -> Any:
        """Call a function. On failure, add the error to ``problems`` and return None."""
        try:
            return function(*args, **kwargs)
        except Exception as error:  # models may fail in any way; the other models and sections continue
            reason = str(error) if isinstance(error, ValueError) else f'{type(error).__name__}: {error}'
            problem = f'{name}: {reason}'
            if problem not in self.problems:
                self.problems.append(problem)
            return None


@dataclass
class Inputs:
    """Models, images and display settings.

    Attributes:
        models: Models by display name.
        images: Batches of one image, for pictures.
        erf_images: Batches of one image, to average the effective receptive field over.
        classes: Names of the classes, or None.
        palette: Colors of the classes, or None.
        score_thr: Minimum score of a detection.
        iou_thr: Minimum intersection over union of a true positive.
    """

    models: dict[str, BaseModel]
    images: list[dict]
    erf_images: list[dict]
    classes: Sequence[str] | None
    palette: Sequence | None
    score_thr: float
    iou_thr: float

    @property
    def num_classes(self) -> int:
        """Number of classes of a segmentor, 255 if unknown."""
        return getattr(next(iter(self.models.values())), 'num_classes', 255)

    def class_name(self, label: int | None) -> str:
        """Return the name of a class, or its index as text."""
        return str(label if self.classes is None or label is None else self.classes[label])


def effective_receptive_fields(inputs: Inputs) -> Section:
    """Draw the effective receptive field of each stage."""
    section = Section(
        'Effective receptive field',
        f'Absolute gradient of the central unit of each stage (positive activations, summed over channels) with '
        f'respect to the image, averaged over {len(inputs.erf_images)} images, on a square-root scale. sigma is its '
        f'standard deviation in pixels (FINE, Appendix F). The area ratio is the share of the image covered by the '
        f'smallest centered square that contains a given share of the gradient.')
    rows: dict[str, dict[str, list]] = {}
    for name, model in inputs.models.items():
        found = section.attempt(name, erf, model, inputs.erf_images)
        for stage, heatmap in zip(*found) if found else ():
            section.numbers.setdefault(name, []).append(asdict(stage))
            picture = thumbnail(np.sqrt(heatmap / heatmap.max()), (0, 1), 'magma', height=180)
            module = stage.name.partition('.')[0]
            cell = (f'{stage.name}  σ {stage.sigma:.1f} px', picture)
            rows.setdefault(module, {}).setdefault(name, []).append(cell)
    for module, cells in rows.items():
        section.pictures.append(Picture(f'Effective receptive fields of the {module}', grid(
            list(cells.values()), headings=list(cells))))
    return section


def eigen_cams(inputs: Inputs) -> Section:
    """Draw EigenCAM of each model."""
    return _cams(inputs, 'eigencam', Section(
        'EigenCAM',
        'First principal component of the feature maps of each neck (or backbone, if there is no neck). Each level is '
        'scaled to 0..1 and averaged. It shows where the features respond most, independent of the class.'))


def grad_cams(inputs: Inputs) -> Section:
    """Draw Grad-CAM of each model, for the class of interest of each image."""
    return _cams(inputs, 'gradcam', Section(
        'Grad-CAM',
        'Feature maps of each neck (or backbone, if there is no neck), weighted by the mean gradient of the score of a '
        'class: the best detections, or the logits of the pixels predicted as this class. Each level is scaled to 0..1 '
        'and averaged. The map shows the evidence for the class.'))


def hires_cams(inputs: Inputs) -> Section:
    """Draw HiResCAM of each model, for the class of interest of each image."""
    return _cams(inputs, 'hirescam', Section(
        'HiResCAM',
        'Like Grad-CAM, with the gradient at each position instead of its mean over the map. It shows the regions that '
        'the score depends on. Prefer it for detectors, whose scores depend on small regions.'))


def _cams(inputs, method, section):
    for number, batch in enumerate(inputs.images, 1):
        pixels = to_rgb(batch['inputs'][0])
        label = None
        if method != 'eigencam':
            label = class_of_interest(batch['data_samples'][0], inputs.num_classes)
        mask = section.attempt('ground truth', ground_truth_mask, batch, label)
        panels = [('image', resize_for_display(pixels))]
        for name, model in inputs.models.items():
            found = section.attempt(name, cam, model, batch, method, label=label)
            if found:
                description, heatmap = found
                panels.append((name, resize_for_display(overlay(pixels, heatmap))))
                section.numbers.setdefault(name, []).append(dict(
                    asdict(description), image=number, label=label,
                    inside=None if mask is None else energy_inside(heatmap, mask),
                    inside_by_chance=None if mask is None else float(mask.mean())))
        if len(panels) > 1:
            suffix = '' if label is None else f', class {inputs.class_name(label)}'
            section.pictures.append(Picture(f'Image {number}{suffix}', grid([panels])))
    return section


def before_and_after(inputs: Inputs) -> Section:
    """Draw the activation before and after each attention module."""
    section = Section(
        'Before and after the module',
        'Mean over channels of the absolute activation at the input and the output of an attention module, first on a '
        'shared color scale and then on one for the output. "change" is the norm of the difference relative to the '
        'norm before.')
    for name, model in inputs.models.items():
        if not attention_modules(model):
            continue
        found = section.attempt(name, activation_maps, model, inputs.images[0])
        if not found:
            continue
        statistics, pictures = found
        section.numbers[name] = [asdict(entry) for entry in statistics]
        image = ('image', resize_for_display(to_rgb(inputs.images[0]['inputs'][0]), height=200))
        shown = _evenly_spaced(len(statistics))
        section.pictures.append(Picture(f'{name}, image 1', grid(
            [[image] + _activation_pair(*pictures[index]) for index in shown],
            headings=[_activation_heading(statistics[index]) for index in shown])))
    if not section.pictures and not section.problems:
        section.problems.append('None of the models contains an attention module of mmxattn.')
    return section


def _activation_pair(before, after):
    shared = (min(before.min(), after.min()), max(before.max(), after.max()))
    own = (after.min(), after.max())
    return [('before', thumbnail(before, shared)), ('after', thumbnail(after, shared)), ('', colorbar(shared, 200)),
            ('after, own scale', thumbnail(after, own)), ('', colorbar(own, 200))]


def _activation_heading(entry):
    change = '' if entry.change is None else f', change {entry.change:.2f}'
    return f'{entry.name}, level {entry.level}: {entry.shape[0]}x{entry.shape[1]}{change}'


def _evenly_spaced(number):
    return sorted({round(index) for index in np.linspace(0, number - 1, min(number, MAX_MODULES))})


def fine_modulations(inputs: Inputs) -> Section | None:
    """Draw FINE's modulation maps. Returns None if no model contains FINE."""
    section = Section(
        'FINE modulation map',
        'Mean over channels of M (Eq. 8). The low map is multiplied by 1 + M: purple attenuates it, orange amplifies '
        'it, white leaves it unchanged.')
    for name, model in inputs.models.items():
        if not fine_modules(model):
            continue
        for number, batch in enumerate(inputs.images, 1):
            found = section.attempt(name, modulation_maps, model, batch)
            if not found:
                continue
            row = [('image', resize_for_display(to_rgb(batch['inputs'][0])))]
            for module, modulation in found:
                limit = float(abs(modulation).max())
                picture = thumbnail(modulation, (-limit, limit), 'PuOr_r', height=row[0][1].height)
                row += [(module, picture), ('', colorbar((-limit, limit), picture.height, 'PuOr_r'))]
                section.numbers.setdefault(name, []).append(dict(
                    image=number, name=module, mean=float(modulation.mean()), std=float(modulation.std()),
                    min=float(modulation.min()), max=float(modulation.max())))
            section.pictures.append(Picture(f'{name}, image {number}', grid([row])))
    return section if section.pictures or section.problems else None


def side_by_side(inputs: Inputs) -> Section:
    """Draw the predictions of all models next to the ground truth."""
    is_segmentation = hasattr(next(iter(inputs.models.values())), 'encode_decode')
    section = Section('Side by side', (
        'Ground truth, the labels predicted by each model, and the wrong pixels.' if is_segmentation else
        f'Ground truth and the detections of each model with a score of at least {inputs.score_thr:g}. A detection is '
        f'a true positive if its IoU with an object of its class is at least {inputs.iou_thr:g} and no detection with '
        f'a higher score is matched to that object.'))
    for number, batch in enumerate(inputs.images, 1):
        if is_segmentation:
            found = section.attempt('all models', compare_segmentations, inputs.models, batch, inputs.classes,
                                    inputs.palette)
        else:
            found = section.attempt('all models', compare_detections, inputs.models, batch, inputs.classes,
                                    inputs.score_thr, inputs.iou_thr)
        if found:
            counts, picture = found
            section.pictures.append(Picture(f'Image {number}', picture))
            for name, own in counts.items():
                section.numbers.setdefault(name, []).append(dict(own, image=number))
    return section


SECTIONS = (effective_receptive_fields, eigen_cams, grad_cams, hires_cams, before_and_after, fine_modulations,
            side_by_side)
