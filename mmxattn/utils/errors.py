"""Errors of other people's code, told in a sentence of ours."""


def in_one_line(error):
    """The class of an exception and the first line of what it says.

    Args:
        error (Exception): Of a model, a compiler, a file.

    Returns:
        str: ``RuntimeError: no such kernel``.
    """
    return f'{type(error).__name__}: {str(error).strip()}'.partition('\n')[0]
