"""Class activation maps of detectors and segmentors by the ``grad-cam`` package: EigenCAM, Grad-CAM and HiResCAM.

The package wants a model that takes an image and gives one output for each image, a layer whose output is one map, and
a number to differentiate. Here these are:

* the model's own prediction: final detections, or logits at the size of the image;
* a tap that a map of any module is led through. Of a module that gives several maps (a backbone, a neck) all are
  looked at, and grad-cam's rule for several layers puts them together: each scaled to 0..1, then their mean;
* the sum of the scores of the best final detections of a class, those with at least half the score of the very best;
  for a segmentor the sum of the class's logits over the pixels that are predicted to be of it (Seg-Grad-CAM,
  Vinogradova et al. 2020), over all pixels where there is none.

EigenCAM (Muhammad and Yeasin 2020) is the first principal component of a map's pixels and asks for no class. Grad-CAM
(Selvaraju et al. 2017) weights each channel with the mean of its gradient over the map. A detector's score hangs on a
few regions, and that mean carries over to all others: there HiResCAM (Draelos and Carin 2020), which multiplies each
pixel with its own gradient, shows what counts.
"""

import contextlib
import functools
import itertools
import sys
from dataclasses import dataclass
from importlib import import_module
from types import ModuleType

import numpy as np
import torch
from torch import nn

from .cam_targets import ExplainedModel, Target
from .hooks import evaluating, find_module, frozen, preprocess, watch

METHODS = dict(eigencam='EigenCAM', gradcam='GradCAM', hirescam='HiResCAM')  # their names in grad-cam


@dataclass(frozen=True)
class Cam:
    """A class activation map.

    Attributes:
        method: One of ``METHODS``.
        layer: Dotted name of the module whose output it is of.
        levels: Which of its maps.
        target: What was differentiated, in words; None for EigenCAM.
        score: Its value.
    """

    method: str
    layer: str
    levels: tuple
    target: str
    score: float


def cam(model, batch, method='gradcam', layer=None, level=None, label=None, top=10):
    """The class activation map of one image.

    Args:
        model (mmengine.model.BaseModel): A detector whose final scores can be differentiated (two-stage, dense heads,
            DETR), or a segmentor with ``encode_decode``.
        batch (dict): A batch of a test data loader; its first image counts.
        method (str): 'eigencam', 'gradcam' or 'hirescam'.
        layer (str, optional): Dotted name of the module to look at. By default the neck, or the backbone where there
            is none.
        level (int, optional): Which of its output maps, negative from the end. By default all of them.
        label (int, optional): The class, for all but EigenCAM. By default all of a detector's classes together; of a
            segmentor one is needed.
        top (int): How many of a detector's best detections make up the target, at most.

    Returns:
        tuple[Cam, numpy.ndarray]: What it is of, and the map (H, W) float32 from 0 to 1 at the size of the image that
        the data loader gave.

    Raises:
        ValueError: An unknown method, layer, level or class; a model whose output cannot be differentiated; the
            grad-cam package is missing.
    """
    if method not in METHODS:
        raise ValueError(f'method={method!r} is none of {list(METHODS)}.')
    package = load_grad_cam()
    layer = layer or ('neck' if isinstance(getattr(model, 'neck', None), nn.Module) else 'backbone')
    first = dict(inputs=batch['inputs'][:1], data_samples=batch['data_samples'][:1])
    image, samples = preprocess(model, first)
    explained = ExplainedModel(model, samples)
    with evaluating(model), frozen(model):
        levels = _levels(model, layer, level, explained, image)
        taps = {index: Tap() for index in levels}
        with led_through(find_module(model, layer), taps) as led:
            if method == 'eigencam':
                target, heat = None, eigen_cam(package, explained, taps, image)
            else:
                target = Target(explained.is_segmentor, label, top, led)
                explainer = getattr(package, METHODS[method])(explained, list(taps.values()))
                heat = explainer(image.requires_grad_(), [target])[0]
    height, width = batch['inputs'][0].shape[-2:]  # without the preprocessor's padding
    return Cam(method, layer, levels, target and target.words, target and target.value), heat[:height, :width]


def _levels(model, layer, level, explained, image):
    """Which of a module's maps to look at, all of them where ``level`` is None."""
    with torch.no_grad(), watch(model, [layer]) as calls:
        explained(image)
    number = len(calls[layer][0][1]) if calls[layer] else 0
    if not number:
        raise ValueError(f'{layer} gives no map (B, C, H, W) when {type(model).__name__} predicts: name another layer.')
    if level is None:
        return tuple(range(number))
    if not -number <= level < number:
        raise ValueError(f'level={level}, but {layer} gives {number} maps.')
    return (level % number, )


class Tap(nn.Module):
    """Gives a map as it is, as a step of its own in the graph.

    grad-cam takes the gradients of several layers to come in the reverse order of the layers. They do where each map
    has a step that is made after all of the module's and before all that use the maps.
    """

    def forward(self, feature_map):
        """(B, C, H, W) -> the same."""
        return feature_map.view_as(feature_map)


@contextlib.contextmanager
def led_through(module, taps):
    """Lead maps that a module gives through taps, to which grad-cam listens, the first time it runs.

    Args:
        module (torch.nn.Module): The module.
        taps (dict[int, Tap]): By the map's place among the module's maps.

    Yields:
        list[torch.Tensor]: The maps behind the taps, filled in when the module runs.
    """
    led = []

    def lead(_, arguments, output):
        if led:
            return None
        places = itertools.count()

        def through(feature_map):
            place = next(places)
            if place not in taps:
                return feature_map
            led.append(taps[place](feature_map))
            return led[-1]

        return _for_each_map(output, through)

    handle = module.register_forward_hook(lead)
    try:
        yield led
    finally:
        handle.remove()


def _for_each_map(value, function):
    """A module's output with each map replaced, in the order of :func:`mmxattn.visualization.hooks.maps`."""
    if isinstance(value, torch.Tensor):
        return function(value) if value.ndim == 4 else value
    if isinstance(value, dict):
        return {key: _for_each_map(item, function) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return type(value)([_for_each_map(item, function) for item in value])
    return value


def eigen_cam(package, explained, taps, image):
    """EigenCAM of the maps behind some taps: (H, W) from 0 to 1."""
    explainer = package.EigenCAM(explained, list(taps.values()))
    # The package's own decomposition takes memory with the square of a map's pixels, and leaves the sign to chance.
    explainer.get_cam_image = lambda image, layer, targets, activations, gradients, smooth: np.float32(
        [first_component(activation) for activation in activations])
    with torch.no_grad():
        return explainer(image, [])[0]


def first_component(feature_map):
    """The first principal component of a map's pixels.

    Args:
        feature_map (numpy.ndarray): (C, H, W).

    Returns:
        numpy.ndarray: Each pixel's coordinate on it, (H, W) float64; of the two signs the one whose largest deviation
        from the mean is positive (Chung and Ying, Seg-Eigen-CAM, 2025, Eq. 13).
    """
    pixels = feature_map.reshape(len(feature_map), -1).T.astype(np.float64)
    pixels = pixels - pixels.mean(0)
    _, directions = np.linalg.eigh(pixels.T @ pixels)  # eigenvalues rise
    component = (pixels @ directions[:, -1]).reshape(feature_map.shape[1:])
    return -component if -component.min() > component.max() else component


@functools.cache
def load_grad_cam():
    """The package ``grad-cam``.

    It imports torchvision for what is not used here. PyPI's torchvision is made for its torch, with CUDA, and does not
    import beside a torch for the CPU alone: then grad-cam gets an empty one while it is imported.

    Returns:
        types.ModuleType: ``pytorch_grad_cam``.

    Raises:
        ValueError: It is not installed.
    """
    stand_ins = {} if _imports('torchvision') else {name: _StandIn(name) for name in (
        'torchvision', 'torchvision.transforms', 'torchvision.transforms.functional')}
    sys.modules.update(stand_ins)
    try:
        return import_module('pytorch_grad_cam')
    except ImportError as error:
        raise ValueError(f'Class activation maps need the grad-cam package ({error}): '
                         f'pip install --no-deps grad-cam ttach') from error
    finally:
        for name in stand_ins:
            del sys.modules[name]


class _StandIn(ModuleType):

    def __getattr__(self, name):
        if name.startswith('__'):
            raise AttributeError(name)


def _imports(name):
    try:
        import_module(name)
    except (ImportError, RuntimeError):  # the latter where its operators do not load
        return False
    return True
