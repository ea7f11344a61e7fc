"""What the loops of ``loops.py`` are told by ``on_cpu.py``."""
import ctypes

__all__ = ['QUERIES', 'Told']

QUERIES = 64  # that go through the keys together


class Told(ctypes.Structure):
    """Addresses of memory, the bytes from an image, a head and a token to the next in each, sizes, and the scale."""
    _fields_ = [
        *((name, ctypes.c_ssize_t) for tensor in ('q', 'k', 'v', 'out')
          for name in (tensor, f'{tensor}_image', f'{tensor}_head', f'{tensor}_token')),
        *((name, ctypes.c_ssize_t) for name in ('images', 'heads', 'queries', 'keys', 'channels', 'together')),
        ('scale', ctypes.c_float),
    ]
