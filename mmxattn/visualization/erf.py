"""Effective receptive field (ERF): how much each input pixel influences a unit of a feature map.

Paper: Luo et al., "Understanding the Effective Receptive Field in Deep Convolutional Neural Networks" (2016), with the
measures of RepLKNet and of FINE, Appendix F.

The influence of a pixel is the gradient of the unit with respect to it. A unit is the sum over the channels of the
positive activations at one position, as in RepLKNet (behind a LayerNorm, the plain sum is constant):

    g(u, v) = sum over input channels |d y(i, j) / d x(u, v)|                            (FINE, Eq. 11)

g is normalized to a sum of 1 per image and averaged over images. Two sizes are derived from it:

* Area ratio at 20, 30, 50 and 99% (RepLKNet; pictures in SCSA, Fig. 5): the area of the smallest square of odd side
  around the center of mass that contains this share of g, relative to the area of the image. Parts of the square
  outside the image do not count. RepLKNet first applies log10(g + 1), which depends on the scale of the gradient and
  is omitted here.
* sigma (FINE, Eq. 12): the standard deviation of g around its center of mass mu, as for an isotropic Gaussian:
  sigma^2 = sum g |(u, v) - mu|^2 / (2 sum g), in pixels. It is computed per image and averaged. The ratio between
  consecutive stages is Eq. 13, which FINE finds to be close to the ratio of strides, 2.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from mmengine.model import BaseModel
from torch import Tensor
from torch.nn import functional as F

from .hooks import eval_mode, freeze_parameters, preprocess, record_feature_maps, split_batches

THRESHOLDS = (0.2, 0.3, 0.5, 0.99)


@dataclass(frozen=True)
class Stage:
    """Effective receptive field at one feature map.

    Attributes:
        name: ``backbone.0`` (its first output), ``neck.1``, or ``decode_head`` (the input of its classifier).
        stride: Vertical stride relative to the preprocessed image, in pixels.
        area_ratios: Share of the image area by share of the gradient, such as ``{'50%': 0.031}``.
        sigma: ERF size in pixels.
        sigma_ratio: sigma relative to the previous map of the same module, or None for the first.
        images: Number of images averaged.
    """

    name: str
    stride: float
    area_ratios: dict[str, float]
    sigma: float
    sigma_ratio: float | None
    images: int


def erf(model: BaseModel,
        batches: Sequence[dict],
        position: tuple[float, float] = (0.5, 0.5),
        thresholds: Sequence[float] = THRESHOLDS) -> tuple[list[Stage], list[np.ndarray]]:
    """Compute effective receptive fields at the outputs of backbone and neck, and at the classifier of a decode head.

    The weights may be random. Images are resized to the size of the first one.

    Args:
        model: Detector or segmentor.
        batches: Batches of a test data loader. All images are used.
        position: x and y of the unit, from 0 (left, top) to 1. FINE's Fig. 6 uses (0.1, 0.1).
        thresholds: Shares of the gradient for the area ratios.

    Returns:
        Stages in forward order, and for each the average g: float64 of shape (H, W) with sum 1, at the size of the
        preprocessed image.

    Raises:
        ValueError: If there are no images, if the model has no ``backbone`` or ``extract_feat``, or if no gradient
            reaches the image.
    """
    images = split_batches(batches)
    if not images:
        raise ValueError('batches must contain at least one image to average the effective receptive field over.')
    gradients: dict[str, list[np.ndarray]] = {}
    strides, shape = {}, None
    with eval_mode(model), freeze_parameters(model):
        for batch in images:
            image, _ = preprocess(model, batch)
            shape = shape or image.shape[-2:]
            image = F.interpolate(image, shape, mode='bilinear').requires_grad_()
            for name, feature_map in stage_maps(model, image).items():
                strides[name] = shape[0] / feature_map.shape[-2]
                gradients.setdefault(name, []).append(input_gradient(name, feature_map, image, position))
    heatmaps = [np.mean(per_image, axis=0) for per_image in gradients.values()]
    sigmas = {name: float(np.mean([sigma(heatmap) for heatmap in per_image])) for name, per_image in gradients.items()}
    stages = [Stage(name, float(strides[name]), area_ratios(heatmap, thresholds), sigmas[name],
                    _sigma_ratio(name, sigmas), len(images)) for name, heatmap in zip(gradients, heatmaps)]
    return stages, heatmaps


def stage_maps(model: BaseModel, image: Tensor) -> dict[str, Tensor]:
    """Compute the feature maps of all stages, attached to the graph of the image.

    Args:
        model: Detector or segmentor.
        image: Preprocessed image (1, 3, H, W).

    Returns:
        Maps (1, C, H', W') by name.

    Raises:
        ValueError: If the model has no ``backbone`` or ``extract_feat``.
    """
    if not (hasattr(model, 'backbone') and hasattr(model, 'extract_feat')):
        raise ValueError(f'{type(model).__name__} must have backbone and extract_feat, like the detectors of mmdet and '
                         f'the segmentors of mmseg.')
    modules = [name for name in ('backbone', 'neck') if isinstance(getattr(model, name, None), torch.nn.Module)]
    has_classifier = hasattr(getattr(model, 'decode_head', None), 'conv_seg')
    with record_feature_maps(model, modules + ['decode_head.conv_seg'] * has_classifier) as calls:
        features = model.extract_feat(image)
        if has_classifier:
            model.decode_head(features)
    found = {f'{name}.{level}': feature_map for name in modules
             for level, feature_map in enumerate(calls[name][0][1])}
    for (classifier_input, *_), _ in calls.get('decode_head.conv_seg', []):
        found['decode_head'] = classifier_input
    return found


def input_gradient(name: str, feature_map: Tensor, image: Tensor, position: tuple[float, float]) -> np.ndarray:
    """Compute g for one unit, normalized to a sum of 1.

    Args:
        name: Name of the map in error messages.
        feature_map: Map (1, C, H', W') computed from ``image``.
        image: Image (1, 3, H, W) that requires a gradient.
        position: x and y of the unit, from 0 to 1.

    Returns:
        float64 array of shape (H, W).

    Raises:
        ValueError: If the gradient is zero or not finite.
    """
    height, width = feature_map.shape[-2:]
    column, row = (min(int(share * size), size - 1) for share, size in zip(position, (width, height)))
    unit = feature_map[0, :, row, column].relu().sum()
    gradient, = torch.autograd.grad(unit, image, retain_graph=True, allow_unused=True)
    heatmap = np.zeros((1, 1)) if gradient is None else gradient[0].abs().sum(0).double().cpu().numpy()
    if not 0 < heatmap.sum() < np.inf:
        raise ValueError(f'No gradient reaches the image from {name} at row {row}, column {column} of {height}x{width} '
                         f'(the sum is {heatmap.sum()}). The unit is dead for this image. Use other weights, another '
                         f'image or another position.')
    return heatmap / heatmap.sum()


def center_of_mass(heatmap: np.ndarray) -> tuple[float, float]:
    """Compute row and column of the center of mass of a map (H, W)."""
    rows, columns = heatmap.sum(1), heatmap.sum(0)
    total = heatmap.sum()
    return float(rows @ np.arange(len(rows)) / total), float(columns @ np.arange(len(columns)) / total)


def sigma(heatmap: np.ndarray) -> float:
    """Compute the ERF size of g (H, W): its standard deviation per axis in pixels (FINE, Eq. 12)."""
    row, column = center_of_mass(heatmap)
    rows, columns = np.indices(heatmap.shape)
    return float(np.sqrt((heatmap * ((rows - row)**2 + (columns - column)**2)).sum() / heatmap.sum() / 2))


def area_ratios(heatmap: np.ndarray, thresholds: Sequence[float] = THRESHOLDS) -> dict[str, float]:
    """Compute the area of the smallest centered square that contains a share of g, relative to the image.

    Args:
        heatmap: g (H, W).
        thresholds: Shares of its sum.

    Returns:
        Area ratios by threshold in percent, such as ``{'20%': 0.004, '99%': 0.31}``.
    """
    row, column = (round(index) for index in center_of_mass(heatmap))
    rows, columns = np.indices(heatmap.shape)
    ring = np.maximum(abs(rows - row), abs(columns - column)).ravel()  # Chebyshev distance to the center
    mass = np.cumsum(np.bincount(ring, weights=heatmap.ravel())) / heatmap.sum()
    area = np.cumsum(np.bincount(ring)) / heatmap.size
    # Rounding may leave the total slightly below 1, so the index is clipped to the last ring.
    rings = np.minimum(np.searchsorted(mass, thresholds), len(area) - 1)
    return {f'{100 * share:g}%': float(area[index]) for share, index in zip(thresholds, rings)}


def _sigma_ratio(name, sigmas):
    module, _, level = name.rpartition('.')
    previous = sigmas.get(f'{module}.{int(level) - 1}') if module else None
    return sigmas[name] / previous if previous else None
