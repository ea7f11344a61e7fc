"""SCSA as loops for a CPU, compiled by Numba: the passes over the map, and how threads share them.

Composed of PyTorch operators, SCSA reads its input nine times. Here, a thread computes the means, gates and pooled map
of a channel group while the group is in its cache (``Stage.SMSA``). When all threads are done, each computes the
attention of its share of the channels and multiplies them by their gates (``Stage.CHANNELS``). If there are too few
groups for the threads, the first part runs as three stages: ``MEANS``, ``GATES`` and ``POOL``.

In row and column means and gates, the channels of a group are the innermost dimension, so that even a convolution over
seven rows is vectorized over channels.
"""
from typing import Any

import numpy as np
from numba import carray

from ..compiled.jit import as_c_function, float_array, jit, num_threads, source_digest, thread_num
from .cpu_attention import channel_gate, normalize_pooled
from .cpu_gates import axis_gates
from .kernel_args import KernelArgs, Stage

__all__ = ['compile_kernel']

MEANS, GATES, POOL, CHANNELS, SMSA = Stage.MEANS, Stage.GATES, Stage.POOL, Stage.CHANNELS, Stage.SMSA


@jit
def axis_arrays(args, h_ptr, w_ptr):
    """View means or gates of rows and of columns: (B * groups, H, M) and (B * groups, W, M)."""
    groups, members = args.batch * args.groups, args.channels // args.groups
    return float_array(h_ptr, (groups, args.height, members)), float_array(w_ptr, (groups, args.width, members))


@jit
def axis_means(args, start, stop):
    """Average the rows and the columns of channels ``start`` to ``stop`` (Eq. 1)."""
    height, width, members = args.height, args.width, args.channels // args.groups
    x = float_array(args.x_ptr, (args.batch * args.channels, height, width))
    mean_h, mean_w = axis_arrays(args, args.mean_h_ptr, args.mean_w_ptr)
    column_sums = np.empty(width, np.float32)
    for channel in range(start, stop):
        group, member = channel // members, channel % members
        column_sums[:] = 0
        for i in range(height):
            row_sum = np.float32(0)
            for j in range(width):
                row_sum += x[channel, i, j]
                column_sums[j] += x[channel, i, j]
            mean_h[group, i, member] = row_sum / np.float32(width)
        for j in range(width):
            mean_w[group, j, member] = column_sums[j] / np.float32(height)


@jit
def pool(args, start, stop):
    """Average-pool channels ``start`` to ``stop``, gated by row and by column (Eq. 7 and 8).

    The rows of a window share the gates of its columns, so these are applied after summing over rows.
    """
    height, width, members = args.height, args.width, args.channels // args.groups
    x = float_array(args.x_ptr, (args.batch * args.channels, height, width))
    pooled = float_array(args.pooled_ptr, (args.batch * args.channels, args.pooled_h, args.pooled_w))
    gate_h, gate_w = axis_arrays(args, args.gate_h_ptr, args.gate_w_ptr)
    column_sums, column_gates = np.empty(width, np.float32), np.empty(width, np.float32)
    area = np.float32(args.window_h * args.window_w)
    for channel in range(start, stop):
        group, member = channel // members, channel % members
        for j in range(width):
            column_gates[j] = gate_w[group, j, member] / area
        for u in range(args.pooled_h):
            column_sums[:] = 0
            for i in range(u * args.window_h, (u + 1) * args.window_h):
                row_gate = gate_h[group, i, member]
                for j in range(width):
                    column_sums[j] += x[channel, i, j] * row_gate
            for v in range(args.pooled_w):
                total = np.float32(0)
                for j in range(v * args.window_w, (v + 1) * args.window_w):
                    total += column_sums[j] * column_gates[j]
                pooled[channel, u, v] = total


@jit
def gate_channels(args, start, stop):
    """Compute the gates of channels ``start`` to ``stop`` and the output (Eq. 9 to 13)."""
    channels, height, width, members = args.channels, args.height, args.width, args.channels // args.groups
    x = float_array(args.x_ptr, (args.batch * channels, height, width))
    y = float_array(args.y_ptr, (args.batch * channels, height, width))
    pooled = float_array(args.pooled_ptr, (args.batch, channels, args.pooled_h * args.pooled_w))
    gate_c = float_array(args.gate_c_ptr, args.batch * channels)
    gate_h, gate_w = axis_arrays(args, args.gate_h_ptr, args.gate_w_ptr)
    queries, keys = np.empty((channels, pooled.shape[2]), np.float32), np.empty((pooled.shape[2], channels), np.float32)
    values, scores = np.empty(channels, np.float32), np.empty(channels, np.float32)
    gates = np.empty(width, np.float32)
    current_image = -1
    for i_map in range(start, stop):
        image, channel, group, member = i_map // channels, i_map % channels, i_map // members, i_map % members
        if image != current_image:
            normalize_pooled(args, pooled[image], queries, keys, values)
            current_image = image
        gate = channel_gate(args, queries[channel], keys, values, scores)
        gate_c[i_map] = gate
        for j in range(width):
            gates[j] = gate_w[group, j, member] * gate
        for i in range(height):
            row_gate = gate_h[group, i, member]
            for j in range(width):
                y[i_map, i, j] = x[i_map, i, j] * row_gate * gates[j]


@jit
def run_stage(args, thread, threads):
    """Run a thread's share of a stage. A unit of work is a channel group or a channel, depending on the stage."""
    stage, members = args.stage, args.channels // args.groups
    by_group = stage == SMSA or stage == GATES
    units = args.batch * args.groups if by_group else args.batch * args.channels
    start, stop = units * thread // threads, units * (thread + 1) // threads
    if stage == MEANS:
        axis_means(args, start, stop)
    elif stage == POOL:
        pool(args, start, stop)
    elif stage == CHANNELS:
        gate_channels(args, start, stop)
    else:
        for group in range(start, stop):
            if stage == SMSA:
                axis_means(args, group * members, (group + 1) * members)
            axis_gates(args, group, axis_arrays(args, args.mean_h_ptr, args.mean_w_ptr),
                       axis_arrays(args, args.gate_h_ptr, args.gate_w_ptr))
            if stage == SMSA:
                pool(args, group * members, (group + 1) * members)


def compile_kernel(cache: bool) -> Any:
    """Compile :func:`run_stage` to a C function of a pointer to ``KernelArgs`` that every thread calls."""
    digest = source_digest(__file__)

    def scsa(pointer):
        digest  # noqa: B018  a closure variable is part of the key in Numba's cache
        run_stage(carray(pointer, 1)[0], thread_num(), num_threads())

    return as_c_function(scsa, KernelArgs, cache)
