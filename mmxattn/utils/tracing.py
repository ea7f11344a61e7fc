"""Whether a compiler or an exporter looks on: it fuses operators by itself, and is given the plain ones."""
from collections.abc import Sequence

import torch
from torch import Tensor
from torch.autograd import forward_ad

from .torch_compat import is_compiling

__all__ = ['ceil_div', 'is_observed', 'is_overwritable', 'is_traced', 'known_equal', 'needs_own_gradient', 'split']


def is_traced() -> bool:
    """Whether operators are recorded (torch.compile, torch.export, torch.jit.trace), and not only carried out."""
    return is_compiling() or torch.jit.is_tracing()


def is_observed(x: Tensor) -> bool:
    """Whether what is done to a tensor has to be done by PyTorch's operators, for something goes by these.

    Beside :func:`is_traced`: modes that see operators, such as counters of multiply-adds; tensors of other classes;
    ``torch.func``'s transforms and forward-mode gradients.
    """
    return (is_traced() or type(x) is not Tensor or torch._C._len_torch_dispatch_stack() > 0
            or torch._C._functorch.peek_interpreter_stack() is not None or forward_ad._current_level >= 0)


def is_overwritable() -> bool:
    """Whether a layer may work in place on what it has made itself: no gradient needs it, and no compiler looks on."""
    return not torch.is_grad_enabled() and not is_traced()


def needs_own_gradient(*tensors: Tensor) -> bool:
    """Whether an autograd function of our own is to be applied: a gradient is wanted, and no compiler makes it."""
    return torch.is_grad_enabled() and any(tensor.requires_grad for tensor in tensors) and not is_traced()


def known_equal(a: int, b: int) -> bool:
    """``a == b``; of sizes that a graph leaves open only what holds for all of them, so that it is built into none."""
    if torch.jit.is_tracing():
        return False
    if not is_compiling():
        return a == b
    from torch.fx.experimental.symbolic_shapes import statically_known_true
    return statically_known_true(a == b)


def ceil_div(a: int, b: int) -> int:
    """a / b, rounded up. Not -(-a // b): ONNX divides whole numbers toward zero, and exporters leave it at that."""
    return (a + b - 1) // b


def split(x: Tensor, sizes: Sequence[int], dim: int) -> Sequence[Tensor]:
    """``x.split(sizes, dim)``; to exporters as slices, for ONNX makes a sequence of a split, which TensorRT has not."""
    if not is_traced():
        return x.split(sizes, dim)
    starts = [sum(sizes[:i]) for i in range(len(sizes))]
    return [x.narrow(dim, start, size) for start, size in zip(starts, sizes)]
