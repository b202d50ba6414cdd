"""Waiting for SIGINT or SIGTERM, without missing one. Nothing is stopped here.

A lock that the main thread waits for does not do: a signal that comes just before it begins to wait, or that the system
hands to another thread, is noted and wakes nobody. What C writes to a socket at the moment of the signal does.
"""

from __future__ import annotations

import signal
import socket
from typing import Final, Self

STOPS: Final = (signal.SIGINT, signal.SIGTERM)


class StopSignals:
    """From entering on, SIGINT and SIGTERM end nothing: they are what ``wait`` waits for. In the main thread only."""

    def __enter__(self) -> Self:
        self._reader, self._writer = socket.socketpair()
        self._writer.setblocking(False)
        self._before = {number: signal.signal(number, _noted) for number in STOPS}
        self._wakes = signal.set_wakeup_fd(self._writer.fileno(), warn_on_full_buffer=False)
        return self

    def wait(self) -> signal.Signals:
        """Returns the first that has come, also when it came before this was called."""
        while True:
            number = self._reader.recv(1)[0]  # signals with other handlers are told of, too
            if number in STOPS:
                return signal.Signals(number)

    def __exit__(self, *error: object) -> None:
        signal.set_wakeup_fd(self._wakes)
        for number, handler in self._before.items():
            signal.signal(number, handler)
        self._reader.close()
        self._writer.close()


def _noted(number: int, frame: object) -> None:
    """A handler has to be there for the signal to be written to the socket, and not to end the process."""
