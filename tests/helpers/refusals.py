"""Wrong uses: what is done, the class of the error, what its message has to hold, and how long it may take."""
import contextlib
import signal
from pathlib import Path

import pytest


def refused(action, kind, *words):
    """Check that ``action`` raises one error of a class, twice with the same text, which holds all ``words``.

    Args:
        action: called without arguments.
        kind: class of the error.
        *words: the value that was given, and the way out.
    """
    messages = []
    for _ in range(2):
        with pytest.raises(kind) as caught:
            action()
        messages.append(str(caught.value))
    assert messages[0] == messages[1]
    missing = [word for word in words if word not in messages[0]]
    assert not missing, f'{missing} not in: {messages[0]}'


def contents(folder: Path) -> dict:
    """Every file below a folder, with its bytes."""
    return {path.relative_to(folder): path.read_bytes() for path in sorted(folder.rglob('*')) if path.is_file()}


@contextlib.contextmanager
def limited(seconds: float):
    """Fail what runs within, in the main thread, once it has taken longer."""
    def fail(*_):
        pytest.fail(f'Not done after {seconds} s.')

    before = signal.signal(signal.SIGALRM, fail)
    signal.setitimer(signal.ITIMER_REAL, seconds)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)
