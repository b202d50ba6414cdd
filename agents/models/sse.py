"""Server-sent events, as far as model providers use them: bytes in, data of events out. No I/O.

Section 9.2 of the HTML standard, without ``id`` and ``retry``, and without the lone carriage return that it allows as
the end of a line.
"""

from __future__ import annotations

from collections.abc import Iterator

END = b"[DONE]"  # the data of OpenAI's last event


class EventDecoder:
    """Splits a stream into events. Those whose name is in ``ignored`` are dropped unread, which saves parsing them."""

    def __init__(self, ignored: frozenset[bytes] = frozenset()) -> None:
        self._ignored = ignored
        self._tail = b""
        self._name = b""
        self._data: list[bytes] = []

    def feed(self, chunk: bytes) -> Iterator[bytes]:
        """The data of each event that is complete with this chunk."""
        lines = (self._tail + chunk).split(b"\n")
        self._tail = lines.pop()
        for line in lines:
            if line in (b"", b"\r"):
                if self._data and self._name not in self._ignored:
                    yield b"\n".join(self._data)
                self._name, self._data = b"", []
            elif line.startswith(b"data:"):
                self._data.append(_value(line, 5))
            elif line.startswith(b"event:"):
                self._name = _value(line, 6)


def _value(line: bytes, start: int) -> bytes:
    value = line[start:].removesuffix(b"\r")
    return value.removeprefix(b" ")
