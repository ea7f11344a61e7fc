"""What models look at, section by section: pictures with captions, and numbers. One that fails says why and no more."""

from dataclasses import asdict, dataclass, field

import numpy as np

from .cam import cam
from .erf import erf
from .feature_maps import activation_maps, fine_modules, modulation_maps, parts
from .ground_truth import class_of_interest, share_inside, truth_mask
from .images import colour_bar, enlarge, overlay, photo, sheet, thumbnail
from .side_by_side import detections, segmentations

PARTS_SHOWN = 4  # of a model with many, evenly spread


@dataclass
class Picture:
    """A picture and what is in it."""

    caption: str
    image: object


@dataclass
class Section:
    """One way to look at models.

    Attributes:
        title: A few words.
        caption: One sentence: what is seen and how it was computed.
        pictures: :class:`Picture`, whose ``image`` is a PIL.Image.Image.
        numbers: By model, of what :mod:`json` takes.
        problems: What could not be done and why, a sentence each.
    """

    title: str
    caption: str
    pictures: list = field(default_factory=list)
    numbers: dict = field(default_factory=dict)
    problems: list = field(default_factory=list)

    def attempt(self, name, function, *arguments, **options):
        """``function(...)``, or None and a sentence among the problems where it fails."""
        try:
            return function(*arguments, **options)
        except Exception as error:  # whatever a model makes of it; the other models and sections go on
            reason = str(error) if isinstance(error, ValueError) else f'{type(error).__name__}: {error}'
            sentence = f'{name}: {reason}'
            if sentence not in self.problems:
                self.problems.append(sentence)
            return None


@dataclass
class Scene:
    """What is looked at: models by name, single images, and how to show them.

    Attributes:
        models: Name -> model.
        singles: Batches of one image, for pictures.
        many: Batches of one image, for averages.
        classes: Names of the classes, or None.
        palette: Colours of the classes, or None.
        score_thr: Detections with lower scores are left out.
        iou_thr: Intersection over union from which on a detection is right.
    """

    models: dict
    singles: list
    many: list
    classes: object
    palette: object
    score_thr: float
    iou_thr: float

    @property
    def num_classes(self):
        """How many classes a segmentor tells apart; 255 where it does not say."""
        return getattr(next(iter(self.models.values())), 'num_classes', 255)

    def class_name(self, label):
        """The name of a class, or its number."""
        return str(label if self.classes is None or label is None else self.classes[label])


def receptive_fields(scene):
    """Effective receptive field of each stage."""
    section = Section(
        'Effective receptive field',
        f'Absolute gradient of the central unit of each stage (positive parts, summed over channels) with regard to '
        f'the image, averaged over {len(scene.many)} images, brightness on a square-root scale; sigma is its standard '
        f'deviation in pixels (FINE, Appendix F), the area ratio the share of the image that the smallest centred '
        f'square with a share of the gradient takes.')
    rows = {}
    for name, model in scene.models.items():
        found = section.attempt(name, erf, model, scene.many)
        for stage, heat in zip(*found) if found else ():
            section.numbers.setdefault(name, []).append(asdict(stage))
            bright = thumbnail(np.sqrt(heat / heat.max()), (0, 1), 'magma', height=180)
            module = stage.name.partition('.')[0]
            rows.setdefault(module, {}).setdefault(name, []).append((f'{stage.name}  σ {stage.sigma:.1f} px', bright))
    for module, own in rows.items():
        section.pictures.append(Picture(f'Effective receptive fields of the {module}', sheet(
            list(own.values()), headings=list(own))))
    return section


def eigen_cams(scene):
    """EigenCAM of each model."""
    return _cams(scene, 'eigencam', Section(
        'EigenCAM',
        'The first principal component of the maps of each neck (of the backbone where there is none), each level '
        'scaled to 0..1 and averaged: what the features respond to most, whatever the class.'))


def grad_cams(scene):
    """Grad-CAM of each model, for the class of interest of each image."""
    return _cams(scene, 'gradcam', Section(
        'Grad-CAM',
        "The maps of each neck (of the backbone where there is none), weighted by the mean gradient of a class's score "
        '(the best detections, or the logits of the pixels predicted to be of it), each level scaled to 0..1 and '
        'averaged: what speaks for the class.'))


def high_resolution_cams(scene):
    """HiResCAM of each model, for the class of interest of each image."""
    return _cams(scene, 'hirescam', Section(
        'HiResCAM',
        'As Grad-CAM, with the gradient of each pixel instead of its mean over the map: where the score comes from. '
        'For a detector, whose scores hang on a few regions each, this is the picture to trust.'))


def _cams(scene, method, section):
    for number, single in enumerate(scene.singles, 1):
        pixels = photo(single['inputs'][0])
        label = None
        if method != 'eigencam':
            label = class_of_interest(single['data_samples'][0], scene.num_classes)
        mask = section.attempt('ground truth', truth_mask, single, label)
        panels = [('image', enlarge(pixels))]
        for name, model in scene.models.items():
            found = section.attempt(name, cam, model, single, method, label=label)
            if found:
                what, heat = found
                inside = None if mask is None else share_inside(heat, mask)
                panels.append((name, enlarge(overlay(pixels, heat))))
                section.numbers.setdefault(name, []).append(dict(
                    asdict(what), image=number, label=label, inside=inside,
                    inside_by_chance=None if mask is None else float(mask.mean())))
        if len(panels) > 1:
            kind = '' if label is None else f', class {scene.class_name(label)}'
            section.pictures.append(Picture(f'Image {number}{kind}', sheet([panels])))
    return section


def before_and_after(scene):
    """Activation before and after each part."""
    section = Section(
        'Before and after the part',
        'Mean over channels of the absolute activation where a part takes its map and where it gives it back, in the '
        'same colours and then in its own; "change" is the norm of the difference over the norm before.')
    for name, model in scene.models.items():
        if not parts(model):
            continue
        found = section.attempt(name, activation_maps, model, scene.singles[0])
        if not found:
            continue
        numbers, pictures = found
        section.numbers[name] = [asdict(number) for number in numbers]
        image = ('image', enlarge(photo(scene.singles[0]['inputs'][0]), height=200))
        rows = [[image] + _pair(*pictures[k]) for k in _spread(len(numbers))]
        headings = [_heading(numbers[k]) for k in _spread(len(numbers))]
        section.pictures.append(Picture(f'{name}, image 1', sheet(rows, headings=headings)))
    if not section.pictures and not section.problems:
        section.problems.append('None of these models has a part of mmxattn in it.')
    return section


def _pair(before, after):
    both, own = (before.min(), before.max(), after.min(), after.max()), (after.min(), after.max())
    both = (min(both), max(both))
    return [('before', thumbnail(before, both)), ('after', thumbnail(after, both)), ('', colour_bar(both, 200)),
            ('after, own colours', thumbnail(after, own)), ('', colour_bar(own, 200))]


def _heading(number):
    change = '' if number.change is None else f', change {number.change:.2f}'
    return f'{number.name}, level {number.level}: {number.shape[0]}x{number.shape[1]}{change}'


def _spread(number):
    return sorted({round(k) for k in np.linspace(0, number - 1, min(number, PARTS_SHOWN))})


def modulations(scene):
    """FINE's modulation map."""
    section = Section(
        "FINE's modulation map",
        'Mean over channels of M (Eq. 8): the low map is multiplied with 1 + M, so purple weakens and orange '
        'strengthens it, white leaves it.')
    for name, model in scene.models.items():
        if not fine_modules(model):
            continue
        for number, single in enumerate(scene.singles, 1):
            found = section.attempt(name, modulation_maps, model, single)
            if not found:
                continue
            row = [('image', enlarge(photo(single['inputs'][0])))]
            for part, modulation in found:
                most = float(abs(modulation).max())
                picture = thumbnail(modulation, (-most, most), 'PuOr_r', height=row[0][1].height)
                row += [(part, picture), ('', colour_bar((-most, most), picture.height, 'PuOr_r'))]
                section.numbers.setdefault(name, []).append(dict(
                    image=number, name=part, mean=float(modulation.mean()), deviation=float(modulation.std()),
                    least=float(modulation.min()), most=float(modulation.max())))
            section.pictures.append(Picture(f'{name}, image {number}', sheet([row])))
    return section if section.pictures or section.problems else None  # None: no model has FINE in it


def side_by_side(scene):
    """Every model's result next to the ground truth."""
    segments = hasattr(next(iter(scene.models.values())), 'encode_decode')
    section = Section('Side by side', (
        'Ground truth, the labels of each model, and the pixels where the two differ.' if segments else
        f'Ground truth and the detections of each model with a score of at least {scene.score_thr:g}; one is right '
        f'where it overlaps an object of its class by an intersection over union of {scene.iou_thr:g} that no better '
        f'one has taken.'))
    for number, single in enumerate(scene.singles, 1):
        if segments:
            found = section.attempt('all', segmentations, scene.models, single, scene.classes, scene.palette)
        else:
            found = section.attempt('all', detections, scene.models, single, scene.classes, scene.score_thr,
                                    scene.iou_thr)
        if found:
            numbers, picture = found
            section.pictures.append(Picture(f'Image {number}', picture))
            for name, own in numbers.items():
                section.numbers.setdefault(name, []).append(dict(own, image=number))
    return section


ALL = (receptive_fields, eigen_cams, grad_cams, high_resolution_cams, before_and_after, modulations, side_by_side)
