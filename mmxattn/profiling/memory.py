"""Peak memory of a function."""

import contextlib
import itertools
import os
from collections.abc import Callable

import torch
from torch.profiler import ProfilerActivity, profile


def peak_memory(function: Callable[[], object], device: str | torch.device) -> int:
    """Measure by how much one call raises the memory in use by PyTorch's allocator.

    On a CPU this covers tensors only. Memory that a library allocates internally, such as oneDNN's scratch space, is
    not included, so the result does not depend on the rest of the process. Results that ``function`` keeps alive are
    included.

    Args:
        function: Function to call once.
        device: Device on which it runs.

    Returns:
        Bytes above the level before the call, 0 or more.
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
    # The profiler's summaries are totals per operator. The peak needs every allocation in order.
    with _silence_stderr(), profile(activities=[ProfilerActivity.CPU], profile_memory=True) as profiler:
        function()
    events = [event for event in profiler.profiler.kineto_results.events() if event.name() == '[memory]']
    events.sort(key=lambda event: event.start_ns())
    in_use = itertools.accumulate(event.nbytes() for event in events)
    return max(in_use, default=0)


@contextlib.contextmanager
def _silence_stderr():
    """Redirect file descriptor 2: the profiler logs from C++, for example each block allocated before it started."""
    saved, devnull = os.dup(2), os.open(os.devnull, os.O_WRONLY)
    os.dup2(devnull, 2)
    try:
        yield
    finally:
        os.dup2(saved, 2)
        os.close(saved)
        os.close(devnull)
