"""SCSA as Triton kernels for NVIDIA GPUs.

For a map x (H, W) of one image and channel, SCSA computes y = x a c g, with a gate a for each row, c for each column
and g for the channel. Each gate is gate_scale * sigmoid(logit):

    row logits       GroupNorm(Conv1d(mean of x over columns)); column logits likewise        Eq. 1 to 6
    p                average pooling of x a c                                                 Eq. 7, 8
    channel logits   mean over pixels of attention between channels of GroupNorm(1, C)(p)     Eq. 9 to 12
    y                x a c g                                                                  Eq. 13

Memory bandwidth and kernel launches limit the speed, so the kernels are organized by passes over maps:

    forward_kernels     axis_means_kernel             reads x               row and column means
                        axis_gates_kernel                                   a, c
                        pool_kernel                   reads x               p
    attention_kernels   channel_attention_kernel                            g
    forward_kernels     apply_gates_kernel            reads x, writes y     y

    backward_kernels    gate_grad_sums_kernel         reads x, dL/dy        dL/dg, sums for dL/da, dL/dc
    attention_kernels   channel_attention_bwd_kernel                        dL/dn, where n is the normalized p
    backward_kernels    axis_logit_grads_kernel       reads x               dL/dp, dL/da, dL/dc
                        axis_gates_bwd_kernel                               dL/dmeans
                        input_grad_kernel             reads dL/dy, writes dL/dx

Forward needs all four passes, because p depends on all means and g on all of p. Backward needs all five, because dL/da
depends on dL/dp, which depends on dL/dg, and dL/dx depends on dL/da. For batches with many channel groups,
fused_smsa_kernel does the work of the first three kernels in one launch. These identities keep all other tensors small:

- The gated map x a c is never stored: pooling and the product multiply by the gates when they load x.
- dL/da needs x dL/dy only as sums over columns, dL/dc only as sums over rows, and dL/dg is a sum of these sums.
- dL/dp is constant within a window, so its part of dL/da is a sum over x c dL/dp.
- The mean over pixels of the attention's output is the attention of the mean values (``attention_kernels``).

Sums are in float32, or float64 for float64 inputs in Triton's interpreter. Kernels are compiled for tile sizes, which
are powers of two, rather than for image sizes, so most new image sizes do not require a compilation.

``launch`` has the entry points, ``config`` the launch geometry, and ``problem`` the limits and the temporary tensors.
"""
from .launch import backward, forward, is_supported
from .problem import within_limits

__all__ = ['backward', 'forward', 'is_supported', 'within_limits']
