"""The line at which a person types, while news may come at any time. It reads in a thread, because reading blocks."""

from __future__ import annotations

import asyncio
import contextlib
import importlib
import sys
import termios
import threading
from collections.abc import Callable, Generator
from typing import Final

PROMPT: Final = "you · "
ERASE: Final = "\r\x1b[K"
_INPUT, _LOCAL = 0, 3  # where tcgetattr has these modes


class Prompt:
    """Calls ``typed`` in the event loop with each line, and with None at the end of the input."""

    def __init__(self, typed: Callable[[str | None], None]) -> None:
        self._typed = typed
        self._shown = False

    def start(self) -> None:
        """Begins to read."""
        loop = asyncio.get_running_loop()
        threading.Thread(target=self._read, args=(loop,), name="frontdesk-prompt", daemon=True).start()

    def _read(self, loop: asyncio.AbstractEventLoop) -> None:
        with contextlib.suppress(ImportError):
            importlib.import_module("readline")  # gives input() its editing and its history
        while True:
            self._shown = True
            try:
                line: str | None = input(PROMPT)
            except (EOFError, OSError, ValueError):
                line = None
            with contextlib.suppress(RuntimeError):  # the loop has ended
                loop.call_soon_threadsafe(self._typed, line)
            if line is None:
                return

    def leave(self) -> None:
        """Takes the prompt away for good."""
        sys.stdout.write(ERASE)
        sys.stdout.flush()

    @contextlib.contextmanager
    def aside(self, *, stay_away: Callable[[], bool]) -> Generator[None]:
        """Takes the prompt away while something is written, and puts it back unless ``stay_away``: more follows."""
        if self._shown:
            sys.stdout.write(ERASE)
        yield
        self._shown = not stay_away()
        if self._shown:
            sys.stdout.write(PROMPT + _typed_so_far())
        sys.stdout.flush()


def _typed_so_far() -> str:
    try:
        import readline
    except ImportError:
        return ""
    return readline.get_line_buffer()


@contextlib.contextmanager
def terminal_kept() -> Generator[None]:
    """Puts the terminal back as it was, also when a thread is still reading a line from it.

    A program that was killed while it read a line has left it without echo: that is mended first.
    """
    before = termios.tcgetattr(sys.stdin)
    before[_INPUT] |= termios.ICRNL
    before[_LOCAL] |= termios.ECHO | termios.ICANON
    termios.tcsetattr(sys.stdin, termios.TCSADRAIN, before)
    try:
        yield
    finally:
        termios.tcsetattr(sys.stdin, termios.TCSADRAIN, before)
