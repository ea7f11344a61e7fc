"""Benchmark models against each other: latency, throughput, training step and memory, per precision mode."""

import copy
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import torch
from mmengine.model import BaseModel
from mmengine.optim import build_optim_wrapper

from ..utils.errors import in_one_line
from . import timing
from .memory import peak_memory

MODES = {
    'fp32': 'as configured in the recipe',
    'amp': 'autocast: float16 on a GPU, bfloat16 on a CPU',
    'compile': 'torch.compile on feature extraction and heads; NMS and losses stay eager',
}
HEADS = ('rpn_head', 'bbox_head', 'decode_head')  # compiled in the 'compile' mode


@dataclass
class Speed:
    """Measurements of one model in one mode.

    Attributes:
        mode: Key of ``MODES``.
        inference: Seconds per batch, one value per turn, by batch size (as a string).
        training_step: Seconds per training step, one value per turn.
        inference_memory: Peak memory of predicting one image, in bytes, without the model.
        training_memory: Peak memory of a training step, in bytes, without model and optimizer.
        failure: Error message if the mode failed, otherwise None.
    """

    mode: str
    inference: dict[str, list[float]] = field(default_factory=dict)
    training_step: list[float] = field(default_factory=list)
    inference_memory: int | None = None
    training_memory: int | None = None
    failure: str | None = None


def benchmark(models: Sequence[BaseModel],
              optimizers: Sequence[dict],
              test_batches: dict[int, list[list[dict]]],
              train_batches: Sequence[dict],
              device: str,
              modes: Sequence[str] = ('fp32', ),
              turns: int = 40,
              budget: float = 45,
              log: Callable[[str], object] | None = None) -> list[list[Speed]]:
    """Time models in turns.

    The weights are not changed, but the running statistics of batch norm are.

    Args:
        models: Models on their device, the baseline first.
        optimizers: ``optim_wrapper`` config of each model.
        test_batches: For each batch size, one list of batches per model.
        train_batches: One batch per model. Empty to skip training.
        device: 'cuda' or 'cpu'.
        modes: Keys of ``MODES``.
        turns: Number of inference timings. Training steps are timed a quarter as often.
        budget: Seconds after which a timing stops early, once it has five turns.
        log: Callback for progress messages.

    Returns:
        For each model, one result per mode. If a mode fails for one model, it is reported as failed for all, since
        the remaining timings could not be compared.
    """
    results: list[list[Speed]] = [[] for _ in models]
    for mode in modes:
        speeds = [Speed(mode) for _ in models]
        try:
            _time_mode(speeds, models, optimizers, test_batches, train_batches, device, turns, budget, log)
        except Exception as error:  # a model may fail in any way under autocast or compilation
            speeds = [Speed(mode, failure=in_one_line(error)) for _ in models]
        for result, speed in zip(results, speeds):
            result.append(speed)
    return results


def _time_mode(speeds, models, optimizers, test_batches, train_batches, device, turns, budget, log):
    mode, timer = speeds[0].mode, timing.timer_for(device)
    log = log or (lambda line: None)
    if mode == 'compile':
        models = [compile_model(model) for model in models]

    def in_mode(function):
        return _autocast(function, device) if mode == 'amp' else function

    for size, batches in test_batches.items():
        log(f'Timing {mode}: inference, batch size {size}')
        steps = [in_mode(timing.make_inference_step(model, own)) for model, own in zip(models, batches)]
        if str(size) == '1':
            for speed, step in zip(speeds, steps):
                step()  # allocations that outlive the first call are not part of a prediction
                speed.inference_memory = peak_memory(step, device)
        for speed, seconds in zip(speeds, timing.interleave(steps, turns, 3, budget, timer, timing.MIN_TURNS)):
            speed.inference[str(size)] = seconds
    if train_batches:
        log(f'Timing {mode}: training steps')
        steps = [in_mode(timing.make_training_step(model, batch, build_optim_wrapper(model, optimizer)))
                 for model, batch, optimizer in zip(models, train_batches, optimizers)]
        for speed, step in zip(speeds, steps):
            step()
            speed.training_memory = peak_memory(step, device)
        turns = max(1, turns // 4)
        for speed, seconds in zip(speeds, timing.interleave(steps, turns, 2, budget, timer, timing.MIN_TURNS)):
            speed.training_step = seconds


def compile_model(model: BaseModel) -> BaseModel:
    """Copy a detector or segmentor with its feature extraction and the forward of its heads compiled.

    Compilation itself happens at the first call.
    """
    model = copy.deepcopy(model)
    model.extract_feat = torch.compile(model.extract_feat)
    for name in HEADS:
        head = getattr(model, name, None)
        if isinstance(head, torch.nn.Module):
            head.forward = torch.compile(head.forward)
    return model


def _autocast(function, device):
    dtype = torch.float16 if device == 'cuda' else torch.bfloat16

    def call():
        with torch.autocast(device, dtype=dtype):
            function()

    return call
