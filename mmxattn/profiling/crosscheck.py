"""Cross-check of MAC counts with mmengine's counter, which traces the model instead of observing a run.

The two counters are independent of each other. mmengine's counter lacks a formula for fused attention, which is
added here. Operators other than multiply-adds, such as normalization and interpolation, are excluded from its total.
"""

import math
import warnings
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass

from mmengine.analysis import FlopAnalyzer
from torch import nn

from ..utils.errors import in_one_line

# Names of the analyzer's operators that are multiply-adds.
MULTIPLY_ADDS = {'conv', 'linear', 'matmul', 'bmm', 'addmm', 'einsum', 'baddbmm', 'attention'}


@dataclass(frozen=True)
class Crosscheck:
    """Result of the second counter.

    Attributes:
        macs: Multiply-adds, or None if the model could not be traced.
        disagreements: Innermost modules with different counts, each as [dotted name, first count, second count].
        failure: Reason why the model could not be traced, or None.
    """

    macs: int | None
    disagreements: list
    failure: str | None = None


def crosscheck_macs(model: nn.Module, function: Callable[[], object], expected: dict[str, int]) -> Crosscheck:
    """Count multiply-adds again and compare the counts module by module.

    Args:
        model: Model to count.
        function: Function that runs the model and returns everything that depends on its input. Tracing drops the rest.
        expected: Multiply-adds from the first counter by dotted module name, '' for the whole model.

    Returns:
        The second count and where it differs from ``expected``.
    """
    try:
        with warnings.catch_warnings():
            warnings.simplefilter('ignore')  # tracing warns about each Python number that becomes a constant
            counts = _traced_macs(model, function)
    except Exception as error:  # models may contain Python code that cannot be traced
        return Crosscheck(None, [], in_one_line(error))
    return Crosscheck(counts.get('', 0), _disagreements(expected, counts))


class _Traceable(nn.Module):
    """Wrap the model in a module whose forward takes and returns only tensors, as tracing requires."""

    def __init__(self, model, function):
        super().__init__()
        self.model, self.function = model, function

    def forward(self, anchor):
        return self.function(), anchor


def _traced_macs(model, function):
    analyzer = FlopAnalyzer(_Traceable(model, function), (next(model.parameters()).detach()[:1], ))
    analyzer.unsupported_ops_warnings(False).uncalled_modules_warnings(False).tracer_warnings('none')
    analyzer.set_op_handle('aten::scaled_dot_product_attention', _attention_macs)
    counts = {}
    for name, operators in analyzer.by_module_and_operator().items():
        if name == 'model' or name.startswith('model.'):
            macs = sum(int(number) for operator, number in operators.items() if operator in MULTIPLY_ADDS)
            counts[name.removeprefix('model').removeprefix('.')] = macs
    return counts


def _attention_macs(inputs, outputs):
    """Count L * S * (D + E) per leading index, for Q (..., L, D), K (..., S, D) and V (..., S, E)."""
    query, key, value = (tensor.type().sizes() for tensor in inputs[:3])
    return Counter(attention=math.prod(query[:-2]) * query[-2] * key[-2] * (query[-1] + value[-1]))


def _disagreements(first, second):
    names = [name for name in {**first, **second} if first.get(name, 0) != second.get(name, 0)]
    return [[name, first.get(name, 0), second.get(name, 0)] for name in names
            if not any(_is_inside(other, name) for other in names)]


def _is_inside(name, module):
    return name != module and (module == '' or name.startswith(f'{module}.'))
