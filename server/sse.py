"""A response as server-sent events: the log's texts in the API's frames.

When the server drains, the stream ends after a whole event: its client goes on with ``starting_after``, here or on
another server.
"""

from __future__ import annotations

from typing import Final

from pydantic_core import to_json

from .answering import ENDINGS, Answering, Gone
from .errors import WireError, told
from .outgoing import kind_of

HEADERS: Final = (
    (b"content-type", b"text/event-stream; charset=utf-8"),
    (b"cache-control", b"no-cache"),
    (b"x-accel-buffering", b"no"),  # or proxies keep events back
)
PING: Final = b": still here\n\n"  # a comment: clients pass it over, and one that has gone is noticed


def frame(text: str) -> str:
    """One event, whose text is one line of JSON."""
    return f"event: {kind_of(text)}\ndata: {text}\n\n"


def error_frame(problem: WireError, sequence_number: int) -> str:
    """An error in the flat form that the SDK has for streams."""
    error = {"code": problem.code, "message": problem.message, "param": problem.param}
    return frame(to_json({"type": "error", "sequence_number": sequence_number, **error}).decode())


class EventStream(Answering):
    """The events of a response until it has ended."""

    async def answer(self) -> None:
        await self._send({"type": "http.response.start", "status": 200, "headers": [*HEADERS]})
        try:
            await self.follow()
        except ENDINGS:
            pass  # as at a drain
        except (Gone, OSError):
            raise Gone from None
        except Exception as error:
            text = error_frame(told(error), self.followed.last_number + 1)
            await self.write({"type": "http.response.body", "body": text.encode(), "more_body": True})
        await self.write_last({"type": "http.response.body", "body": b"", "more_body": False})

    async def hand_on(self, texts: list[str]) -> None:
        body = "".join(map(frame, texts)).encode() if texts else PING
        await self.write({"type": "http.response.body", "body": body, "more_body": True})
