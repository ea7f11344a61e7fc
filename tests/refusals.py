"""Wrong uses: what is done, the class of the error, and what its message has to hold."""
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
