"""The most memory that a function holds at once."""

import contextlib
import itertools
import os

import torch
from torch.profiler import ProfilerActivity, profile


def peak_memory(function, device):
    """Bytes that PyTorch's allocator has handed out at the worst moment, above what was in use before.

    On a CPU these are tensors; what a library allocates for itself (oneDNN's scratch, for example) is not among them,
    so that the number does not depend on what else the process holds. Results that ``function`` leaves behind count.

    Args:
        function (Callable[[], object]): Called once.
        device (str | torch.device): Where it computes.

    Returns:
        int: Bytes, 0 or more.
    """
    return _peak_on_cuda(function) if torch.device(device).type == 'cuda' else _peak_on_cpu(function)


def _peak_on_cuda(function):
    torch.cuda.synchronize()
    before = torch.cuda.memory_allocated()
    torch.cuda.reset_peak_memory_stats()
    function()
    torch.cuda.synchronize()
    return torch.cuda.max_memory_allocated() - before


def _peak_on_cpu(function):
    # the profiler's summaries hold totals for each operator; the peak needs every allocation in its order
    with _silenced_profiler(), profile(activities=[ProfilerActivity.CPU], profile_memory=True) as profiler:
        function()
    events = [event for event in profiler.profiler.kineto_results.events() if event.name() == '[memory]']
    events.sort(key=lambda event: event.start_ns())
    held = itertools.accumulate(event.nbytes() for event in events)
    return max(held, default=0)


@contextlib.contextmanager
def _silenced_profiler():
    """The profiler tells from C++ when it starts, and of each block that is older than itself."""
    kept, nowhere = os.dup(2), os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, 2)
    try:
        yield
    finally:
        os.dup2(kept, 2)
        os.close(kept)
        os.close(nowhere)
