"""What timings depend on besides the recipe: versions, device, threads, clocks."""

import platform
from importlib import import_module
from pathlib import Path

import torch
from mmengine.device import get_device

from . import timing as speed


def environment(scope):
    """Versions and the machine.

    Args:
        scope (str): A recipe's ``default_scope``, which names the toolbox: mmdet, mmseg.

    Returns:
        dict[str, str | int]: By name; the same on the same machine.
    """
    packages = dict.fromkeys(['torch', 'mmengine', 'mmcv', scope, 'mmxattn'])
    versions = {package: import_module(package).__version__ for package in packages}
    on_gpu = get_device() == 'cuda'
    device = torch.cuda.get_device_name() if on_gpu else processor()
    timer = 'CUDA events' if speed.timer_for(get_device()) is speed.cuda_events else 'time.perf_counter'
    return {**versions, 'python': platform.python_version(), 'device': device, 'threads': torch.get_num_threads(),
            'timer': timer}


def processor():
    """The CPU's name as the system tells it."""
    try:
        lines = Path('/proc/cpuinfo').read_text().splitlines()
    except OSError:  # not Linux
        return platform.processor() or platform.machine()
    names = [line.partition(':')[2].strip() for line in lines if line.startswith('model name')]
    return names[0] if names else platform.machine()


def clock_mhz():
    """The clock of the device at this moment.

    Returns:
        int: MHz; None where the system does not tell it.
    """
    if get_device() == 'cuda':
        try:
            return torch.cuda.clock_rate()
        except Exception:  # the driver's library for it is a package of its own
            return None
    try:
        lines = Path('/proc/cpuinfo').read_text().splitlines()
    except OSError:
        return None
    clocks = [float(line.partition(':')[2]) for line in lines if line.startswith('cpu MHz')]
    return round(max(clocks)) if clocks else None
