"""Time layers and their reference forms in turns."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils._pytree import tree_leaves, tree_map

from mmxattn.profiling import timing
from mmxattn.profiling.complexity import count_macs
from mmxattn.profiling.memory import peak_memory
from mmxattn.utils.errors import in_one_line

from .cases import Case
from .roofline import PeakRates, bytes_moved, roofline_time

# Maximum relative error between the two forms. Convolutions in float32 may use TF32 on a GPU, with ten bits.
TOLERANCE = {torch.float64: 1e-9, torch.float32: 2e-3, torch.float16: 5e-3, torch.bfloat16: 3e-2}
PASSES = ('inference', 'training step')
UNKNOWN_MEMORY = 4 * 2**30  # assumed where the free memory cannot be determined


@dataclass
class Measurement:
    """Cost of one form of a layer.

    Attributes:
        seconds: Time of each turn.
        memory: Peak bytes, without parameters and inputs.
        bytes_moved: Bytes that its operators read and write, None if unknown (torch.compile, custom kernels).
    """

    seconds: list[float]
    memory: int
    bytes_moved: int | None = None


@dataclass
class LayerResult:
    """Result of a case in one pass.

    Attributes:
        layer: Name of the layer.
        title: Title of the case.
        training: Whether the pass is forward and backward, or forward without gradients. Index of ``PASSES``.
        eager: The layer.
        reference: The reference form, None if there is none or it was skipped.
        compiled: The layer under torch.compile, None if not requested or failed.
        error: Maximum relative error between layer and reference form over outputs, gradients of inputs and gradients
            of parameters.
        min_bytes: Bytes that any implementation must move.
        macs: Multiply-adds, each counted once.
        roofline: Lower bound of the time on this machine, in seconds.
        notes: What was skipped, and why.
    """

    layer: str
    title: str
    training: bool
    eager: Measurement
    reference: Measurement | None
    compiled: Measurement | None
    error: float | None
    min_bytes: int
    macs: int
    roofline: float
    notes: list[str] = field(default_factory=list)

    @property
    def speedup(self) -> timing.Spread | None:
        """Time of the reference form relative to the layer."""
        return timing.ratio(self.reference.seconds, self.eager.seconds) if self.reference else None

    @property
    def compiled_speedup(self) -> timing.Spread | None:
        """Time of the layer relative to the compiled layer."""
        return timing.ratio(self.eager.seconds, self.compiled.seconds) if self.compiled else None

    @property
    def roofline_ratio(self) -> timing.Spread:
        """Time of the layer relative to the roofline."""
        return timing.spread(seconds / self.roofline for seconds in self.eager.seconds)

    def to_dict(self) -> dict[str, Any]:
        """Convert to JSON-compatible values."""
        spreads = {name: getattr(self, name) for name in ('speedup', 'compiled_speedup', 'roofline_ratio')}
        return dict(asdict(self), **{name: value and asdict(value) for name, value in spreads.items()})


def bench_layers(cases: Sequence[Case],
                 peak: PeakRates,
                 device: str = 'cpu',
                 dtype: torch.dtype = torch.float32,
                 training: bool = True,
                 turns: int = 40,
                 budget: float = 20,
                 compiled: bool = False,
                 log: Callable[[str], object] | None = None) -> Iterator[LayerResult]:
    """Time layers against their reference forms.

    Args:
        cases: Cases to time.
        peak: Peak rates of the device.
        device: 'cuda' or 'cpu'.
        dtype: Data type of parameters and maps.
        training: Also time a forward and backward pass.
        turns: Number of turns.
        budget: Seconds after which a timing stops early, once it has five turns.
        compiled: Also time the layer under torch.compile.
        log: Callback for progress messages.

    Yields:
        One result per case and pass.

    Raises:
        ValueError: If ``turns`` is smaller than 1, or a layer and its reference form disagree.
    """
    if turns < 1:
        raise ValueError(f'turns must be at least 1, got {turns}.')
    for case in cases:
        for backward in (False, True) if training else (False, ):
            if log:
                log(f'{case.layer} {case.title}, {PASSES[backward]}')
            yield _bench_case(case, peak, device, dtype, backward, turns, budget, compiled)


@dataclass
class LayerPass:
    """Forward pass of a layer without gradients, or forward and backward pass.

    Attributes:
        module: The layer.
        inputs: Its inputs.
        outputs: Its outputs.
        make_step: Turns a function of the inputs into one without arguments that runs the whole pass.
    """

    module: nn.Module
    inputs: tuple
    outputs: list[Tensor]
    make_step: Callable[[Callable], Callable[[], list]]


def prepare_pass(build: Callable[[], tuple[nn.Module, tuple]], device: str, dtype: torch.dtype,
                 training: bool) -> LayerPass:
    """Create a layer, its inputs, and the gradients of its outputs."""
    torch.manual_seed(0)
    module, inputs = build()
    module = module.to(device, dtype).train(training)
    inputs = tree_map(lambda x: x.to(device, dtype).requires_grad_(training), inputs)
    with torch.no_grad():
        outputs = tree_leaves(module(*inputs))
    gradients = [torch.randn_like(x) for x in outputs]

    def make_step(function):
        return _training_step(function, module, inputs, gradients) if training else _inference_step(function, inputs)

    return LayerPass(module, inputs, outputs, make_step)


def _inference_step(function, inputs):
    def step():
        with torch.no_grad():
            return [tree_leaves(function(*inputs))]

    return step


def _training_step(function, module, inputs, gradients):
    """Create a function that returns outputs, gradients of inputs and gradients of parameters, without accumulation."""
    maps, parameters = tree_leaves(inputs), list(module.parameters())

    def step():
        outputs = tree_leaves(function(*inputs))
        computed = torch.autograd.grad(outputs, [*maps, *parameters], gradients)
        return [x.detach() for x in outputs], computed[:len(maps)], computed[len(maps):]

    return step


def _bench_case(case, peak, device, dtype, training, turns, budget, compiled):
    run = prepare_pass(case.build, device, dtype, training)
    module, notes, error = run.module, [], None
    steps = dict(eager=run.make_step(module))
    if case.reference:
        if problem := _memory_problem(case.reference_numel[training] * dtype.itemsize, device):
            notes.append(problem)
        else:
            steps['reference'] = run.make_step(lambda *inputs: case.reference(module, *inputs))
            error = _check_agreement(case, steps, dtype)
    if compiled:
        torch.compiler.reset()  # otherwise the next shape would be compiled as dynamic
        steps['compiled'] = run.make_step(torch.compile(module, fullgraph=True))
        try:
            steps['compiled']()
        except Exception as failure:  # the compiler may fail in any way
            del steps['compiled']
            notes.append(f'torch.compile: {in_one_line(failure)}')

    moved = {name: bytes_moved(step) for name, step in steps.items() if name != 'compiled'}
    memory = {name: peak_memory(step, device) for name, step in steps.items()}
    seconds = timing.interleave(list(steps.values()), turns, 3, budget, timing.timer_for(device), timing.MIN_TURNS)
    measured = {name: Measurement(own, memory[name], moved.get(name)) for name, own in zip(steps, seconds)}
    detached = tree_map(torch.detach, run.inputs)  # FlopCounterMode fails on views of tensors that require gradients
    macs = count_macs(lambda: module(*detached)) * (3 if training else 1)  # a product has two gradients
    min_bytes = _min_bytes(case.training if training else case.inference, run, training)
    return LayerResult(case.layer, case.title, training, measured['eager'], measured.get('reference'),
                       measured.get('compiled'), error, min_bytes, macs, roofline_time(min_bytes, macs, peak), notes)


def _check_agreement(case, steps, dtype):
    """Maximum relative error over the groups of tensors that a pass returns."""
    error = max(map(_relative_error, steps['eager'](), steps['reference']()))
    if not error <= TOLERANCE[dtype]:
        raise ValueError(f'{case.layer} {case.title}: the relative error between the layer and its reference form must '
                         f'be at most {TOLERANCE[dtype]:.2g} in {str(dtype).removeprefix("torch.")}, got {error:.2g}. '
                         f'Fix one of them before comparing their times.')
    return error


def _relative_error(tensors, references):
    difference = sum((a.double() - b.double()).square().sum() for a, b in zip(tensors, references))
    return (difference / sum(b.double().square().sum() for b in references)).sqrt().item()


def _memory_problem(needed, device):
    free = available_memory(device)
    if needed <= free / 2:
        return ''
    return f'reference form skipped: it needs at least {needed / 2**30:.1f} GiB, and {free / 2**30:.1f} GiB are free'


def available_memory(device: str | torch.device) -> int:
    """Return the number of bytes that can be allocated on a device."""
    if torch.device(device).type == 'cuda':
        cached = torch.cuda.memory_reserved(device) - torch.cuda.memory_allocated(device)
        return torch.cuda.mem_get_info(device)[0] + cached
    try:
        lines = Path('/proc/meminfo').read_text().splitlines()
    except OSError:  # not Linux
        return UNKNOWN_MEMORY
    available, = (line.split()[1] for line in lines if line.startswith('MemAvailable'))
    return int(available) * 1024  # from KiB


def _min_bytes(passes, run, training):
    """Compute the bytes that must move. Parameters are read once, and their gradients are written in training."""
    inputs = sum(number * _nbytes(value) for number, value in zip(passes.inputs, run.inputs))
    parameters = _nbytes(list(run.module.parameters()))
    return inputs + passes.output * _nbytes(run.outputs) + parameters * (2 if training else 1)


def _nbytes(tensors):
    return sum(x.nbytes for x in tree_leaves(tensors))
