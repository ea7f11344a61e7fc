"""Look inside a model while it runs: single images, a module's inputs and outputs, gradients of the image alone."""

import contextlib
import copy

import torch


def single_images(batches, number=None):
    """The images of some batches, each as a batch of its own.

    Args:
        batches (list[dict]): Batches of a test data loader: ``inputs``, a list of (3, H, W) uint8 tensors, and
            ``data_samples``, as many.
        number (int, optional): How many at most. All by default.

    Returns:
        list[dict]: Batches of one image.
    """
    singles = [dict(inputs=[image], data_samples=[sample])
               for batch in batches for image, sample in zip(batch['inputs'], batch['data_samples'])]
    return singles[:number]


def preprocess(model, batch):
    """What a model's own preprocessor makes of a batch, which stays as it is.

    Args:
        model (mmengine.model.BaseModel): The model.
        batch (dict): A batch of a test data loader.

    Returns:
        tuple[torch.Tensor, list]: The normalised, padded images (B, 3, H, W) on the model's device; the data samples.
    """
    data = model.data_preprocessor(copy.deepcopy(batch), False)
    return data['inputs'], data['data_samples']


def find_module(model, name):
    """The submodule of a dotted name.

    Args:
        model (torch.nn.Module): The model.
        name (str): Such as ``neck`` or ``backbone.layer4.2``.

    Returns:
        torch.nn.Module: The submodule.

    Raises:
        ValueError: There is none of this name.
    """
    try:
        return model.get_submodule(name)
    except AttributeError as error:
        raise ValueError(f'{type(model).__name__} has no module {name!r} ({error}): give a dotted name out of '
                         f'`named_modules()`; its own parts are {[child for child, _ in model.named_children()]}.') \
            from error


@contextlib.contextmanager
def watch(model, names):
    """Record the feature maps that named submodules take and give, as they are at that moment.

    Args:
        model (torch.nn.Module): The model.
        names (list[str]): Dotted names.

    Yields:
        dict[str, list[tuple]]: For each name its calls in order: the maps among the arguments, those of the output.
    """
    calls = {name: [] for name in names}

    def record(name):
        # copies, for an activation that comes after may work in place
        return lambda module, arguments, output: calls[name].append(
            ([x.clone() for x in maps(arguments)], [x.clone() for x in maps(output)]))

    handles = [find_module(model, name).register_forward_hook(record(name)) for name in names]
    try:
        yield calls
    finally:
        for handle in handles:
            handle.remove()


@contextlib.contextmanager
def evaluating(model):
    """Bring a model into evaluation mode, and each of its modules back into its own mode afterwards."""
    modes = [(module, module.training) for module in model.modules()]
    model.eval()
    try:
        yield
    finally:
        for module, training in modes:
            module.training = training


@contextlib.contextmanager
def frozen(model):
    """Let no parameter ask for a gradient, so that a backward pass reaches the image and leaves nothing behind."""
    parameters = [parameter for parameter in model.parameters() if parameter.requires_grad]
    for parameter in parameters:
        parameter.requires_grad_(False)
    try:
        yield
    finally:
        for parameter in parameters:
            parameter.requires_grad_(True)


def maps(value):
    """The feature maps (B, C, H, W) in a tensor or in nested lists, tuples and dicts of some, in order."""
    if isinstance(value, torch.Tensor):
        return [value] if value.ndim == 4 else []
    if isinstance(value, dict):
        value = value.values()
    elif not isinstance(value, (list, tuple)):
        return []
    return [found for item in value for found in maps(item)]
