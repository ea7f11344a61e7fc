"""The structure through which ``cpu.py`` passes arguments to the compiled kernels."""
import ctypes

__all__ = ['Int', 'KernelArgs', 'Stage']

Int = ctypes.c_ssize_t


class Stage:
    """Stages of the kernel. All threads finish a stage before the next one starts."""
    MEANS, GATES, POOL, CHANNELS, SMSA = range(5)  # SMSA is MEANS, GATES and POOL, one channel group at a time


class KernelArgs(ctypes.Structure):
    """Pointers to float32 tensors, sizes and constants.

    With M = C / groups, the tensors are x and y (B, C, H, W); mean_h and gate_h (B, groups, H, M); mean_w and gate_w
    (B, groups, W, M); pooled (B, C, H', W'); gate_c (B, C). ``params_ptr`` points to the addresses of the parameters.
    """
    _fields_ = [
        *((name, Int) for name in ('x_ptr', 'y_ptr', 'mean_h_ptr', 'mean_w_ptr', 'gate_h_ptr', 'gate_w_ptr',
                                   'pooled_ptr', 'gate_c_ptr', 'params_ptr', 'kernel_sizes_ptr')),
        *((name, Int) for name in ('batch', 'channels', 'height', 'width', 'groups', 'pooled_h', 'pooled_w',
                                   'window_h', 'window_w', 'stage')),
        *((name, ctypes.c_float) for name in ('gate_scale', 'eps_h', 'eps_w', 'eps')),
    ]
