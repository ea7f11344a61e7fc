"""Errors of command line tools: one message instead of a traceback."""
import shlex
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager

__all__ = ['exit_on_error', 'rerun_command', 'run_cli']


@contextmanager
def exit_on_error() -> Iterator[None]:
    """Turn a ``ValueError``, ``OSError`` or ``ImportError`` into ``SystemExit`` with its message."""
    try:
        yield
    except (ValueError, OSError, ImportError) as error:
        raise SystemExit(str(error)) from error


def run_cli(run: Callable[[], None], interrupt_message: str) -> None:
    """Run a command line tool.

    Args:
        run: Function that does the work.
        interrupt_message: Message to print after Ctrl-C.

    Raises:
        SystemExit: If ``run`` raises a ``ValueError``, ``OSError`` or ``ImportError``, or is interrupted.
    """
    try:
        with exit_on_error():
            run()
    except KeyboardInterrupt:
        sys.exit(f'\nStopped. {interrupt_message}')


def rerun_command() -> str:
    """Return the shell command that started this process."""
    return shlex.join([sys.executable, *sys.argv])
