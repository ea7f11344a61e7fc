"""How the tools end: wrong words and Ctrl-C in a sentence, and not in a traceback."""
import shlex
import sys
from collections.abc import Callable

__all__ = ['run_to_the_end', 'same_command']


def run_to_the_end(run: Callable[[], None], stopped: str) -> None:
    """Run a tool.

    Args:
        run: the tool's work.
        stopped: what to say of work that Ctrl-C stopped.

    Raises:
        SystemExit: the work was stopped, or was asked for in a way that the sentence tells.
    """
    try:
        run()
    except KeyboardInterrupt:
        sys.exit(f'\nStopped. {stopped}')
    except (ValueError, OSError) as error:
        sys.exit(str(error))


def same_command() -> str:
    """What was typed, for a shell."""
    return shlex.join([sys.executable, *sys.argv])
