"""SCSA's gates of rows and columns as Numba loops: convolution, group norm and sigmoid (Eq. 3 to 6)."""
import math

import numpy as np

from ..compiled.jit import exp2, float_array, int_array, jit

__all__ = ['LOG2_E', 'axis_gates', 'parameter']

LOG2_E = np.float32(math.log2(math.e))
ONE = np.float32(1)


@jit
def parameter(args, index, shape):
    """View a parameter. The order is convolution weights and biases, norm_h, norm_w, norm, and q, k, v."""
    return float_array(int_array(args.params_ptr, 2 * args.groups + 9)[index], shape)


@jit
def axis_gates(args, group, means, gates):
    """Compute the gates of one channel group, ``group`` of B * groups, from its row and column means."""
    index = group % args.groups
    gate_sequence(args, index, 2 * args.groups, args.eps_h, means[0][group], gates[0][group])
    gate_sequence(args, index, 2 * args.groups + 2, args.eps_w, means[1][group], gates[1][group])


@jit
def gate_sequence(args, group, norm, eps, means, gates):
    """Compute gates (L, M) from means (L, M). ``norm`` is the index of the norm's weight."""
    length, members = means.shape
    conv = np.empty((length, members), np.float32)
    convolve(args, group, means, conv)
    mean, rstd = moments(conv, eps)
    weight, bias = parameter(args, norm, args.channels), parameter(args, norm + 1, args.channels)
    scale, shift = np.empty(members, np.float32), np.empty(members, np.float32)
    for m in range(members):  # sigmoid(z) = 1 / (1 + 2**(-z * log2(e)))
        scale[m] = -LOG2_E * weight[group * members + m] * rstd
        shift[m] = -LOG2_E * bias[group * members + m] - mean * scale[m]
    gate_scale = args.gate_scale
    for i in range(length):
        for m in range(members):
            gates[i, m] = gate_scale / (ONE + exp2(conv[i, m] * scale[m] + shift[m]))


@jit
def convolve(args, group, x, out):
    """Convolve sequences (L, M) with the kernels of a channel group, zero-padded."""
    length, members = x.shape
    kernel_size = int_array(args.kernel_sizes_ptr, args.groups)[group]
    weight = parameter(args, group, (members, kernel_size)).T.copy()
    bias = parameter(args, args.groups + group, members)
    for i in range(length):
        for m in range(members):
            out[i, m] = bias[m]
        first = i - kernel_size // 2
        for tap in range(max(0, -first), min(kernel_size, length - first)):
            for m in range(members):
                out[i, m] += weight[tap, m] * x[first + tap, m]


@jit
def moments(x, eps):
    """Return the mean and the reciprocal standard deviation of all elements of a 2-D array."""
    total, squares = np.float32(0), np.float32(0)
    for i in range(x.shape[0]):
        for j in range(x.shape[1]):
            total += x[i, j]
    mean = total / np.float32(x.size)
    for i in range(x.shape[0]):
        for j in range(x.shape[1]):
            squares += (x[i, j] - mean)**2
    return mean, ONE / np.sqrt(squares / np.float32(x.size) + eps)
