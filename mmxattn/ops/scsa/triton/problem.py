"""Sizes of an SCSA call: the limits of the Triton kernels, and the tensors that they need."""
from dataclasses import dataclass

__all__ = ['NUM_CONVS', 'Problem', 'cdiv', 'next_power_of_2', 'param_grads', 'saved_tensors', 'within_limits',
           'workspace_bwd_tensors', 'workspace_tensors']

NUM_CONVS = 4  # convolutions that a kernel has arguments for

# Limits imposed by the size of a grid and the registers of a program.
MAX_BATCH = 2**16 - 1  # second dimension of a grid
MAX_CHANNELS = 2**12
MAX_WIDTH = 2048
MAX_KERNEL_SIZE = 31
MAX_GROUP = 2**14  # channels of a group x the longer side, each rounded up to a power of two
MAX_WINDOW_ROW = 2**14  # window height x width x windows per row, each rounded up to a power of two


@dataclass(frozen=True)
class Problem:
    """Sizes that determine the launch geometry."""
    batch: int
    channels: int
    height: int
    width: int
    window_h: int
    window_w: int
    kernel_sizes: tuple[int, ...]

    @property
    def num_maps(self) -> int:
        return self.batch * self.channels

    @property
    def num_groups(self) -> int:
        return len(self.kernel_sizes)

    @property
    def group_size(self) -> int:
        return self.channels // self.num_groups

    @property
    def pooled_h(self) -> int:
        return self.height // self.window_h

    @property
    def pooled_w(self) -> int:
        return self.width // self.window_w

    @property
    def num_pixels(self) -> int:
        return self.pooled_h * self.pooled_w


def within_limits(shape: tuple[int, ...], window: tuple[int, int], kernel_sizes: tuple[int, ...]) -> bool:
    """Check whether the kernels can process a map.

    Args:
        shape: (B, C, H, W) of the map.
        window: Height and width of the pooling window.
        kernel_sizes: Length of each group's convolution.

    Returns:
        False if the map exceeds a limit of the kernels, is empty, or has group norms over a single value, for which
        PyTorch raises an error.
    """
    batch, channels, height, width = shape
    num_maps, group_size = batch * channels, channels // len(kernel_sizes)
    window_row = next_power_of_2(window[0]) * next_power_of_2(window[1]) * next_power_of_2(width // window[1])
    return (0 < batch <= MAX_BATCH and 1 < channels <= MAX_CHANNELS and group_size * min(height, width) > 1
            and width <= MAX_WIDTH and len(kernel_sizes) <= NUM_CONVS and max(kernel_sizes) <= MAX_KERNEL_SIZE
            and next_power_of_2(group_size) * next_power_of_2(max(height, width)) <= MAX_GROUP
            and window_row <= MAX_WINDOW_ROW
            # offsets into all tensors except the maps are 32-bit; this bounds the largest of these tensors
            and 16 * num_maps * (height + width) + 2 * num_maps * height * width < 2**31)


def saved_tensors(p: Problem) -> dict[str, int]:
    """Return the number of elements of each tensor saved for backward. None of them is as large as the map."""
    return dict(
        axis_xhat_ptr=p.num_maps * (p.height + p.width),
        pooled_ptr=p.num_maps * p.num_pixels,
        n_mean_ptr=p.num_maps,
        lse_ptr=p.num_maps,
        channel_logit_ptr=p.num_maps,
        pooled_stats_ptr=p.batch * 2,
        axis_std_ptr=p.batch * p.num_groups * 2)


def workspace_tensors(p: Problem, num_parts: int, use_dot: bool) -> dict[str, int]:
    """Return the number of elements of each temporary tensor of the forward pass."""
    axis = p.num_maps * (p.height + p.width)
    return dict(
        normed_ptr=0 if use_dot else p.num_maps * (p.num_pixels + 1),
        axis_mean_ptr=axis,
        axis_gate_ptr=axis,
        part_stats_ptr=p.batch * num_parts * 3)


def workspace_bwd_tensors(p: Problem, use_dot: bool) -> dict[str, int]:
    """Return the number of elements of each temporary tensor of the backward pass."""
    axis = p.num_maps * (p.height + p.width)
    return dict(
        normed_ptr=0 if use_dot else p.num_maps * (p.num_pixels + 1),
        axis_mean_ptr=axis,
        axis_gate_ptr=axis,
        axis_sum_ptr=axis,
        grad_axis_logit_ptr=axis,
        grad_axis_mean_ptr=axis,
        grad_channel_logit_ptr=p.num_maps,
        grad_normed_ptr=p.num_maps * p.num_pixels,
        grad_pooled_ptr=p.num_maps * p.pooled_h * p.width)


def param_grads(p: Problem) -> dict[str, int]:
    """Return the number of elements of each parameter gradient, in the order of the parameters."""
    names = ('conv_bias', 'norm_h_weight', 'norm_h_bias', 'norm_w_weight', 'norm_w_bias', 'norm_weight', 'norm_bias',
             'q', 'k', 'v')
    return dict(grad_conv_weight_ptr=p.group_size * sum(p.kernel_sizes),
                **{f'grad_{name}_ptr': p.channels for name in names})


def next_power_of_2(n: int) -> int:
    return 1 << (n - 1).bit_length()


def cdiv(a: int, b: int) -> int:
    return -(-a // b)
