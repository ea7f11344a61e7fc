"""Run checks in a separate process, so that one that crashes or hangs does not stop the others."""
import json
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

__all__ = ['CheckResult', 'run_checks']

CHECKS = Path(__file__).with_name('checks.py')


@dataclass(frozen=True)
class CheckResult:
    """Result of a check: ``state`` is 'passed', 'skipped' or 'failed'."""

    name: str
    state: str
    message: str


def run_checks(names: Sequence[str], timeout: float = 120, script: Path = CHECKS) -> Iterator[CheckResult]:
    """Run checks one after the other in one process, which is restarted if it dies.

    Args:
        names: Names of checks in ``checks.py``.
        timeout: Time limit of each check in seconds.
        script: File with the checks.

    Yields:
        The result of each check, in order.
    """
    remaining = list(names)
    while remaining:
        process = subprocess.Popen([sys.executable, '-W', 'ignore', script, *remaining], stdout=subprocess.PIPE,
                                   stderr=subprocess.DEVNULL, text=True)
        try:
            for name, state, message in _read_results(process, timeout):
                remaining.remove(name)
                yield CheckResult(name, state, message)
            code = process.wait()
        finally:
            process.kill()
        if remaining:
            yield CheckResult(remaining.pop(0), 'failed', _exit_reason(code, timeout))


def _read_results(process: subprocess.Popen, timeout: float) -> Iterator[tuple[str, str, str]]:
    assert process.stdout is not None
    with process.stdout as lines:
        while True:
            timer = threading.Timer(timeout, process.kill)
            timer.start()
            try:
                line = lines.readline()
            finally:
                timer.cancel()
            if not line:
                return
            yield json.loads(line)


def _exit_reason(code: int, timeout: float) -> str:
    if code == -signal.SIGKILL:
        return f'timed out after {timeout:g} s, or was killed'
    return f'crashed with {signal.Signals(-code).name}' if code < 0 else f'exited with code {code}'
