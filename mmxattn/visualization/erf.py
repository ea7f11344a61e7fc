"""The effective receptive field (ERF): which pixels of the image a unit of a feature map depends on, and how far.

Luo et al., "Understanding the Effective Receptive Field in Deep Convolutional Neural Networks" (2016): the influence
of an input pixel is the gradient of the unit with regard to it. Here a unit is the sum over a map's channels of their
positive parts (as RepLKNet takes it: behind a LayerNorm the plain sum is a constant, whatever the image), and

    g(u, v) = sum over input channels |d y(i, j) / d x(u, v)|                            (FINE, Appendix F, Eq. 11)

scaled to a sum of 1 for each image, so that all images count alike, and averaged over images. Two sizes are read off:

* the area ratio at 20, 30, 50 and 99% (RepLKNet's measure, which SCSA's Fig. 5 shows as pictures): the area of the
  smallest square of odd side around the centre of mass that holds at least this share of g, over the area of the
  image. What of a square lies outside the image does not count. RepLKNet takes the logarithm log10(g + 1) first; that
  depends on the unit of the gradient, and is left out here;
* sigma (FINE, Eq. 12), the standard deviation of g around its centre of mass mu, as of a Gaussian that is the same in
  all directions: sigma^2 = sum g |(u, v) - mu|^2 / (2 sum g), in pixels. It is computed for each image and averaged.
  The ratio of a stage's average to the one before is Eq. 13; FINE finds it near the ratio of strides, 2.
"""

from dataclasses import dataclass

import numpy as np
import torch
from torch.nn import functional as F

from .hooks import evaluating, frozen, preprocess, single_images, watch

THRESHOLDS = (0.2, 0.3, 0.5, 0.99)


@dataclass(frozen=True)
class Stage:
    """The effective receptive field at one feature map.

    Attributes:
        name: The map: ``backbone.0`` (its first output), ``neck.1``, ``decode_head`` (what it classifies).
        stride: Pixels of the image a pixel of the map, vertically; the image as it enters the model.
        area_ratios: Share of the image's area by share of the gradient, such as ``{'50%': 0.031}``.
        sigma: ERF size in pixels.
        sigma_ratio: sigma over that of the map before it in the same module; None for the first.
        images: How many were averaged.
    """

    name: str
    stride: float
    area_ratios: dict
    sigma: float
    sigma_ratio: float
    images: int


def erf(model, batches, position=(0.5, 0.5), thresholds=THRESHOLDS):
    """Effective receptive fields at the outputs of backbone and neck, and at what a decode head classifies.

    Any weights will do, random ones too. Images of other sizes are resized to the first one's.

    Args:
        model (mmengine.model.BaseModel): A detector or a segmentor.
        batches (list[dict]): Batches of a test data loader; every image in them is used.
        position (tuple[float, float]): Which unit: x and y from 0 (left, top) to 1. FINE's Fig. 6 takes (0.1, 0.1).
        thresholds (Sequence[float]): Shares of the gradient for the area ratios.

    Returns:
        tuple[list[Stage], list[numpy.ndarray]]: The stages in forward order; for each the average g, (H, W) float64 of
        sum 1, at the size of the preprocessed image.

    Raises:
        ValueError: No images; a model without ``backbone`` and ``extract_feat``; a map that no gradient leaves.
    """
    singles = single_images(batches)
    if not singles:
        raise ValueError('The effective receptive field is averaged over images, and the batches hold none.')
    gradients, strides, shape = {}, {}, None
    with evaluating(model), frozen(model):
        for single in singles:
            image, _ = preprocess(model, single)
            shape = shape or image.shape[-2:]
            image = F.interpolate(image, shape, mode='bilinear').requires_grad_()
            for name, feature_map in feature_maps(model, image).items():
                strides[name] = shape[0] / feature_map.shape[-2]
                gradients.setdefault(name, []).append(input_gradient(name, feature_map, image, position))
    heats = [np.mean(own, axis=0) for own in gradients.values()]
    sigmas = {name: float(np.mean([sigma(heat) for heat in own])) for name, own in gradients.items()}
    stages = [Stage(name, float(strides[name]), area_ratios(heat, thresholds), sigmas[name],
                    _ratio_to_previous(name, sigmas), len(singles)) for name, heat in zip(gradients, heats)]
    return stages, heats


def feature_maps(model, image):
    """The maps whose receptive field is asked for, with the graph that leads back to the image.

    Args:
        model (mmengine.model.BaseModel): A detector or a segmentor.
        image (torch.Tensor): A preprocessed image (1, 3, H, W).

    Returns:
        dict[str, torch.Tensor]: Name -> map (1, C, H', W').

    Raises:
        ValueError: The model has no ``backbone`` or no ``extract_feat``.
    """
    if not (hasattr(model, 'backbone') and hasattr(model, 'extract_feat')):
        raise ValueError(f'{type(model).__name__} has no backbone and extract_feat, as detectors of mmdet and '
                         f'segmentors of mmseg have: its feature maps are not known.')
    modules = [name for name in ('backbone', 'neck') if isinstance(getattr(model, name, None), torch.nn.Module)]
    classifies = hasattr(getattr(model, 'decode_head', None), 'conv_seg')
    with watch(model, modules + ['decode_head.conv_seg'] * classifies) as calls:
        features = model.extract_feat(image)
        if classifies:
            model.decode_head(features)
    found = {f'{name}.{level}': feature_map for name in modules
             for level, feature_map in enumerate(calls[name][0][1])}
    for (classified, *_), _ in calls.get('decode_head.conv_seg', []):
        found['decode_head'] = classified
    return found


def input_gradient(name, feature_map, image, position):
    """g of one unit, of sum 1: the (H, W) float64 influence of the image's pixels.

    Args:
        name (str): What the map is called in an error.
        feature_map (torch.Tensor): (1, C, H', W'), computed from ``image``.
        image (torch.Tensor): (1, 3, H, W), with ``requires_grad``.
        position (tuple[float, float]): x and y of the unit, from 0 to 1.

    Returns:
        numpy.ndarray: (H, W).

    Raises:
        ValueError: The gradient is zero or not finite everywhere.
    """
    height, width = feature_map.shape[-2:]
    column, row = (min(int(share * size), size - 1) for share, size in zip(position, (width, height)))
    unit = feature_map[0, :, row, column].relu().sum()
    gradient, = torch.autograd.grad(unit, image, retain_graph=True, allow_unused=True)
    heat = np.zeros((1, 1)) if gradient is None else gradient[0].abs().sum(0).double().cpu().numpy()
    if not 0 < heat.sum() < np.inf:
        raise ValueError(f'No gradient reaches the image from {name} at row {row}, column {column} of its {height}x'
                         f'{width} units (the sum is {heat.sum()}): the unit is dead for this image; take other '
                         f'weights, another image or another position.')
    return heat / heat.sum()


def centre_of_mass(heat):
    """Row and column of the centre of mass of a map (H, W)."""
    rows, columns = heat.sum(1), heat.sum(0)
    return float(rows @ np.arange(len(rows)) / heat.sum()), float(columns @ np.arange(len(columns)) / heat.sum())


def sigma(heat):
    """ERF size: the standard deviation of g, (H, W), a direction, in pixels (FINE, Eq. 12)."""
    row, column = centre_of_mass(heat)
    rows, columns = np.indices(heat.shape)
    return float(np.sqrt((heat * ((rows - row)**2 + (columns - column)**2)).sum() / heat.sum() / 2))


def area_ratios(heat, thresholds=THRESHOLDS):
    """Area of the smallest centred square that holds a share of g, over the area of the image.

    Args:
        heat (numpy.ndarray): g, (H, W).
        thresholds (Sequence[float]): Shares of its sum.

    Returns:
        dict[str, float]: By threshold in percent, such as ``{'20%': 0.004, '99%': 0.31}``.
    """
    row, column = (round(place) for place in centre_of_mass(heat))
    rows, columns = np.indices(heat.shape)
    ring = np.maximum(abs(rows - row), abs(columns - column)).ravel()  # pixels of one square's border share a number
    held = np.cumsum(np.bincount(ring, weights=heat.ravel())) / heat.sum()
    area = np.cumsum(np.bincount(ring)) / heat.size
    # the last ring holds all, which rounding may leave a hair below 1
    return {f'{100 * share:g}%': float(area[min(np.searchsorted(held, share), len(area) - 1)]) for share in thresholds}


def _ratio_to_previous(name, sigmas):
    module, _, level = name.rpartition('.')
    before = sigmas.get(f'{module}.{int(level) - 1}') if module else None
    return sigmas[name] / before if before else None
