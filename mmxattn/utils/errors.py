"""Formatting of exceptions."""

__all__ = ['in_one_line']


def in_one_line(error: BaseException) -> str:
    """Format an exception as its class and the first line of its message, such as ``RuntimeError: no such kernel``."""
    return f'{type(error).__name__}: {str(error).strip()}'.partition('\n')[0]
