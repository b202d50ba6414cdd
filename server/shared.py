"""What the log says to many clients alike: the bytes of one write, made once for those who stand at one place.

Whoever follows more than a subscription goes through ``ready``, event by event. Nothing waits here.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from ..broker.events import texts
from ..broker.wakeups import Events
from .follow import Follower, Follows
from .outgoing import kind_of, lane_of, prefix
from .ready import BURST, PIECE
from .websocket import Transport, framed


@dataclass(frozen=True, slots=True)
class Shared:
    """One write, and what a follower must know to have dealt with it."""

    frames: bytes
    last: int  # cursor of its last event
    responses: frozenset[str]
    newest: str  # the last response that it tells of; empty: of none
    failed: bool  # a response has


def fits(rows: Sequence[Events]) -> bool:
    """Whether these are events for one write."""
    return bool(rows) and sum(len(row.body) for row in rows) <= PIECE and sum(row.count for row in rows) <= BURST


def shared(rows: Sequence[Events], after: int) -> Shared:
    """All events of these rows, which fit, after a cursor, as a subscription shows them."""
    head = prefix(lane_of(rows[0].conversation_id))
    found = [text for row in rows for _, text in texts(row, after)]
    named = [row.response_id for row in rows if row.response_id]
    return Shared(
        frames=framed([head + text[1:] for text in found]),
        last=rows[-1].first + rows[-1].count - 1,
        responses=frozenset(named),
        newest=named[-1] if named else "",
        failed=any(kind_of(text) == "response.failed" for text in found),
    )


class Latest:
    """The write that was made last, kept for those who come next: who stands at one place gets the very same rows from
    the hub. What does not fit into one write is not kept.
    """

    __slots__ = ("_after", "_found", "_rows")

    def __init__(self) -> None:
        self._rows: Sequence[Events] | None = None
        self._after = 0
        self._found: Shared | None = None

    def of(self, rows: Sequence[Events], after: int) -> Shared | None:
        """One write of these rows after a cursor; None when they do not fit."""
        if rows is not self._rows or after != self._after:
            if not fits(rows):
                return None
            self._rows, self._after, self._found = rows, after, shared(rows, after)
        return self._found


class Reader(Protocol):
    """Whose connection it is: the write that was made last for anybody, and the conversations that are not stored."""

    latest: Latest
    chains: set[str]


def send_shared(
    transport: Transport, follows: Follows, follower: Follower, rows: Sequence[Events], reader: Reader
) -> bool:
    """Sends what there is to a client that has nothing but a subscription here; False: nothing was sent.

    A conversation in which a response has failed is taken out of the chains. Raises OSError.
    """
    if not follows.only_subscribes(follower):
        return False
    found = reader.latest.of(rows, follower.position)
    if found is None or follows.has_own(found.responses):
        return False
    transport.send_frames(found.frames)
    follows.passed(follower, found.last, found.newest)
    if found.failed:
        reader.chains.discard(follower.conversation_id)
    return True
