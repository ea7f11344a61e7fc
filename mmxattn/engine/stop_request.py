"""A request to stop that all processes of a run notice at the same step."""
import signal
import threading

import torch
from mmengine.dist import all_reduce, get_world_size

__all__ = ['StopRequest']


class StopRequest:
    """Remembers that SIGTERM came; what follows is up to whoever asks.

    A cluster may send it several times and to any of the processes, so a second one changes nothing, and the processes
    agree before they act.
    """

    def __init__(self):
        self.received = False
        self.before = None

    def listen(self) -> None:
        """Take SIGTERM from now on. Only a main thread can; in another the signal ends the process as usual."""
        if threading.current_thread() is threading.main_thread():
            self.before = signal.signal(signal.SIGTERM, self._take)

    def leave(self) -> None:
        """Give SIGTERM back to who had it."""
        if self.before is not None:
            signal.signal(signal.SIGTERM, self.before)
            self.before = None

    def _take(self, number, frame):
        self.received = True

    def agreed(self) -> bool:
        """Whether it has reached any process: the same answer in all of them. Every process has to ask."""
        if get_world_size() == 1:
            return self.received
        flag = torch.tensor(float(self.received))
        all_reduce(flag, 'max')
        return bool(flag)
