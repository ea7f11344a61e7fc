"""Entry points of SCSA's Triton kernels, which take and return tensors."""
import functools
import itertools
import operator
from collections.abc import Sequence
from contextlib import AbstractContextManager, nullcontext
from typing import Any, NamedTuple

import torch
from torch import Tensor

from .config import KernelConfig, LaunchConfig, launch_config
from .problem import NUM_CONVS, Problem, within_limits

__all__ = ['backward', 'forward', 'is_supported']

MIN_CAPABILITY = (8, 0)  # compute capability: Ampere
MIN_PDL_CAPABILITY = (9, 0)  # programmatic dependent launch: Hopper
MIN_TRITON = (3, 6)  # compiled kernels take all arguments by position, constants included
INPUT_DTYPES = (torch.float16, torch.bfloat16, torch.float32)
NUM_STAGES = 1  # no software pipelining: prefetching tiles to shared memory costs more than it saves

PARAM_ARGS = [
    *(f'conv_w{i}_ptr' for i in range(NUM_CONVS)), *(f'conv_b{i}_ptr' for i in range(NUM_CONVS)), 'norm_h_weight_ptr',
    'norm_h_bias_ptr', 'norm_w_weight_ptr', 'norm_w_bias_ptr', 'norm_weight_ptr', 'norm_bias_ptr', 'q_weight_ptr',
    'k_weight_ptr', 'v_weight_ptr'
]


def is_supported(x: Tensor, params: Sequence[Tensor], window: tuple[int, int], kernel_sizes: tuple[int, ...]) -> bool:
    """Check whether the kernels can process an input.

    Args:
        x: Input of shape (B, C, H, W).
        params: Parameters as in :func:`forward`. The caller checks that they share a dtype and the device of ``x``, and
            that all tensors are contiguous.
        window: Height and width of the pooling window.
        kernel_sizes: Length of each group's convolution.

    Returns:
        True if ``x`` is on a GPU of compute capability 8.0 or higher, Triton is 3.6 or newer, and dtype and sizes are
        within the kernels' limits. float64 is not supported.
    """
    return (x.is_cuda and x.dtype in INPUT_DTYPES and params[0].dtype in INPUT_DTYPES
            and _device_is_supported(x.device) and within_limits(x.shape, window, kernel_sizes))


def forward(x: Tensor, params: Sequence[Tensor], window: tuple[int, int], gate_scale: float,
            kernel_sizes: tuple[int, ...], eps: tuple[float, float, float]) -> tuple[Tensor, Tensor]:
    """Compute SCSA.

    Args:
        x: Contiguous input of shape (B, C, H, W).
        params: Convolution weights (C / groups, 1, k) of each group, convolution biases (C / groups,) of each group;
            norm_h.weight, norm_h.bias, norm_w.weight, norm_w.bias, norm.weight, norm.bias (C,) each; q.weight,
            k.weight, v.weight (C, 1, 1, 1) each. All of one dtype.
        window: Height and width of the pooling window.
        gate_scale: Factor of every gate.
        kernel_sizes: Length of each group's convolution.
        eps: Epsilons of norm_h, norm_w and norm.

    Returns:
        Output of shape (B, C, H, W), and a 1-D tensor that :func:`backward` needs.
    """
    plan = _plan(x.shape, x.dtype, params[0].dtype, x.device, window, gate_scale, kernel_sizes, eps)
    with _current_device(x.device):
        x = _aligned(x)
        y = torch.empty_like(x)
        saved = x.new_empty(plan.saved.numel, dtype=plan.acc_dtype)
        workspace = x.new_empty(plan.workspace.numel, dtype=plan.acc_dtype)
        tensors = _named(params, len(kernel_sizes)) | dict(x_ptr=x, y_ptr=y)
        _run(plan.forward, tensors, [(saved, plan.saved), (workspace, plan.workspace)])
    return y, saved


def backward(grad: Tensor, x: Tensor, saved: Tensor, params: Sequence[Tensor], window: tuple[int, int],
             gate_scale: float, kernel_sizes: tuple[int, ...],
             eps: tuple[float, float, float]) -> tuple[Tensor, list[Tensor]]:
    """Compute the gradients of SCSA.

    Args:
        grad: Gradient of the output, of shape (B, C, H, W) and the dtype of ``x``.
        x: Input of :func:`forward`.
        saved: Second output of :func:`forward`.
        params: As in :func:`forward`.
        window: As in :func:`forward`.
        gate_scale: As in :func:`forward`.
        kernel_sizes: As in :func:`forward`.
        eps: As in :func:`forward`.

    Returns:
        Gradient of ``x``, and the gradient of each parameter.
    """
    plan = _plan(x.shape, x.dtype, params[0].dtype, x.device, window, gate_scale, kernel_sizes, eps)
    with _current_device(x.device):
        x, grad = _aligned(x), _aligned(grad.contiguous())
        grad_x = torch.empty_like(x)
        workspace = x.new_empty(plan.workspace_bwd.numel, dtype=plan.acc_dtype)
        param_grads = x.new_empty(x.shape[0], plan.param_grads.numel, dtype=plan.acc_dtype)  # a row per image
        tensors = _named(params, len(kernel_sizes)) | dict(x_ptr=x, grad_y_ptr=grad, grad_x_ptr=grad_x)
        _run(plan.backward, tensors, [(saved, plan.saved), (workspace, plan.workspace_bwd),
                                      (param_grads, plan.param_grads)])
        flat = param_grads.sum(0).to(params[0].dtype)
    grads = flat.split([p.numel() for p in params])
    return grad_x, [g if p.dim() == 1 else g.view_as(p) for g, p in zip(grads, params)]


class Layout:
    """Layout of several tensors in one allocation. Separate allocations would each take as long as a launch.

    Attributes:
        offsets: Index of the first element of each tensor, by argument name.
        numel: Number of elements in total.
    """

    def __init__(self, sizes: dict[str, int]):
        *offsets, self.numel = itertools.accumulate(sizes.values(), initial=0)
        self.offsets = dict(zip(sizes, offsets))

    def addresses(self, buffer: Tensor) -> dict[str, int]:
        """Return the address of each tensor."""
        base, itemsize = buffer.data_ptr(), buffer.element_size()
        return {name: base + offset * itemsize for name, offset in self.offsets.items()}

    def tensors(self, buffer: Tensor) -> dict[str, Tensor]:
        """Return a view of each tensor, which extends to the end of the buffer."""
        return {name: buffer.view(-1)[offset:] for name, offset in self.offsets.items()}


class Launch:
    """A kernel with all arguments except its tensors, which a call selects from a dict by argument name.

    ``kernel[grid](...)`` looks up the compiled kernel in every call, which takes longer than the launch. A ``Launch``
    looks it up once: its dtypes and device are fixed, and the kernels specialize on nothing else.
    """

    def __init__(self, kernel: Any, config: KernelConfig, sizes: dict[str, int], constants: dict[str, Any]):
        constants = {**constants, **config.constants}
        self.kernel = kernel
        self.grid = (*config.grid, 1, 1)[:3]
        self.constants = {name: constants[name] for name in kernel.arg_names if name in constants}
        self.options = dict(num_warps=config.num_warps, num_stages=NUM_STAGES, launch_pdl=constants['USE_PDL'])
        # a kernel takes its tensors first, then sizes, then constants
        self.select_tensors = operator.itemgetter(*(name for name in kernel.arg_names if name.endswith('_ptr')))
        self.sizes = tuple(sizes[name] for name in kernel.arg_names if name in sizes)
        self.sizes_and_constants = (*self.sizes, *self.constants.values())
        self.launch_compiled: Any = None

    def __call__(self, tensors: dict[str, Any]) -> None:
        if self.launch_compiled is not None:
            self.launch_compiled(*self.select_tensors(tensors), *self.sizes_and_constants)
            return
        compiled = self.kernel[self.grid](*self.select_tensors(tensors), *self.sizes, **self.constants, **self.options)
        if compiled is not None:  # Triton's interpreter compiles nothing
            self.launch_compiled = compiled[self.grid]


class Plan(NamedTuple):
    """Launches and tensor layouts for a shape, dtypes and a device."""
    acc_dtype: torch.dtype
    saved: Layout
    workspace: Layout
    workspace_bwd: Layout
    param_grads: Layout
    forward: list[Launch]
    backward: list[Launch]


@functools.lru_cache(1024)
def _plan(shape: torch.Size, dtype: torch.dtype, param_dtype: torch.dtype, device: torch.device,
          window: tuple[int, int], gate_scale: float, kernel_sizes: tuple[int, ...],
          eps: tuple[float, float, float]) -> Plan:
    """Prepare the launches. ``param_dtype`` and ``device`` are arguments because compiled kernels depend on them."""
    batch, channels, height, width = shape
    acc_dtype = torch.promote_types(dtype, torch.float32)
    config = launch_config(Problem(batch, channels, height, width, *window, kernel_sizes))
    constants = dict(
        ACC_DTYPE=acc_dtype,
        USE_PDL=device.type == 'cuda' and torch.cuda.get_device_capability(device) >= MIN_PDL_CAPABILITY,
        GATE_SCALE=gate_scale,
        SM_SCALE=channels**-0.5,
        NUM_GROUPS=len(kernel_sizes),
        MAX_KERNEL_SIZE=max(kernel_sizes),
        EPS_H=eps[0],
        EPS_W=eps[1],
        EPS=eps[2])
    return Plan(acc_dtype, Layout(config.saved), Layout(config.workspace), Layout(config.workspace_bwd),
                Layout(config.param_grads), *_launches(config, constants))


def _launches(config: LaunchConfig, constants: dict[str, Any]) -> tuple[list[Launch], list[Launch]]:
    import triton.language as tl  # imported here because only CUDA builds of PyTorch include Triton

    from . import attention_kernels, backward_kernels, forward_kernels
    kernels = vars(forward_kernels) | vars(attention_kernels) | vars(backward_kernels)
    constants = dict(constants, ACC_DTYPE=getattr(tl, str(constants['ACC_DTYPE']).removeprefix('torch.')))
    return ([Launch(kernels[c.kernel], c, config.sizes, constants) for c in config.forward],
            [Launch(kernels[c.kernel], c, config.sizes, constants) for c in config.backward])


def _run(launches: Sequence[Launch], tensors: dict[str, Tensor], buffers: Sequence[tuple[Tensor, Layout]]) -> None:
    """Launch kernels in order.

    Compiled kernels get addresses, which take half as long to pass as tensors. The first call passes tensors, because
    Triton compiles for their dtypes.
    """
    if all(launch.launch_compiled is not None for launch in launches):
        args: dict[str, Any] = dict(zip(tensors, map(Tensor.data_ptr, tensors.values())))
        for buffer, layout in buffers:
            args |= layout.addresses(buffer)
    else:
        args = dict(tensors)
        for buffer, layout in buffers:
            args |= layout.tensors(buffer)
    for launch in launches:
        launch(args)


def _named(params: Sequence[Tensor], num_groups: int) -> dict[str, Tensor]:
    """Map argument names to parameters. Arguments of groups that do not exist get a tensor that is not read."""
    if num_groups < NUM_CONVS:
        weights, biases = params[:num_groups], params[num_groups:2 * num_groups]
        unused = [weights[0]] * (NUM_CONVS - num_groups)
        params = [*weights, *unused, *biases, *unused, *params[2 * num_groups:]]
    return dict(zip(PARAM_ARGS, params))


@functools.cache
def _device_is_supported(device: torch.device) -> bool:
    if torch.version.cuda is None or torch.cuda.get_device_capability(device) < MIN_CAPABILITY:
        return False
    try:
        import triton
    except ImportError:
        return False
    return tuple(map(int, triton.__version__.split('.')[:2])) >= MIN_TRITON


def _current_device(device: torch.device) -> AbstractContextManager:
    """Return a context in which ``device`` is the current GPU, on which Triton launches kernels."""
    if device.type != 'cuda' or device.index == torch.cuda.current_device():
        return nullcontext()
    return torch.cuda.device(device)


def _aligned(x: Tensor) -> Tensor:
    """Copy a tensor that does not start at a multiple of 16 bytes, which vectorized loads need."""
    return x.clone() if x.data_ptr() % 16 else x
