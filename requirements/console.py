"""Messages and subprocesses of the setup. Uses only the standard library, as nothing is installed yet."""
import fcntl
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

__all__ = ['SetupError', 'file_lock', 'format_seconds', 'log', 'run']

HEARTBEAT = 20  # seconds between messages of a long command


class SetupError(Exception):
    """A failure of the setup. The message explains how to fix it."""


def log(text: str) -> None:
    print(f'[mmxattn] {text}', flush=True)


def format_seconds(seconds: float) -> str:
    return f'{seconds:.0f} s' if seconds < 90 else f'{seconds / 60:.0f} min'


@contextmanager
def file_lock(path: Path) -> Iterator[int]:
    """Hold a lock on a file. If another process holds it, print a message and wait.

    A child process that inherits the lock (``run(..., lock=...)``) keeps it if this process is killed, so that a second
    compilation does not start while the first one is running.

    Args:
        path: Lock file.

    Yields:
        Its file descriptor.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT)
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            log(f'waiting for another setup that holds {path}')
            fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield descriptor
    finally:
        os.close(descriptor)


def run(command: Sequence, log_file: Path, message: Callable[[float], str], *, cwd: Path | None = None,
        env: Mapping[str, str] | None = None, lock: int | None = None) -> None:
    """Run a command with its output in a log file, and print a message every 20 seconds.

    If this process is interrupted or terminated, the command and its children are stopped.

    Args:
        command: Program and arguments.
        log_file: File for stdout and stderr.
        message: Function that returns the message for the elapsed seconds.
        cwd: Working folder of the command.
        env: Environment of the command.
        lock: File descriptor of a lock that the command inherits.

    Raises:
        SetupError: If the command fails.
    """
    log_file.parent.mkdir(parents=True, exist_ok=True)
    start = time.monotonic()
    log(message(0))
    with open(log_file, 'wb') as output:
        # A new session, so that an interrupt can be sent to the compilers that setup.py has started.
        process = subprocess.Popen([str(part) for part in command], stdin=subprocess.DEVNULL, stdout=output,
                                   stderr=subprocess.STDOUT, cwd=cwd, env=env, start_new_session=True,
                                   pass_fds=() if lock is None else (lock,))
        try:
            while True:
                try:
                    code = process.wait(timeout=HEARTBEAT)
                    break
                except subprocess.TimeoutExpired:
                    log(message(time.monotonic() - start))
        except BaseException:
            _stop(process)
            raise
    if code:
        print('\n'.join(log_file.read_text(errors='replace').splitlines()[-30:]), file=sys.stderr)
        raise SetupError(f'the command failed with exit status {code}; its output is in {log_file}. Fix the cause and '
                         'run the same command again to continue.')


def _stop(process: subprocess.Popen) -> None:
    """Interrupt a process group, and kill it after ten seconds."""
    try:
        os.killpg(process.pid, signal.SIGINT)
        process.wait(timeout=10)
    except (ProcessLookupError, subprocess.TimeoutExpired):
        pass
    try:
        os.killpg(process.pid, signal.SIGKILL)
    except ProcessLookupError:
        pass
    process.wait()
