"""Which event of the log goes to which lane of a connection, and when. Pure: cursors and names in, lanes out.

A follower goes through one conversation's log and holds a cursor, never events. It stands still ("holds") before an
event whose lane is taken, and before a response that may turn out to be this connection's own because a create is just
being accepted; everything after it waits, so a conversation's events keep the log's order. A repeat of an input id gets
a follower of its own when the conversation's follower cannot go back.

Own responses (creates of this connection, successors of its steers) go to their lane, the rest to a subscription.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterator
from typing import Final

from .lanes import Lanes, Stream
from .outgoing import TERMINAL, lane_of
from .protocol import Lane

REMEMBERED: Final = 4_096  # own responses that have ended: a subscription does not show them a second time


class Follower:
    """Goes through one conversation's log. Events up to ``position`` are dealt with; those after it are to be read."""

    __slots__ = ("barrier", "conversation_id", "head", "position", "stranger", "streams", "subscribed_after")

    def __init__(self, conversation_id: str, position: int) -> None:
        self.conversation_id, self.position = conversation_id, position
        self.head: int | None = None  # where the log ended when following began: what is older is a replay, not lag
        self.streams: dict[str, Stream] = {}
        self.subscribed_after: int | None = None  # events after this cursor are to be shown to the subscription
        self.stranger = ""  # a response that is not known to be this connection's own
        self.barrier = 0  # how many acceptances must be known before that is certain


class Follows:
    """Everything that one connection follows.

    Whoever uses it takes a follower with `take`, reads the log after its position, and asks `show` about each event in
    order until it holds.
    """

    __slots__ = ("_again", "_answered", "_asked", "_due", "_followers", "_of", "_own", "_uncertain", "lanes")

    def __init__(self) -> None:
        self.lanes = Lanes()
        self._followers: dict[str, Follower] = {}
        self._again: dict[Follower, None] = {}  # one repeated response each
        self._own: OrderedDict[str, Stream] = OrderedDict()
        self._of: dict[Stream, Follower] = {}  # streams that have not ended
        self._due: dict[Follower, None] = {}
        self._uncertain: dict[Follower, None] = {}  # these hold before a response that may become own
        self._asked = self._answered = 0

    # --- what is followed

    @property
    def unfinished(self) -> int:
        """How many own responses have not been sent to their end."""
        return len(self._of)

    @property
    def subscriptions(self) -> int:
        return sum(follower.subscribed_after is not None for follower in self._followers.values())

    def follows(self, conversation_id: str) -> bool:
        """Whether anything of this conversation is still to be sent."""
        again = any(follower.conversation_id == conversation_id for follower in self._again)
        return conversation_id in self._followers or again

    def is_subscribed(self, conversation_id: str) -> bool:
        found = self._followers.get(conversation_id)
        return found is not None and found.subscribed_after is not None

    def lane(self, response_id: str) -> Lane:
        """The lane of an own response; the default lane for any other."""
        found = self._own.get(response_id)
        return None if found is None else found.lane

    # --- what a client asks for

    @property
    def is_asking(self) -> bool:
        """Whether an input is being accepted."""
        return self._asked > self._answered

    def ask(self) -> None:
        """An input is being accepted: a response that begins before `answer` may be this connection's."""
        self._asked += 1

    def answer(self) -> None:
        """It has been accepted and added with `create` or `steer`, or refused."""
        self._answered += 1
        self._due.update(self._uncertain)
        self._uncertain.clear()

    def create(
        self, conversation_id: str, response_id: str, lane: Lane, cursor: int, *, repeated: bool = False
    ) -> None:
        """A response whose events come after ``cursor`` goes to ``lane``, whole, even if it was shown before."""
        self._add(conversation_id, Stream(response_id, lane, cursor), repeated=repeated)

    def steer(
        self, conversation_id: str, target_id: str, successor_id: str, cursor: int, *, repeated: bool = False
    ) -> None:
        """A steer's successor goes to the lane of the response that is steered."""
        known = self._own.get(successor_id)
        if known is not None and not known.ended:
            return  # several steers of one response share their successor
        self._add(
            conversation_id, Stream(successor_id, self.lane(target_id), cursor, successor=True), repeated=repeated
        )

    def subscribe(self, conversation_id: str, after: int, head: int) -> None:
        """Shows everything after ``after`` that is not this connection's own; ``head`` is the log's last cursor now."""
        follower = self._followers.get(conversation_id)
        if follower is None:
            follower = self._followers[conversation_id] = Follower(conversation_id, after)
            follower.head = head
        follower.subscribed_after = after
        follower.position = min(follower.position, after)
        self._due[follower] = None

    def unsubscribe(self, conversation_id: str) -> None:
        follower = self._followers.get(conversation_id)
        if follower is not None:
            follower.subscribed_after = None
            self._drop_if_idle(follower)

    def _add(self, conversation_id: str, stream: Stream, *, repeated: bool) -> None:
        self.lanes.enter(stream)
        main = self._followers.get(conversation_id)
        if main is None:
            follower = self._followers[conversation_id] = Follower(conversation_id, stream.after)
        elif not repeated:
            follower = main  # its events come after everything that the follower has passed
        elif not main.streams:
            follower = main
            main.position = min(main.position, stream.after)
        else:
            follower = Follower(conversation_id, stream.after)
            self._again[follower] = None
        follower.streams[stream.response_id] = stream
        self._of[stream] = follower
        self._due[follower] = None
        self._remember(stream)

    def _remember(self, stream: Stream) -> None:
        self._own.pop(stream.response_id, None)
        self._own[stream.response_id] = stream
        while len(self._own) > REMEMBERED and next(iter(self._own.values())).ended:
            self._own.popitem(last=False)

    # --- what the log says

    def wake(self, conversation_id: str) -> None:
        """The conversation's log may have grown."""
        found = self._followers.get(conversation_id)
        if found is not None:
            self._due[found] = None
        for follower in self._again:
            if follower.conversation_id == conversation_id:
                self._due[follower] = None

    def take(self) -> Follower | None:
        """A follower that may have something to send, the one that has waited longest first."""
        for follower in self._due:
            del self._due[follower]
            return follower
        return None

    def again(self, follower: Follower) -> None:
        """There is more to read for this follower; others go first."""
        if self.is_live(follower):
            self._due[follower] = None

    def is_live(self, follower: Follower) -> bool:
        return follower in self._again or self._followers.get(follower.conversation_id) is follower

    def show(self, follower: Follower, cursor: int, response_id: str, kind: str) -> tuple[Lane, ...] | None:
        """The lanes that the event goes to, where it then counts as sent; None: the follower holds before it."""
        stream = follower.streams.get(response_id)
        if stream is None:
            if self._may_become_own(follower, response_id):
                return None
            shown = tuple(self._of_others(follower, cursor, response_id))
            follower.position = cursor
            return shown
        if cursor <= stream.after:
            follower.position = cursor
            return ()
        if not self.lanes.begin(stream):
            return None
        follower.position = stream.after = cursor
        if kind in TERMINAL:
            self._end(follower, stream)
        elif follower in self._again:
            self._join(follower, stream)
        return (stream.lane,)

    def only_subscribes(self, follower: Follower) -> bool:
        """Whether all that comes after its position goes to its subscription, unless it is of an own response."""
        after = follower.subscribed_after
        return (
            after is not None
            and after <= follower.position
            and not (follower.streams or self.is_asking)
            and (not self._again or follower not in self._again)
        )

    def has_own(self, responses: frozenset[str]) -> bool:
        """Whether one of these is known to be this connection's own."""
        return bool(self._own) and not responses.isdisjoint(self._own)

    def passed(self, follower: Follower, last: int, newest: str) -> None:
        """As `show` for every event up to ``last``, of a follower that only subscribes; ``newest``: the last response
        that they tell of, if any; none of them is an own one.
        """
        follower.position = follower.subscribed_after = last
        if newest and follower.stranger != newest:
            follower.stranger, follower.barrier = newest, self._asked

    def skip(self, follower: Follower, until: int) -> bool:
        """What comes up to this cursor is not there any more; whether the subscription is to be told."""
        told = follower.subscribed_after is not None and follower.subscribed_after < until
        follower.position = max(follower.position, until)
        return told

    def _may_become_own(self, follower: Follower, response_id: str) -> bool:
        if not response_id or response_id in self._own or follower in self._again:
            return False
        if follower.stranger != response_id:
            follower.stranger, follower.barrier = response_id, self._asked
        if follower.barrier <= self._answered:
            return False
        self._uncertain[follower] = None
        return True

    def _of_others(self, follower: Follower, cursor: int, response_id: str) -> Iterator[Lane]:
        if follower in self._again:
            return
        own = self._own.get(response_id)
        if own is not None:
            if own.ended and cursor > own.after:  # what follows a terminal event: a steer that stays pending
                own.after = cursor
                yield own.lane
        elif follower.subscribed_after is not None and cursor > follower.subscribed_after:
            follower.subscribed_after = cursor
            yield lane_of(follower.conversation_id)

    def _end(self, follower: Follower, stream: Stream) -> None:
        del follower.streams[stream.response_id]
        del self._of[stream]
        for held in self.lanes.end(stream):
            self._due[self._of[held]] = None
        self._drop_if_idle(follower)

    def _join(self, follower: Follower, stream: Stream) -> None:
        """A repeat that has begun goes on with the conversation's follower where they meet.

        Only there: a follower that is further back may have to wait for this very response to end.
        """
        main = self._followers.get(follower.conversation_id)
        if main is not None and follower.position == main.position and stream.response_id not in main.streams:
            del self._again[follower]
            main.streams[stream.response_id] = stream
            self._of[stream] = main
            self._due[main] = None

    def _drop_if_idle(self, follower: Follower) -> None:
        if follower.streams or follower.subscribed_after is not None:
            return
        for among in (self._again, self._due, self._uncertain):
            among.pop(follower, None)
        if self._followers.get(follower.conversation_id) is follower:
            del self._followers[follower.conversation_id]
