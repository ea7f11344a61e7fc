"""A second opinion on multiply-adds: mmengine's counter, which traces the model instead of watching it run.

The two share nothing but the model. mmengine's has no rule for fused attention, so it gets one here; what it counts
beside multiply-adds (normalisation, interpolation) is left out, as the first counter has no rule for that.
"""

import math
import warnings
from collections import Counter
from dataclasses import dataclass

from mmengine.analysis import FlopAnalyzer
from torch import nn

MULTIPLY_ADDS = {  # the analyzer's own names for them
    'conv', 'linear', 'matmul', 'bmm', 'addmm', 'einsum', 'baddbmm', 'attention'}


@dataclass(frozen=True)
class SecondCount:
    """What the second counter says.

    Attributes:
        macs: Multiply-adds, each counted once; None where the model could not be traced.
        disagreements: Where the two differ, the innermost modules only: for each its dotted name, the first
            counter's multiply-adds and the second's.
        failure: Why it could not be traced; None where it could.
    """

    macs: int
    disagreements: list
    failure: str = None


def second_count(model, function, first):
    """Count once more, module by module, and compare.

    Args:
        model (torch.nn.Module): The model.
        function (Callable[[], object]): Runs it and returns all that depends on its input: a trace drops the rest.
        first (dict[str, int]): The first counter's multiply-adds by dotted module name; '' is the whole model.

    Returns:
        SecondCount: Its counts and where they differ from the first one's.
    """
    try:
        with warnings.catch_warnings():
            warnings.simplefilter('ignore')  # tracing warns of each Python number it takes for a constant
            counts = _traced_counts(model, function)
    except Exception as error:  # a model may do in Python whatever no trace can follow
        reason = str(error).strip().split('\n')[0]
        return SecondCount(None, [], f'{type(error).__name__}: {reason}')
    return SecondCount(counts.get('', 0), _disagreements(first, counts))


class _Traceable(nn.Module):
    """The model in a module whose forward takes and returns tensors only, as a trace asks."""

    def __init__(self, model, function):
        super().__init__()
        self.model, self.function = model, function

    def forward(self, anchor):
        return self.function(), anchor


def _traced_counts(model, function):
    analyzer = FlopAnalyzer(_Traceable(model, function), (next(model.parameters()).detach()[:1], ))
    analyzer.unsupported_ops_warnings(False).uncalled_modules_warnings(False).tracer_warnings('none')
    analyzer.set_op_handle('aten::scaled_dot_product_attention', _attention_macs)
    counts = {}
    for name, operators in analyzer.by_module_and_operator().items():
        if name == 'model' or name.startswith('model.'):
            macs = sum(int(number) for operator, number in operators.items() if operator in MULTIPLY_ADDS)
            counts[name[len('model.'):]] = macs
    return counts


def _attention_macs(inputs, outputs):
    """Of softmax(Q K^T) V with Q (..., L, D), K (..., S, D), V (..., S, E): L * S * (D + E) for each leading index."""
    query, key, value = (tensor.type().sizes() for tensor in inputs[:3])
    return Counter(attention=math.prod(query[:-2]) * query[-2] * key[-2] * (query[-1] + value[-1]))


def _disagreements(first, second):
    names = [name for name in {**first, **second} if first.get(name, 0) != second.get(name, 0)]
    return [[name, first.get(name, 0), second.get(name, 0)] for name in names
            if not any(_is_inside(other, name) for other in names)]


def _is_inside(name, module):
    return name != module and (module == '' or name.startswith(f'{module}.'))
