"""What the loops of ``loops.py`` and ``gradient_loops.py`` are told by ``on_cpu.py``."""
import ctypes

__all__ = ['QUERIES', 'Told', 'ToldOfGradients']

QUERIES = 64  # that go through the keys together


def fields(tensors: tuple[str, ...], numbers: tuple[str, ...]) -> list[tuple[str, type]]:
    """Addresses of tensors' memory, the bytes from an image, a head and a token to the next in each; and numbers."""
    names = [name for tensor in tensors for name in (tensor, f'{tensor}_image', f'{tensor}_head', f'{tensor}_token')]
    return [(name, ctypes.c_ssize_t) for name in (*names, *numbers)]


SIZES = ('images', 'heads', 'queries', 'keys', 'channels')


class Told(ctypes.Structure):
    """Tensors, the address of the exponents that the gradients need (0: nobody wants them), sizes, and the scale."""
    _fields_ = [*fields(('q', 'k', 'v', 'out'), ('exponents', *SIZES, 'together')), ('scale', ctypes.c_float)]


class ToldOfGradients(ctypes.Structure):
    """Tensors and their gradients, the address of the exponents, sizes, and the scale."""
    _fields_ = [*fields(('q', 'k', 'v', 'out', 'grad', 'of_q', 'of_k', 'of_v'), ('exponents', *SIZES)),
                ('scale', ctypes.c_float)]
