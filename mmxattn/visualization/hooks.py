"""Inspect a running model: record the inputs and outputs of modules, switch modes and restore them."""

import contextlib
import copy
from collections.abc import Iterator, Sequence

from mmengine.model import BaseModel
from torch import Tensor, nn

Calls = dict[str, list[tuple[list[Tensor], list[Tensor]]]]


def split_batches(batches: Sequence[dict], number: int | None = None) -> list[dict]:
    """Split batches into batches of one image.

    Args:
        batches: Batches of a test data loader: ``inputs``, a list of (3, H, W) uint8 tensors, and ``data_samples``.
        number: Maximum number of images. None for all.

    Returns:
        Batches of one image.
    """
    images = [dict(inputs=[image], data_samples=[sample])
              for batch in batches for image, sample in zip(batch['inputs'], batch['data_samples'])]
    return images[:number]


def first_image(batch: dict) -> dict:
    """Return the first image of a batch as a batch."""
    return dict(inputs=batch['inputs'][:1], data_samples=batch['data_samples'][:1])


def preprocess(model: BaseModel, batch: dict) -> tuple[Tensor, list]:
    """Apply the preprocessor of a model. The batch is not modified.

    Args:
        model: Detector or segmentor.
        batch: Batch of a test data loader.

    Returns:
        Normalized and padded images (B, 3, H, W) on the device of the model, and the data samples.
    """
    data = model.data_preprocessor(copy.deepcopy(batch), False)
    return data['inputs'], data['data_samples']


def get_module(model: nn.Module, name: str) -> nn.Module:
    """Return a submodule by its dotted name, such as ``neck`` or ``backbone.layer4.2``.

    Raises:
        ValueError: If there is no such submodule.
    """
    try:
        return model.get_submodule(name)
    except AttributeError as error:
        children = [child for child, _ in model.named_children()]
        raise ValueError(f'{type(model).__name__} has no module {name!r} ({error}). Use a name from named_modules(). '
                         f'The top-level modules are {children}.') from error


@contextlib.contextmanager
def record_feature_maps(model: nn.Module, names: Sequence[str]) -> Iterator[Calls]:
    """Record the feature maps that submodules receive and return.

    Args:
        model: Model.
        names: Dotted names of submodules.

    Yields:
        For each name its calls in order, each as (maps among the arguments, maps in the output).
    """
    calls: Calls = {name: [] for name in names}

    def hook(name):
        # Clone, since a following activation may work in place.
        return lambda module, args, output: calls[name].append(
            ([x.clone() for x in find_feature_maps(args)], [x.clone() for x in find_feature_maps(output)]))

    handles = [get_module(model, name).register_forward_hook(hook(name)) for name in names]
    try:
        yield calls
    finally:
        for handle in handles:
            handle.remove()


@contextlib.contextmanager
def eval_mode(model: nn.Module) -> Iterator[None]:
    """Switch a model to evaluation mode, and restore the mode of each module on exit."""
    modes = [(module, module.training) for module in model.modules()]
    model.eval()
    try:
        yield
    finally:
        for module, training in modes:
            module.training = training


@contextlib.contextmanager
def freeze_parameters(model: nn.Module) -> Iterator[None]:
    """Disable gradients of all parameters, so that a backward pass only computes those of the image and activations."""
    parameters = [parameter for parameter in model.parameters() if parameter.requires_grad]
    for parameter in parameters:
        parameter.requires_grad_(False)
    try:
        yield
    finally:
        for parameter in parameters:
            parameter.requires_grad_(True)


def find_feature_maps(value: object) -> list[Tensor]:
    """Collect the tensors (B, C, H, W) in nested lists, tuples and dicts, in order."""
    if isinstance(value, Tensor):
        return [value] if value.ndim == 4 else []
    if isinstance(value, dict):
        value = value.values()
    elif not isinstance(value, (list, tuple)):
        return []
    return [found for item in value for found in find_feature_maps(item)]
