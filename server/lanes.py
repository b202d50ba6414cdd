"""Who speaks on a lane: one response at a time, creates in the order in which they were accepted. Pure.

A steer's successor goes before creates that have not begun, because its conversation's log has it there. A response
that has begun always goes on to its end, and a create waits only for creates that were accepted before it: so nothing
here can wait in a circle.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field

from .protocol import Lane


@dataclass(slots=True, eq=False)
class Stream:
    """A response that the connection caused. Its events with a cursor greater than ``after`` are still to be sent."""

    response_id: str
    lane: Lane
    after: int
    successor: bool = False
    begun: bool = False
    ended: bool = False


@dataclass(slots=True)
class _Lane:
    speaking: Stream | None = None
    line: deque[Stream] = field(default_factory=deque[Stream])  # creates that have not begun
    held: dict[Stream, None] = field(default_factory=dict[Stream, None])  # asked to begin, and could not


class Lanes:
    """All lanes of a connection that somebody speaks or waits on."""

    def __init__(self) -> None:
        self._lanes: dict[Lane, _Lane] = {}

    def __len__(self) -> int:
        return len(self._lanes)

    def __contains__(self, lane: Lane) -> bool:
        return lane in self._lanes

    def enter(self, stream: Stream) -> None:
        """Puts a stream in line; a successor needs no place."""
        lane = self._lanes.setdefault(stream.lane, _Lane())
        if not stream.successor:
            lane.line.append(stream)

    def begin(self, stream: Stream) -> bool:
        """Whether the stream may speak now; if not, `end` names it when it is worth asking again."""
        if stream.begun:
            return True
        lane = self._lanes.setdefault(stream.lane, _Lane())
        if lane.speaking is not None or not (stream.successor or lane.line[0] is stream):
            lane.held[stream] = None
            return False
        lane.held.pop(stream, None)
        if not stream.successor:
            lane.line.popleft()
        lane.speaking = stream
        stream.begun = True
        return True

    def end(self, stream: Stream) -> list[Stream]:
        """The stream has said its last; which held streams may begin now."""
        stream.ended = True
        lane = self._lanes[stream.lane]
        lane.speaking = None
        if not lane.line and not lane.held:
            del self._lanes[stream.lane]
            return []
        first = lane.line[0] if lane.line else None
        return [held for held in lane.held if held.successor or held is first]
