"""Environment of a timing: versions, device, threads, clock rate."""

import platform
from importlib import import_module
from pathlib import Path

import torch
from mmengine.device import get_device

from . import timing


def environment(scope: str) -> dict[str, str | int]:
    """Collect versions and hardware.

    Args:
        scope: ``default_scope`` of a recipe, which names the toolbox: 'mmdet' or 'mmseg'.

    Returns:
        Values by name. They are the same in every run on one machine.
    """
    packages = dict.fromkeys(['torch', 'mmengine', 'mmcv', scope, 'mmxattn'])
    versions = {package: import_module(package).__version__ for package in packages}
    on_gpu = get_device() == 'cuda'
    device = torch.cuda.get_device_name() if on_gpu else cpu_name()
    timer = 'CUDA events' if timing.timer_for(get_device()) is timing.cuda_events else 'time.perf_counter'
    return {**versions, 'python': platform.python_version(), 'device': device, 'threads': torch.get_num_threads(),
            'timer': timer}


def cpu_name() -> str:
    """Read the model name of the CPU."""
    return next(iter(_cpu_info('model name')), platform.processor() or platform.machine())


def clock_mhz() -> int | None:
    """Read the current clock rate of the device in MHz, or None if it is not available."""
    if get_device() == 'cuda':
        try:
            return torch.cuda.clock_rate()
        except Exception:  # requires NVIDIA's management library, a separate package
            return None
    return round(max(map(float, _cpu_info('cpu MHz')), default=0)) or None


def _cpu_info(key):
    """Return the values of a key in /proc/cpuinfo, one per core. Empty on systems other than Linux."""
    try:
        lines = Path('/proc/cpuinfo').read_text().splitlines()
    except OSError:
        return []
    return [line.partition(':')[2].strip() for line in lines if line.startswith(key)]
