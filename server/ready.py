"""What of the log's rows goes into one write to a client. Pure: rows in, texts out; `follow` says which lane."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Final

from ..broker.events import texts
from ..broker.wakeups import Events
from . import outgoing
from .follow import Follower, Follows

BURST: Final = 64  # events of one conversation before another one's turn
PIECE: Final = 65_536  # characters after which a write begins


@dataclass(slots=True)
class Ready:
    """Texts for one write; ``more``: there may be more rows; ``held``: the follower stands still before the next event;
    ``failed``: a response of the conversation has.
    """

    texts: list[str] = field(default_factory=list[str])
    more: bool = False
    held: bool = False
    failed: bool = False


def ready(follows: Follows, follower: Follower, rows: Iterator[Events]) -> Ready:
    """What is to be sent next. Each event that is returned counts as sent."""
    found, size = Ready(), 0
    for row in rows:
        for cursor, text in texts(row, follower.position):
            kind = outgoing.kind_of(text)
            lanes = follows.show(follower, cursor, row.response_id, kind)
            if lanes is None:
                found.held = True
                return found
            found.failed = found.failed or kind == "response.failed"
            for lane in lanes:
                found.texts.append(outgoing.prefix(lane) + text[1:])
                size += len(text)
        if size >= PIECE or len(found.texts) >= BURST:
            found.more = True
            return found
    return found
