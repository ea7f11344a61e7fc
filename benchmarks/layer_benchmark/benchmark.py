"""Layers and the literal forms of their papers, timed in turns."""

from dataclasses import asdict, dataclass, field
from pathlib import Path

import torch
from torch.utils._pytree import tree_leaves, tree_map

from mmxattn.layers import SCSA
from mmxattn.ops.scsa import fused_scsa
from mmxattn.profiling import timing as speed
from mmxattn.profiling.benchmark import LEAST
from mmxattn.profiling.complexity import count_macs
from mmxattn.profiling.memory import peak_memory
from mmxattn.utils.errors import in_one_line

from .roofline import bytes_moved, floor

# Largest relative error between both forms. Convolutions in float32 may use TF32 on a GPU, with ten bits.
TOLERANCE = {torch.float64: 1e-9, torch.float32: 2e-3, torch.float16: 5e-3, torch.bfloat16: 3e-2}
PASSES = ('inference', 'training step')
UNKNOWN_MEMORY = 4 * 2**30  # bytes to count on where the system does not tell what is free


@dataclass
class Measured:
    """What one form of a layer took.

    Attributes:
        seconds: One a turn.
        memory: Peak bytes beside parameters and inputs.
        bytes_moved: Bytes that its operators read and write; None where they are not seen, under torch.compile and in
            kernels of our own.
    """

    seconds: list
    memory: int
    bytes_moved: int = None


@dataclass
class Result:
    """One case in one pass.

    Attributes:
        layer: Its name.
        title: The case's.
        training: Whether the pass is forward and backward; else it is forward without gradients. An index of PASSES.
        ours: The layer.
        literal: The literal form; None where it was left out.
        compiled: The layer under torch.compile; None where that was not asked for, or failed.
        error: Relative difference between ours and the literal form, the largest of outputs, gradients of inputs and
            gradients of parameters; None without the literal form.
        necessary_bytes: Bytes that any form has to move.
        macs: Multiply-adds of ours, each counted once.
        floor: Seconds that no form can beat on this machine.
        notes: What was left out, and why.
    """

    layer: str
    title: str
    training: bool
    ours: Measured
    literal: Measured
    compiled: Measured
    error: float
    necessary_bytes: int
    macs: int
    floor: float
    notes: list = field(default_factory=list)

    @property
    def speed_up(self):
        """Spread: how many times as long as ours the literal form takes; None where it was left out."""
        return speed.ratio(self.literal.seconds, self.ours.seconds) if self.literal else None

    @property
    def compiled_speed_up(self):
        """Spread: how many times as long as the compiled layer ours takes; None without the former."""
        return speed.ratio(self.ours.seconds, self.compiled.seconds) if self.compiled else None

    @property
    def above_floor(self):
        """Spread: how many times as long as the floor ours takes."""
        return speed.spread(seconds / self.floor for seconds in self.ours.seconds)

    def to_dict(self):
        """Everything, as :mod:`json` takes it."""
        derived = {name: getattr(self, name) for name in ('speed_up', 'compiled_speed_up', 'above_floor')}
        return dict(asdict(self), **{name: value and asdict(value) for name, value in derived.items()})


def bench_layers(cases, rates, device='cpu', dtype=torch.float32, training=True, turns=40, budget=20,
                 compiled=False, say=None):
    """Time layers and their literal forms.

    Args:
        cases (Sequence[Case]): What to time.
        rates (Rates): The device's, for the floor.
        device (str): 'cuda' or 'cpu'.
        dtype (torch.dtype): Of parameters and maps.
        training (bool): Time a forward and a backward pass too, beside inference.
        turns (int): How often each is timed.
        budget (float): Seconds after which a timing ends early, once it has five turns.
        compiled (bool): Time the layer under torch.compile in the same turns.
        say (Callable[[str], object], optional): Told what is timed next.

    Yields:
        Result: One a case and a pass, as soon as it is there.

    Raises:
        ValueError: Less than one turn, or two forms that do not agree.
    """
    if turns < 1:
        raise ValueError(f'turns={turns} must be at least 1.')
    for case in cases:
        for backward in (False, True) if training else (False, ):
            if say:
                say(f'{case.layer} {case.title}, {PASSES[backward]}')
            yield _measure(case, rates, device, dtype, backward, turns, budget, compiled)


def passing(build, device, dtype, training):
    """Make a layer and how to time it.

    Args:
        build (Callable): Makes the module and a tuple of its inputs.
        device, dtype: Where they go, and what they become.
        training (bool): Whether a pass is forward and backward; else it is forward without gradients.

    Returns:
        tuple: The module, its inputs, its outputs, and a function that makes of any function of these inputs one that
        takes no argument and does the whole pass.
    """
    torch.manual_seed(0)
    module, inputs = build()
    module = module.to(device, dtype).train(training)
    inputs = tree_map(lambda x: x.to(device, dtype).requires_grad_(training), inputs)
    with torch.no_grad():
        outputs = tree_leaves(module(*inputs))
    gradients = [torch.randn_like(x) for x in outputs]

    def calling(function):
        return _training_step(function, module, inputs, gradients) if training else _inference(function, inputs)

    return module, inputs, outputs, calling


def _measure(case, rates, device, dtype, training, turns, budget, compiled):
    module, inputs, outputs, calling = passing(case.build, device, dtype, training)
    functions, notes, error = dict(ours=calling(module)), [], None
    problem = _does_not_fit(case.needs[training] * dtype.itemsize, device)
    if problem:
        notes.append(problem)
    else:
        functions['literal'] = calling(lambda *maps: case.literal(module, *maps))
        error = _disagreement(case, functions, dtype)
    if compiled:
        torch.compiler.reset()  # else the next shape would be compiled for any shape
        functions['compiled'] = calling(torch.compile(module, fullgraph=True))
        try:
            functions['compiled']()
        except Exception as failure:  # whatever a compiler makes of a layer
            del functions['compiled']
            notes.append(f'torch.compile: {in_one_line(failure)}')

    necessary = _necessary_bytes(case.training if training else case.inference, module, inputs, outputs, training)
    unseen = {'compiled', 'ours'} if _does_without_operators(module, inputs, training) else {'compiled'}
    moved = {name: bytes_moved(function) for name, function in functions.items() if name not in unseen}
    memory = {name: peak_memory(function, device) for name, function in functions.items()}
    seconds = speed.interleave(list(functions.values()), turns, 3, budget, speed.timer_for(device), LEAST)
    measured = {name: Measured(own, memory[name], moved.get(name)) for name, own in zip(functions, seconds)}
    given = tree_map(torch.detach, inputs)  # PyTorch's counter stumbles over views of what wants a gradient
    macs = count_macs(lambda: module(*given)) * (3 if training else 1)  # each product has two gradients
    return Result(case.layer, case.title, training, measured['ours'], measured.get('literal'),
                  measured.get('compiled'), error, necessary, macs, floor(necessary, macs, rates), notes)


def _does_without_operators(module, inputs, training):
    """Whether a layer that is timed has kernels of its own, in whose place operators would be seen."""
    with torch.set_grad_enabled(training):
        return isinstance(module, SCSA) and fused_scsa(module, *inputs) is not None


def _inference(function, inputs):
    def call():
        with torch.no_grad():
            return [tree_leaves(function(*inputs))]

    return call


def _training_step(function, module, inputs, gradients):
    """Forward and backward, to the inputs and to the parameters; nothing is accumulated from call to call."""
    maps, parameters = tree_leaves(inputs), list(module.parameters())

    def call():
        outputs = tree_leaves(function(*inputs))
        found = torch.autograd.grad(outputs, [*maps, *parameters], gradients)
        return [x.detach() for x in outputs], found[:len(maps)], found[len(maps):]

    return call


def _disagreement(case, functions, dtype):
    """The largest relative error of the groups of tensors that a pass returns."""
    error = max(map(_relative_error, functions['ours'](), functions['literal']()))
    if not error <= TOLERANCE[dtype]:
        raise ValueError(f'{case.layer} {case.title}: the layer and its literal form differ by {error:.2g} of their '
                         f'size; up to {TOLERANCE[dtype]:.2g} is rounding in {str(dtype).removeprefix("torch.")}. '
                         f'Timings of two that compute different things say nothing: mend one of them.')
    return error


def _relative_error(ours, literal):
    difference = sum((a.double() - b.double()).square().sum() for a, b in zip(ours, literal))
    return (difference / sum(b.double().square().sum() for b in literal)).sqrt().item()


def _does_not_fit(needed, device):
    """Why a form is left out that needs so many bytes at least; an empty text where it fits."""
    free = available_memory(device)
    if needed <= free / 2:
        return ''
    return f'literal form left out: it needs {needed / 2**30:.1f} GiB or more, and {free / 2**30:.1f} GiB are free'


def available_memory(device):
    """Bytes that can be allocated on a device without pushing anything else out.

    Args:
        device (str | torch.device): The device.

    Returns:
        int: Bytes.
    """
    if torch.device(device).type == 'cuda':
        cached = torch.cuda.memory_reserved(device) - torch.cuda.memory_allocated(device)
        return torch.cuda.mem_get_info(device)[0] + cached
    try:
        lines = Path('/proc/meminfo').read_text().splitlines()
    except OSError:  # not Linux
        return UNKNOWN_MEMORY
    available, = (line.split()[1] for line in lines if line.startswith('MemAvailable'))
    return int(available) * 1024  # from KiB


def _necessary_bytes(passes, module, inputs, outputs, training):
    """Parameters are read once, and in training their gradients written."""
    maps = sum(times * sum(x.nbytes for x in tree_leaves(given)) for times, given in zip(passes.inputs, inputs))
    parameters = sum(parameter.nbytes for parameter in module.parameters())
    return maps + passes.output * sum(x.nbytes for x in outputs) + parameters * (2 if training else 1)
