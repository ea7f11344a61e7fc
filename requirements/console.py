"""How the set-up talks and runs its commands. Standard library only: it runs before anything is installed."""
import fcntl
import os
import signal
import subprocess
import sys
import time
from contextlib import contextmanager
from pathlib import Path

__all__ = ['SetupError', 'exclusive', 'minutes', 'run', 'say']

HEARTBEAT = 20  # seconds between two signs of life of a long command


class SetupError(Exception):
    """What went wrong and the way out, in words for the person at the terminal."""


def say(text: str) -> None:
    print(f'[mmxattn] {text}', flush=True)


def minutes(seconds: float) -> str:
    return f'{seconds:.0f} s' if seconds < 90 else f'{seconds / 60:.0f} min'


@contextmanager
def exclusive(path: Path):
    """Hold the lock file ``path``; wait, and say so, while another process has it.

    Yields the file descriptor. A child that inherits it (``run(..., lock=...)``) keeps the lock after this process was
    killed, so that no second compile starts beside one that is still running.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT)
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            say(f'waiting for another set-up that holds {path}')
            fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield descriptor
    finally:
        os.close(descriptor)


def run(command, log: Path, doing, *, cwd=None, env=None, lock=None) -> None:
    """Run ``command`` with its output in ``log``; say ``doing()`` at once and then every ``HEARTBEAT`` seconds.

    ``doing`` takes the seconds passed. Raises SetupError with the end of the log where the command fails. Where this
    process is interrupted or terminated, the command and all its children are interrupted as well and waited for.
    """
    log.parent.mkdir(parents=True, exist_ok=True)
    start = time.monotonic()
    say(doing(0))
    with open(log, 'wb') as output:
        # In a session of its own, for an interrupt has to reach the compilers behind setup.py, in this order.
        process = subprocess.Popen([str(part) for part in command], stdin=subprocess.DEVNULL, stdout=output,
                                   stderr=subprocess.STDOUT, cwd=cwd, env=env, start_new_session=True,
                                   pass_fds=() if lock is None else (lock,))
        try:
            while True:
                try:
                    code = process.wait(timeout=HEARTBEAT)
                    break
                except subprocess.TimeoutExpired:
                    say(doing(time.monotonic() - start))
        except BaseException:
            _stop(process)
            raise
    if code:
        tail = log.read_text(errors='replace').splitlines()[-30:]
        print('\n'.join(tail), file=sys.stderr)
        raise SetupError(f'the command above failed (exit status {code}); its whole output is in {log}. '
                         'Mend the cause and run the same command again: it goes on from here.')


def _stop(process) -> None:
    """Interrupt the process group of ``process``, wait ten seconds at most, and kill what is left of it."""
    try:
        os.killpg(process.pid, signal.SIGINT)
        process.wait(timeout=10)
    except (ProcessLookupError, subprocess.TimeoutExpired):
        pass
    try:
        os.killpg(process.pid, signal.SIGKILL)
    except ProcessLookupError:
        pass  # the group is empty: everything has ended
    process.wait()
