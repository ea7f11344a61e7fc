"""Models timed next to each other: latency, throughput, training step and memory, in each mode that is asked for."""

import copy
from dataclasses import dataclass, field

import torch
from mmengine.optim import build_optim_wrapper

from ..utils.errors import in_one_line
from . import timing as speed
from .memory import peak_memory

MODES = {
    'fp32': 'as the recipe stands',
    'amp': 'autocast: float16 on a GPU, bfloat16 on a CPU',
    'compile': 'torch.compile over the features and the heads; what follows (NMS, losses) stays eager',
}
LEAST = 5  # turns, however slow


@dataclass
class Speed:
    """What one recipe did in one mode.

    Attributes:
        mode: A key of ``MODES``.
        inference: For each batch size, as text, the seconds that a batch took, one value a turn.
        training_step: The seconds that a training step took, one value a turn.
        inference_memory: Peak bytes of predicting one image, beside the model itself.
        training_memory: Peak bytes of a training step, beside model and optimizer.
        failure: Why this mode was given up; None where it was not.
    """

    mode: str
    inference: dict = field(default_factory=dict)
    training_step: list = field(default_factory=list)
    inference_memory: int = None
    training_memory: int = None
    failure: str = None


def benchmark(models, optimizers, test_batches, train_batches, device, modes=('fp32', ), turns=40, budget=45, say=None):
    """Time models that take turns.

    Args:
        models (list[mmengine.model.BaseModel]): On their device, the baseline first. Their weights stay as they are;
            statistics of batch norm move.
        optimizers (list[dict]): Each model's ``optim_wrapper`` config.
        test_batches (dict[int, list[list[dict]]]): For each batch size one list of batches a model.
        train_batches (list[dict]): One a model; empty to time no training.
        device (str): 'cuda' or 'cpu'.
        modes (Sequence[str]): Keys of ``MODES``.
        turns (int): How often inference is timed; a training step a quarter as often.
        budget (float): Seconds after which a timing ends early, once it has five turns.
        say (Callable[[str], object], optional): Told what is timed.

    Returns:
        list[list[Speed]]: For each model one a mode. A mode in which any model fails is given up for all, so that what
        is there can be compared.
    """
    results = [[] for _ in models]
    for mode in modes:
        speeds = [Speed(mode) for _ in models]
        try:
            _time_mode(speeds, models, optimizers, test_batches, train_batches, device, turns, budget, say)
        except Exception as error:  # whatever a model makes of autocast or of compilation
            speeds = [Speed(mode, failure=in_one_line(error)) for _ in models]
        for own, result in zip(results, speeds):
            own.append(result)
    return results


def _time_mode(speeds, models, optimizers, test_batches, train_batches, device, turns, budget, say):
    mode, timer = speeds[0].mode, speed.timer_for(device)
    say = say or (lambda line: None)
    if mode == 'compile':
        models = [compiled(model) for model in models]

    def within(function):
        return _autocast(function, device) if mode == 'amp' else function

    for size, batches in test_batches.items():
        say(f'Timing {mode}: inference, {size} at a time')
        functions = [within(speed.prediction(model, own)) for model, own in zip(models, batches)]
        if str(size) == '1':
            for result, function in zip(speeds, functions):
                function()  # what the first call allocates for good is no cost of a prediction
                result.inference_memory = peak_memory(function, device)
        for result, seconds in zip(speeds, speed.interleave(functions, turns, 3, budget, timer, LEAST)):
            result.inference[str(size)] = seconds
    if train_batches:
        say(f'Timing {mode}: training steps')
        functions = [within(speed.training_step(model, batch, build_optim_wrapper(model, optimizer)))
                     for model, batch, optimizer in zip(models, train_batches, optimizers)]
        for result, function in zip(speeds, functions):
            function()
            result.training_memory = peak_memory(function, device)
        for result, seconds in zip(speeds, speed.interleave(functions, max(1, turns // 4), 2, budget, timer, LEAST)):
            result.training_step = seconds


def compiled(model):
    """A copy of a model whose tensor parts are compiled: the features, and each head's forward.

    Args:
        model (mmengine.model.BaseModel): A detector or a segmentor.

    Returns:
        mmengine.model.BaseModel: The copy; nothing is compiled until it is called.
    """
    model = copy.deepcopy(model)
    model.extract_feat = torch.compile(model.extract_feat)
    for name in ('rpn_head', 'bbox_head', 'decode_head'):
        head = getattr(model, name, None)
        if isinstance(head, torch.nn.Module):
            head.forward = torch.compile(head.forward)
    return model


def _autocast(function, device):
    kind = torch.float16 if device == 'cuda' else torch.bfloat16

    def call():
        with torch.autocast(device, dtype=kind):
            function()

    return call
