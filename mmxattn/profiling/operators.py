"""Record the operators of PyTorch and mmcv that a model calls, to list those that a counter does not cover."""

import contextlib
import functools
from collections import Counter
from collections.abc import Container
from dataclasses import dataclass
from importlib import import_module
from unittest import mock

import torch
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

NO_ARITHMETIC = {  # allocate, copy or fill memory
    'aten.empty', 'aten.empty_like', 'aten.new_empty', 'aten.zeros', 'aten.zeros_like', 'aten.new_zeros', 'aten.ones',
    'aten.ones_like', 'aten.new_ones', 'aten.full', 'aten.full_like', 'aten.new_full', 'aten.fill_', 'aten.zero_',
    'aten.arange', 'aten.clone', 'aten.copy_', 'aten._to_copy', 'aten.cat', 'aten.stack', 'aten.repeat',
    'aten.constant_pad_nd', 'aten._local_scalar_dense', 'aten.scalar_tensor', 'aten._reshape_copy',
}


@dataclass(frozen=True)
class Operator:
    """Operator without a counting formula.

    Attributes:
        name: ``aten.native_batch_norm``, or ``mmcv.roi_align_forward`` for a compiled operator of mmcv.
        calls: Number of calls.
        elements: Total number of elements in the returned tensors, or in the largest argument if an operator writes
            into an argument and returns nothing, as those of mmcv do. There may be several operations per element.
    """

    name: str
    calls: int
    elements: int


class OperatorRecorder(TorchDispatchMode):
    """Context manager that records each operator that does arithmetic.

    Args:
        counted: Operators with a counting formula, as in ``torch.ops``. They are left out.
    """

    def __init__(self, counted: Container):
        super().__init__()
        self.counted = counted
        self.calls: Counter[str] = Counter()
        self.elements: Counter[str] = Counter()

    def __enter__(self):
        with contextlib.ExitStack() as stack:
            for owner, name in _mmcv_functions():
                wrapped = self._wrap(f'mmcv.{name}', getattr(owner, name))
                stack.enter_context(mock.patch.object(owner, name, wrapped))
            self._patches = stack.pop_all()
        return super().__enter__()

    def __exit__(self, *error):
        self._patches.close()
        return super().__exit__(*error)

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        result = func(*args, **(kwargs or {}))
        packet = func.overloadpacket
        if not (func.is_view or packet in self.counted or str(packet) in NO_ARITHMETIC):
            self._record(str(packet), result)
        return result

    def operators(self) -> list[Operator]:
        """Return the recorded operators, most elements first."""
        found = [Operator(name, calls, self.elements[name]) for name, calls in self.calls.items()]
        return sorted(found, key=lambda operator: (-operator.elements, operator.name))

    def _record(self, name, tensors):
        self.calls[name] += 1
        self.elements[name] += sum(leaf.numel() for leaf in tree_leaves(tensors) if isinstance(leaf, torch.Tensor))

    def _wrap(self, name, function):
        @functools.wraps(function)
        def call(*args, **kwargs):
            result = function(*args, **kwargs)
            tensors = [arg for arg in (*args, *kwargs.values()) if isinstance(arg, torch.Tensor)]
            self._record(name, max(tensors, key=torch.Tensor.numel, default=None) if result is None else result)
            return result
        return call


def _mmcv_functions():
    """Find mmcv's compiled operators, which are patched because they bypass PyTorch's dispatcher."""
    try:
        extension = import_module('mmcv._ext')
    except ImportError:  # mmcv-lite
        return []
    names = [name for name in dir(extension) if not name.startswith('_') and callable(getattr(extension, name))]
    return [(extension, name) for name in names]
