"""Which operators a model calls, PyTorch's and those that the toolbox compiled, so that a count leaves none out."""

import contextlib
import functools
from collections import Counter
from dataclasses import dataclass
from importlib import import_module
from unittest import mock

import torch
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

NO_ARITHMETIC = {  # they allocate, copy or fill memory
    'aten.empty', 'aten.empty_like', 'aten.new_empty', 'aten.zeros', 'aten.zeros_like', 'aten.new_zeros', 'aten.ones',
    'aten.ones_like', 'aten.new_ones', 'aten.full', 'aten.full_like', 'aten.new_full', 'aten.fill_', 'aten.zero_',
    'aten.arange', 'aten.clone', 'aten.copy_', 'aten._to_copy', 'aten.cat', 'aten.stack', 'aten.repeat',
    'aten.constant_pad_nd', 'aten._local_scalar_dense', 'aten.scalar_tensor', 'aten._reshape_copy',
}


@dataclass(frozen=True)
class Operator:
    """An operator that a counter has no rule for.

    Attributes:
        name: ``aten.native_batch_norm``, or ``mmcv.roi_align_forward`` for one that the toolbox compiled.
        calls: How often it was called.
        elements: Elements of all the tensors that it returned; where it returns none but writes into an argument, as
            mmcv's do, those of the largest tensor it was given. Its arithmetic may be more for each element.
    """

    name: str
    calls: int
    elements: int


class Recorder(TorchDispatchMode):
    """While it is entered, take down each operator that computes something.

    Args:
        counted (Container): Operators, as torch.ops has them, that a counter has a rule for; they are left out.
    """

    def __init__(self, counted):
        super().__init__()
        self.counted = counted
        self.calls, self.elements = Counter(), Counter()

    def __enter__(self):
        with contextlib.ExitStack() as stack:
            for owner, name in _compiled_functions():
                stack.enter_context(mock.patch.object(owner, name, self._noted(f'mmcv.{name}', getattr(owner, name))))
            self._patches = stack.pop_all()
        return super().__enter__()

    def __exit__(self, *error):
        self._patches.close()
        return super().__exit__(*error)

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        result = func(*args, **(kwargs or {}))
        packet = func._overloadpacket
        if not (func.is_view or packet in self.counted or str(packet) in NO_ARITHMETIC):
            self._note(str(packet), result)
        return result

    def operators(self):
        """What was taken down.

        Returns:
            list[Operator]: The largest first.
        """
        found = [Operator(name, calls, self.elements[name]) for name, calls in self.calls.items()]
        return sorted(found, key=lambda operator: (-operator.elements, operator.name))

    def _note(self, name, tensors):
        self.calls[name] += 1
        self.elements[name] += sum(leaf.numel() for leaf in tree_leaves(tensors) if isinstance(leaf, torch.Tensor))

    def _noted(self, name, function):
        @functools.wraps(function)
        def call(*args, **kwargs):
            result = function(*args, **kwargs)
            given = [arg for arg in (*args, *kwargs.values()) if isinstance(arg, torch.Tensor)]
            self._note(name, max(given, key=torch.Tensor.numel, default=None) if result is None else result)
            return result
        return call


def _compiled_functions():
    """mmcv's operators do not pass PyTorch's dispatcher, where the others are seen."""
    try:
        extension = import_module('mmcv._ext')
    except ImportError:  # mmcv-lite
        return []
    names = [name for name in dir(extension) if not name.startswith('_') and callable(getattr(extension, name))]
    return [(extension, name) for name in names]
