"""SIGTERM as a stop request on which all processes of a run act at the same step."""
import signal
import threading
from typing import Any

import torch
from mmengine.dist import all_reduce, get_world_size

__all__ = ['StopRequest']


class StopRequest:
    """Handler that records SIGTERM.

    A cluster may send SIGTERM several times and to any of the processes. Repeated signals have no effect, and the
    processes agree through :meth:`received_by_any` before they stop.
    """

    def __init__(self):
        self.received = False
        self.previous_handler: Any = None

    def install(self) -> None:
        """Install the handler if this is the main thread. In other threads, SIGTERM ends the process as usual."""
        if threading.current_thread() is threading.main_thread():
            self.previous_handler = signal.signal(signal.SIGTERM, self._handle)

    def uninstall(self) -> None:
        """Restore the previous handler."""
        if self.previous_handler is not None:
            signal.signal(signal.SIGTERM, self.previous_handler)
            self.previous_handler = None

    def _handle(self, *_: Any) -> None:
        self.received = True

    def received_by_any(self) -> bool:
        """Check whether any process has received SIGTERM. All processes must call this and get the same result."""
        if get_world_size() == 1:
            return self.received
        flag = torch.tensor(float(self.received))
        all_reduce(flag, 'max')
        return bool(flag)
