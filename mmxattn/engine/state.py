"""What training goes on from beside weights, optimizer and schedules, and no checkpoint of mmengine's has."""
from typing import Any

import torch
from mmengine.dist import all_reduce
from mmengine.model import is_model_wrapper
from mmengine.optim import OptimWrapper
from torch import nn
from torch.nn.parallel import DistributedDataParallel

__all__ = ['batch_sizes', 'restore_batch_sizes', 'restore_gradients', 'updates', 'waiting_gradients']


def updates(runner) -> bool:
    """Whether the last step has updated the weights; else its gradients wait for the steps that follow."""
    wrapper = runner.optim_wrapper
    return wrapper.should_update() if isinstance(wrapper, OptimWrapper) else True


def whole_model(runner) -> nn.Module | None:
    """The model out of its wrapper; None where a wrapper keeps it in shards."""
    if not is_model_wrapper(runner.model):
        return runner.model
    return runner.model.module if isinstance(runner.model, DistributedDataParallel) else None


def waiting_gradients(runner) -> dict[str, torch.Tensor]:
    """The gradients that are accumulated so far, by parameter, as a mean over the processes. Every one has to call.

    Empty after an update, and where the model is in shards.
    """
    model = whole_model(runner)
    if updates(runner) or model is None:
        return {}
    gradients = {name: p.grad.detach().clone() for name, p in model.named_parameters() if p.grad is not None}
    for gradient in gradients.values():
        all_reduce(gradient, 'mean')
    return gradients


def restore_gradients(runner, gradients: dict[str, torch.Tensor]) -> None:
    """Let the next steps add to these."""
    model = whole_model(runner)
    for name, parameter in model.named_parameters() if model is not None else ():
        if name in gradients:
            parameter.grad = gradients[name].to(parameter)


def resizers(runner) -> dict[str, Any]:
    """The parts of the model that draw the size of a batch some steps ahead, by name: mmdet's BatchSyncRandomResize."""
    model = whole_model(runner)
    modules = model.named_modules() if model is not None else ()
    return {name: module for name, module in modules if hasattr(module, '_input_size')}


def batch_sizes(runner) -> dict[str, tuple]:
    """The size of the next batch, by the part that drew it."""
    sizes = {name: module._input_size for name, module in resizers(runner).items()}
    return {name: size for name, size in sizes.items() if isinstance(size, tuple)}


def restore_batch_sizes(runner, sizes: dict[str, tuple]) -> None:
    """Let the next batch have that size."""
    for name, module in resizers(runner).items():
        if name in sizes:
            module._input_size = sizes[name]
