"""Training state that mmengine's checkpoints lack: accumulated gradients and sampled image sizes."""
from typing import Any

import torch
from mmengine.dist import all_reduce
from mmengine.model import is_model_wrapper
from mmengine.optim import OptimWrapper
from mmengine.runner import Runner
from torch import nn
from torch.nn.parallel import DistributedDataParallel

__all__ = ['accumulated_gradients', 'is_update_step', 'restore_gradients', 'restore_sizes', 'sampled_sizes']


def is_update_step(runner: Runner) -> bool:
    """Check whether the last step updated the weights instead of only accumulating gradients."""
    wrapper = runner.optim_wrapper
    return wrapper.should_update() if isinstance(wrapper, OptimWrapper) else True


def accumulated_gradients(runner: Runner) -> dict[str, torch.Tensor]:
    """Return the gradients accumulated since the last update, averaged over processes. All processes must call this.

    Args:
        runner: Runner in training.

    Returns:
        Gradients by parameter name. Empty after an update, and for sharded models.
    """
    model = _unwrapped_model(runner)
    if is_update_step(runner) or model is None:
        return {}
    gradients = {name: p.grad.detach().clone() for name, p in model.named_parameters() if p.grad is not None}
    for gradient in gradients.values():
        all_reduce(gradient, 'mean')
    return gradients


def restore_gradients(runner: Runner, gradients: dict[str, torch.Tensor]) -> None:
    """Set the gradients returned by :func:`accumulated_gradients`."""
    model = _unwrapped_model(runner)
    for name, parameter in model.named_parameters() if model is not None else ():
        if name in gradients:
            parameter.grad = gradients[name].to(parameter)


def sampled_sizes(runner: Runner) -> dict[str, tuple]:
    """Return the size that each BatchSyncRandomResize of mmdet has drawn for the next batches, by module name."""
    sizes = {name: module._input_size for name, module in _resize_modules(runner).items()}
    return {name: size for name, size in sizes.items() if isinstance(size, tuple)}


def restore_sizes(runner: Runner, sizes: dict[str, tuple]) -> None:
    """Set the sizes returned by :func:`sampled_sizes`."""
    for name, module in _resize_modules(runner).items():
        if name in sizes:
            module._input_size = sizes[name]


def _resize_modules(runner: Runner) -> dict[str, Any]:
    model = _unwrapped_model(runner)
    modules = model.named_modules() if model is not None else ()
    return {name: module for name, module in modules if hasattr(module, '_input_size')}


def _unwrapped_model(runner: Runner) -> nn.Module | None:
    """Return the model without its DDP wrapper, or None if it is sharded."""
    if not is_model_wrapper(runner.model):
        return runner.model
    return runner.model.module if isinstance(runner.model, DistributedDataParallel) else None
