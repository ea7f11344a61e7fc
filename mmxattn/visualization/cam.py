"""Class activation maps of detectors and segmentors with the ``grad-cam`` package: EigenCAM, Grad-CAM and HiResCAM.

grad-cam expects a model with one output per image, target layers with one map each, and a scalar target:

* Output: final detections, or logits at the size of the image.
* Target layers: any module of the model. If it returns several maps (a backbone or a neck), each map is a target layer.
  grad-cam scales each to 0..1 and averages them.
* Target: for detectors the sum of the scores of the best detections of a class, down to half of the highest score; for
  segmentors the sum of the logits of a class over the pixels predicted as this class (Seg-Grad-CAM, Vinogradova et al.
  2020).

EigenCAM (Muhammad and Yeasin 2020) is the first principal component of the feature map and does not depend on a class.
Grad-CAM (Selvaraju et al. 2017) weights each channel by its mean gradient over the map. The score of a detection
depends on a small region, but its mean gradient is applied to the whole map. HiResCAM (Draelos and Carin 2020)
multiplies each position by its own gradient and is therefore better suited to detectors.
"""

import contextlib
import functools
import itertools
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from importlib import import_module
from types import ModuleType

import numpy as np
import torch
from mmengine.model import BaseModel
from torch import Tensor, nn

from .cam_targets import DetectionTarget, ModelOutputWrapper, SegmentationTarget, Target
from .hooks import eval_mode, first_image, freeze_parameters, get_module, preprocess, record_feature_maps

METHODS = dict(eigencam='EigenCAM', gradcam='GradCAM', hirescam='HiResCAM')  # class names in grad-cam


@dataclass(frozen=True)
class Cam:
    """Description of a class activation map.

    Attributes:
        method: Key of ``METHODS``.
        layer: Dotted name of the module.
        levels: Indices of the output maps that were used.
        target: Definition of the differentiated scalar, or None for EigenCAM.
        score: Its value, or None for EigenCAM.
    """

    method: str
    layer: str
    levels: tuple[int, ...]
    target: str | None
    score: float | None


def cam(model: BaseModel,
        batch: dict,
        method: str = 'gradcam',
        layer: str | None = None,
        level: int | None = None,
        label: int | None = None,
        top: int = 10) -> tuple[Cam, np.ndarray]:
    """Compute the class activation map of one image.

    Args:
        model: Detector with differentiable scores (two-stage, dense heads, DETR), or segmentor with ``encode_decode``.
        batch: Batch of a test data loader. The first image is used.
        method: 'eigencam', 'gradcam' or 'hirescam'.
        layer: Dotted name of the target layer. Default: the neck, or the backbone if there is no neck.
        level: Index of the output map, may be negative. None for all maps.
        label: Class to explain. Required for segmentors, except with EigenCAM. None explains all classes of a detector.
        top: Maximum number of detections in the target.

    Returns:
        Description and map: float32 of shape (H, W), from 0 to 1, at the size of the image in the batch.

    Raises:
        ValueError: If the method, layer, level or class is unknown, the scores are not differentiable, or the grad-cam
            package is missing.
    """
    if method not in METHODS:
        raise ValueError(f'method must be one of {list(METHODS)}, got {method!r}.')
    package = load_grad_cam()
    layer = layer or ('neck' if isinstance(getattr(model, 'neck', None), nn.Module) else 'backbone')
    image, samples = preprocess(model, first_image(batch))
    wrapper = ModelOutputWrapper(model, samples)
    with eval_mode(model), freeze_parameters(model):
        levels = _select_levels(model, layer, level, wrapper, image)
        target_layers = {index: TargetLayer() for index in levels}
        with insert_target_layers(get_module(model, layer), target_layers) as feature_maps:
            if method == 'eigencam':
                target, heatmap = None, eigen_cam(package, wrapper, target_layers, image)
            else:
                target = _create_target(wrapper, label, feature_maps, top)
                cam_method = getattr(package, METHODS[method])(wrapper, list(target_layers.values()))
                heatmap = cam_method(image.requires_grad_(), [target])[0]
    height, width = batch['inputs'][0].shape[-2:]  # without padding
    description, value = (target.description, target.value) if target else (None, None)
    return Cam(method, layer, levels, description, value), heatmap[:height, :width]


def _create_target(wrapper, label, feature_maps, top) -> Target:
    if wrapper.is_segmentor:
        return SegmentationTarget(label, feature_maps)
    return DetectionTarget(label, feature_maps, top)


def _select_levels(model, layer, level, wrapper, image):
    """Indices of the output maps to use."""
    with torch.no_grad(), record_feature_maps(model, [layer]) as calls:
        wrapper(image)
    number = len(calls[layer][0][1]) if calls[layer] else 0
    if not number:
        raise ValueError(f'layer must return feature maps (B, C, H, W), but {layer} of {type(model).__name__} returns '
                         f'none. Use another layer.')
    if level is None:
        return tuple(range(number))
    if not -number <= level < number:
        raise ValueError(f'level must be from {-number} to {number - 1} for {layer}, got {level}.')
    return (level % number, )


class TargetLayer(nn.Module):
    """Identity that adds a node to the graph.

    grad-cam assumes that gradients of several target layers arrive in reverse order of the layers. With one such node
    per map, created after the module and before all uses of the maps, they do.
    """

    def forward(self, feature_map: Tensor) -> Tensor:
        return feature_map.view_as(feature_map)


@contextlib.contextmanager
def insert_target_layers(module: nn.Module, target_layers: dict[int, TargetLayer]) -> Iterator[list[Tensor]]:
    """Pass the output maps of a module through target layers, in its first call only.

    Args:
        module: Module that returns one or several maps.
        target_layers: Target layers by index of the map.

    Yields:
        Outputs of the target layers, filled when the module is called.
    """
    feature_maps: list[Tensor] = []

    def hook(_, args, output):
        if feature_maps:
            return None
        index = itertools.count()

        def apply(feature_map):
            target_layer = target_layers.get(next(index))
            if target_layer is None:
                return feature_map
            feature_maps.append(target_layer(feature_map))
            return feature_maps[-1]

        return _replace_feature_maps(output, apply)

    handle = module.register_forward_hook(hook)
    try:
        yield feature_maps
    finally:
        handle.remove()


def _replace_feature_maps(value, function):
    """Apply a function to each map in nested containers, in the order of ``hooks.find_feature_maps``."""
    if isinstance(value, Tensor):
        return function(value) if value.ndim == 4 else value
    if isinstance(value, dict):
        return {key: _replace_feature_maps(item, function) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return type(value)([_replace_feature_maps(item, function) for item in value])
    return value


def eigen_cam(package: ModuleType, wrapper: nn.Module, target_layers: dict[int, TargetLayer],
              image: Tensor) -> np.ndarray:
    """Compute EigenCAM (H, W) from 0 to 1."""
    cam_method = package.EigenCAM(wrapper, list(target_layers.values()))
    # grad-cam's decomposition needs memory quadratic in the number of pixels, and its sign is arbitrary.
    cam_method.get_cam_image = lambda image, layer, targets, activations, gradients, smooth: np.stack(
        [first_component(activation) for activation in activations]).astype(np.float32)
    with torch.no_grad():
        return cam_method(image, [])[0]


def first_component(feature_map: np.ndarray) -> np.ndarray:
    """Project a feature map (C, H, W) onto its first principal component.

    Returns:
        float64 array of shape (H, W), with the sign that makes the largest deviation from the mean positive (Chung and
        Ying, Seg-Eigen-CAM, 2025, Eq. 13).
    """
    pixels = feature_map.reshape(len(feature_map), -1).T.astype(np.float64)
    pixels = pixels - pixels.mean(0)
    _, eigenvectors = np.linalg.eigh(pixels.T @ pixels)  # ascending eigenvalues
    component = (pixels @ eigenvectors[:, -1]).reshape(feature_map.shape[1:])
    return -component if -component.min() > component.max() else component


@functools.cache
def load_grad_cam() -> ModuleType:
    """Import ``pytorch_grad_cam``.

    The package imports torchvision, which is not used here. PyPI's torchvision requires the CUDA build of torch and
    fails to import with the CPU build, in which case an empty module replaces it during the import.

    Raises:
        ValueError: If grad-cam is not installed.
    """
    placeholders = {} if _can_import('torchvision') else {name: _Placeholder(name) for name in (
        'torchvision', 'torchvision.transforms', 'torchvision.transforms.functional')}
    sys.modules.update(placeholders)
    try:
        return import_module('pytorch_grad_cam')
    except ImportError as error:
        raise ValueError(f'Class activation maps require the grad-cam package ({error}). Install it with '
                         f'pip install --no-deps grad-cam ttach.') from error
    finally:
        for name in placeholders:
            del sys.modules[name]


class _Placeholder(ModuleType):

    def __getattr__(self, name):
        if name.startswith('__'):
            raise AttributeError(name)


def _can_import(name):
    try:
        import_module(name)
    except (ImportError, RuntimeError):  # RuntimeError if the operators of torchvision do not match torch
        return False
    return True
