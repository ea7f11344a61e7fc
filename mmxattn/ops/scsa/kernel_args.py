"""What the loops of ``cpu_loops.py`` are told by ``on_cpu.py``."""
import ctypes

__all__ = ['EXCITE', 'GATES', 'MEANS', 'POOL', 'SQUEEZE', 'Address', 'Told']

SQUEEZE, MEANS, GATES, POOL, EXCITE = range(5)  # what is done in one call; the first is the next three

Address = Number = ctypes.c_ssize_t


class Told(ctypes.Structure):
    """The arguments: addresses of memory, then sizes and the stage, then numbers."""
    _fields_ = [
        *((name, Address) for name in ('x', 'y', 'rows', 'columns', 'pooled')),
        ('parameters', Address),  # of their addresses, in the order of ``parameters_of``
        ('kernel_sizes', Address),
        *((name, Number) for name in ('batch', 'channels', 'height', 'width', 'groups', 'down', 'across',
                                      'window_height', 'window_width', 'stage')),
        *((name, ctypes.c_float) for name in ('eps_h', 'eps_w', 'eps', 'limit')),
    ]
