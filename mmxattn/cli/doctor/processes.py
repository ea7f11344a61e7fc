"""Checks are run in a process of their own: one that crashes or hangs is a result, and the rest goes on."""
import json
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

__all__ = ['Outcome', 'run']

CHECKS = Path(__file__).with_name('checks.py')


@dataclass(frozen=True)
class Outcome:
    """What came of a check: ``state`` is 'works', 'absent' (nothing to check) or 'fails'; ``told`` says more."""

    name: str
    state: str
    told: str


def run(names: Sequence[str], seconds: float = 120, script: Path = CHECKS) -> Iterator[Outcome]:
    """Run checks one after the other, in one process as long as it lives.

    Args:
        names: keys of ``checks.CHECKS``.
        seconds: what one check may take.
        script: the file that has them.

    Yields:
        An Outcome for each name, in their order.
    """
    left = list(names)
    while left:
        process = subprocess.Popen([sys.executable, '-W', 'ignore', script, *left], stdout=subprocess.PIPE,
                                   stderr=subprocess.DEVNULL, text=True)
        try:
            for name, state, told in answers(process, seconds):
                left.remove(name)
                yield Outcome(name, state, told)
            code = process.wait()
        finally:  # whoever stopped listening
            process.kill()
        if left:
            yield Outcome(left.pop(0), 'fails', death(code, seconds))


def answers(process: subprocess.Popen, seconds: float) -> Iterator[tuple[str, str, str]]:
    """The lines of a process, read as JSON; it is ended when one lets ``seconds`` pass after the one before."""
    assert process.stdout is not None
    with process.stdout as lines:
        while True:
            watch = threading.Timer(seconds, process.kill)
            watch.start()
            try:
                line = lines.readline()
            finally:
                watch.cancel()
            if not line:
                return
            yield json.loads(line)


def death(code: int, seconds: float) -> str:
    """Why a process ended before its check did."""
    if code == -signal.SIGKILL:
        return f'did not end within {seconds:g} s, or was killed'
    if code < 0:
        return f'ended the process with {signal.Signals(-code).name}'
    return f'ended the process with exit code {code}'
