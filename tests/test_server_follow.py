"""Which event goes to which lane, and when: against a small model of the log, nothing here is asynchronous."""

from __future__ import annotations

import random
from collections import defaultdict
from dataclasses import dataclass, field

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from frontdesk.server.follow import REMEMBERED, Follower, Follows
from frontdesk.server.lanes import Lanes, Stream
from frontdesk.server.outgoing import lane_of
from frontdesk.server.protocol import Lane

X, Y = "conv_x", "conv_y"


@dataclass
class Log:
    """The logs of some conversations: (response, kind) at cursor 1, 2, 3 …"""

    events: dict[str, list[tuple[str, str]]] = field(default_factory=lambda: defaultdict(list))

    def add(self, conversation: str, *events: tuple[str, str]) -> None:
        self.events[conversation] += events

    def whole(self, conversation: str, response: str, deltas: int = 2) -> None:
        """A response from its beginning to its end."""
        middle = [(response, "delta")] * deltas
        self.add(conversation, (response, "response.created"), *middle, (response, "response.completed"))

    def cursor(self, conversation: str) -> int:
        return len(self.events[conversation])


@dataclass
class Sent:
    """What a client has received: (lane, conversation, cursor, response)."""

    events: list[tuple[Lane, str, int, str]] = field(default_factory=list)

    def on(self, lane: Lane) -> list[tuple[str, int]]:
        return [(response, cursor) for where, _, cursor, response in self.events if where == lane]

    def responses(self, lane: Lane) -> list[str]:
        """Responses on the lane in the order in which they appear, each time they change."""
        found: list[str] = []
        for response, _ in self.on(lane):
            if not found or found[-1] != response:
                found.append(response)
        return found


def pump(follows: Follows, log: Log, sent: Sent, *, burst: int = 1_000) -> None:
    """What a writer does, until nothing is due."""
    while (follower := follows.take()) is not None:
        step(follows, follower, log, sent, burst=burst)


def step(follows: Follows, follower: Follower, log: Log, sent: Sent, *, burst: int = 1_000) -> None:
    conversation = follower.conversation_id
    events = log.events[conversation]
    for cursor in range(follower.position + 1, len(events) + 1):
        response, kind = events[cursor - 1]
        lanes = follows.show(follower, cursor, response, kind)
        if lanes is None:
            return
        sent.events += [(lane, conversation, cursor, response) for lane in lanes]
        burst -= 1
        if burst == 0:
            follows.again(follower)
            return


@pytest.fixture
def follows() -> Follows:
    return Follows()


@pytest.fixture
def log() -> Log:
    return Log()


@pytest.fixture
def sent() -> Sent:
    return Sent()


# --- what a connection gets


def test_a_connection_gets_its_own_response_on_the_creates_lane(follows: Follows, log: Log, sent: Sent) -> None:
    follows.create(X, "r1", "a", 0)
    log.whole(X, "r1")
    follows.wake(X)
    pump(follows, log, sent)
    assert sent.on("a") == [("r1", 1), ("r1", 2), ("r1", 3), ("r1", 4)]
    assert not follows.follows(X)


def test_unasked_it_gets_nothing_else(follows: Follows, log: Log, sent: Sent) -> None:
    log.whole(X, "others")
    follows.create(X, "r1", None, log.cursor(X))
    log.add(X, ("", "frontdesk:task.created"))
    log.whole(X, "r1")
    log.whole(X, "notice")
    follows.wake(X)
    pump(follows, log, sent)
    assert sent.responses(None) == ["r1"]
    assert len(sent.events) == 4


def test_a_subscription_gets_everything_that_is_not_the_connections_own(follows: Follows, log: Log, sent: Sent) -> None:
    follows.subscribe(X, 0, 0)
    follows.create(X, "r1", None, 0)
    log.whole(X, "r1")
    log.add(X, ("", "frontdesk:task.finished"))
    log.whole(X, "notice")
    follows.wake(X)
    pump(follows, log, sent)
    assert sent.responses(None) == ["r1"]
    assert sent.responses(lane_of(X)) == ["", "notice"]
    assert [cursor for _, _, cursor, _ in sent.events] == list(range(1, log.cursor(X) + 1)), "in the log's order"


def test_a_subscription_from_now_shows_nothing_older(follows: Follows, log: Log, sent: Sent) -> None:
    log.whole(X, "old")
    follows.subscribe(X, log.cursor(X), log.cursor(X))
    log.whole(X, "new")
    pump(follows, log, sent)
    assert sent.responses(lane_of(X)) == ["new"]


def test_subscribing_after_an_older_cursor_replays_first_and_goes_on_live(
    follows: Follows, log: Log, sent: Sent
) -> None:
    follows.subscribe(X, 0, 0)
    log.whole(X, "one")
    pump(follows, log, sent)
    follows.subscribe(X, 2, log.cursor(X))
    log.whole(X, "two")
    pump(follows, log, sent)
    assert [cursor for _, cursor in sent.on(lane_of(X))] == [1, 2, 3, 4, 3, 4, 5, 6, 7, 8]


def test_what_was_shown_as_its_own_is_not_shown_again_by_a_later_subscription(
    follows: Follows, log: Log, sent: Sent
) -> None:
    follows.create(X, "r1", None, 0)
    log.whole(X, "r1")
    log.add(X, ("", "frontdesk:task.created"))
    pump(follows, log, sent)
    follows.subscribe(X, 1, log.cursor(X))
    pump(follows, log, sent)
    assert sent.on(lane_of(X)) == [("", 5)]


def test_own_responses_are_remembered_within_bounds(follows: Follows, log: Log, sent: Sent) -> None:
    for number in range(REMEMBERED + 10):
        follows.create(X, f"r{number}", None, log.cursor(X))
        log.whole(X, f"r{number}", 0)
        pump(follows, log, sent)
    assert follows.unfinished == 0
    follows.subscribe(X, log.cursor(X) - 2 * REMEMBERED, log.cursor(X))
    pump(follows, log, sent)
    assert sent.on(lane_of(X)) == []


def test_unsubscribing_ends_it(follows: Follows, log: Log, sent: Sent) -> None:
    follows.subscribe(X, 0, 0)
    follows.create(X, "r1", None, 0)
    follows.unsubscribe(X)
    assert follows.follows(X), "the own response is still to come"
    log.add(X, ("", "frontdesk:task.created"))
    log.whole(X, "r1")
    pump(follows, log, sent)
    assert sent.on(lane_of(X)) == []
    assert len(sent.on(None)) == 4
    follows.unsubscribe(X)  # twice is once
    assert not follows.follows(X)
    assert follows.take() is None


# --- lanes


def test_on_one_lane_a_later_response_waits_for_the_end_of_the_earlier_one(
    follows: Follows, log: Log, sent: Sent
) -> None:
    follows.create(X, "first", "a", 0)
    follows.create(Y, "second", "a", 0)
    log.whole(Y, "second")
    follows.wake(Y)
    pump(follows, log, sent)
    assert sent.events == []
    log.whole(X, "first")
    follows.wake(X)
    pump(follows, log, sent)
    assert sent.responses("a") == ["first", "second"]
    assert len(sent.events) == 8


def test_other_lanes_go_on_meanwhile(follows: Follows, log: Log, sent: Sent) -> None:
    follows.create(X, "slow", "a", 0)
    follows.create(Y, "quick", "b", 0)
    log.add(X, ("slow", "response.created"))
    log.whole(Y, "quick")
    pump(follows, log, sent)
    assert len(sent.on("b")) == 4


def test_a_steers_successor_comes_on_its_targets_lane_before_creates_that_wait(
    follows: Follows, log: Log, sent: Sent
) -> None:
    follows.create(X, "target", "a", 0)
    follows.create(X, "queued", "a", 0)
    log.add(X, ("target", "response.created"))
    follows.steer(X, "target", "successor", 1)
    log.add(X, ("target", "response.incomplete"))
    log.whole(X, "successor")
    log.whole(X, "queued")
    pump(follows, log, sent)
    assert sent.responses("a") == ["target", "successor", "queued"]


def test_several_steers_of_one_response_share_its_successor(follows: Follows, log: Log, sent: Sent) -> None:
    follows.create(X, "target", None, 0)
    follows.steer(X, "target", "successor", 0)
    follows.steer(X, "target", "successor", 0)
    log.whole(X, "target")
    log.whole(X, "successor")
    pump(follows, log, sent)
    assert len(sent.events) == 8


def test_a_steer_of_somebody_elses_response_answers_on_the_default_lane(follows: Follows, log: Log, sent: Sent) -> None:
    follows.steer(X, "others", "successor", 0)
    log.whole(X, "others")
    log.whole(X, "successor")
    pump(follows, log, sent)
    assert sent.responses(None) == ["successor"]


def test_what_the_log_says_of_an_own_response_after_its_end_goes_to_its_lane(
    follows: Follows, log: Log, sent: Sent
) -> None:
    follows.create(X, "target", "a", 0)
    follows.steer(X, "target", "successor", 0)
    log.whole(X, "target")
    log.add(X, ("target", "response.steer.pending"))
    pump(follows, log, sent)
    assert sent.on("a")[-1] == ("target", 5)
    follows.subscribe(X, 0, 5)
    pump(follows, log, sent)
    assert len(sent.events) == 5, "once"


def test_a_lane_is_free_again_when_nobody_speaks_or_waits() -> None:
    lanes = Lanes()
    one, two = Stream("r1", "a", 0), Stream("r2", "a", 0)
    lanes.enter(one)
    lanes.enter(two)
    assert lanes.begin(one)
    assert not lanes.begin(two)
    assert [two] == lanes.end(one)
    assert "a" in lanes
    assert lanes.begin(two)
    assert lanes.end(two) == []
    assert "a" not in lanes


# --- an own response that appears before its acceptance is known


def test_a_response_that_may_be_ones_own_waits_until_the_acceptance_is_known(
    follows: Follows, log: Log, sent: Sent
) -> None:
    follows.subscribe(X, 0, 0)
    follows.ask()
    log.whole(X, "mine")  # the worker is faster than the reader's return
    pump(follows, log, sent)
    assert sent.events == []
    follows.create(X, "mine", "a", 0)
    follows.answer()
    pump(follows, log, sent)
    assert sent.responses("a") == ["mine"]
    assert sent.on(lane_of(X)) == []


def test_somebody_elses_response_goes_on_when_the_acceptance_is_known(follows: Follows, log: Log, sent: Sent) -> None:
    follows.subscribe(X, 0, 0)
    follows.ask()
    log.whole(X, "others")
    pump(follows, log, sent)
    follows.answer()  # refused
    follows.ask()  # the next one must not hold it again
    pump(follows, log, sent)
    assert sent.responses(lane_of(X)) == ["others"]


def test_a_response_that_is_known_not_to_be_ones_own_is_not_held(follows: Follows, log: Log, sent: Sent) -> None:
    follows.subscribe(X, 0, 0)
    log.add(X, ("others", "response.created"))
    pump(follows, log, sent)
    follows.ask()
    log.add(X, ("others", "delta"), ("", "frontdesk:task.updated"))
    follows.wake(X)
    pump(follows, log, sent)
    assert len(sent.events) == 3


# --- repeats of an input id


def test_a_repeat_gets_the_response_from_its_start_on_its_own_lane(follows: Follows, log: Log, sent: Sent) -> None:
    follows.create(X, "r1", "a", 0)
    log.whole(X, "r1")
    pump(follows, log, sent)
    follows.create(X, "r1", "b", 0, repeated=True)
    pump(follows, log, sent)
    assert sent.on("a") == sent.on("b")


def test_a_repeat_on_a_new_connection_gets_the_past_and_then_live(follows: Follows, log: Log, sent: Sent) -> None:
    log.whole(X, "older")
    log.add(X, ("r1", "response.created"), ("r1", "delta"))
    follows.create(X, "r1", None, 4, repeated=True)
    pump(follows, log, sent)
    log.add(X, ("r1", "response.completed"))
    follows.wake(X)
    pump(follows, log, sent)
    assert sent.on(None) == [("r1", 5), ("r1", 6), ("r1", 7)]


def test_a_repeat_moves_a_response_from_the_subscription_to_its_lane(follows: Follows, log: Log, sent: Sent) -> None:
    follows.subscribe(X, 0, 0)
    log.add(X, ("r1", "response.created"), ("r1", "delta"))
    pump(follows, log, sent)
    follows.create(X, "r1", None, 0, repeated=True)
    log.add(X, ("", "frontdesk:task.created"), ("r1", "response.completed"))
    pump(follows, log, sent)
    assert [cursor for _, cursor in sent.on(None)] == [1, 2, 4]
    assert [cursor for _, cursor in sent.on(lane_of(X))] == [1, 2, 3]


def test_a_repeat_while_it_is_live_is_sent_on_both_lanes(follows: Follows, log: Log, sent: Sent) -> None:
    follows.create(X, "r1", "a", 0)
    log.add(X, ("r1", "response.created"), ("r1", "delta"))
    pump(follows, log, sent)
    follows.create(X, "r1", "b", 0, repeated=True)
    pump(follows, log, sent)
    log.add(X, ("r1", "response.completed"))
    follows.wake(X)
    pump(follows, log, sent)
    assert [1, 2, 3] == [cursor for _, cursor in sent.on("a")] == [cursor for _, cursor in sent.on("b")]
    assert not follows.follows(X)


def test_a_repeat_on_the_same_lane_comes_after_the_first_one(follows: Follows, log: Log, sent: Sent) -> None:
    follows.create(X, "r1", None, 0)
    follows.create(X, "r1", None, 0, repeated=True)
    log.whole(X, "r1")
    pump(follows, log, sent)
    assert [cursor for _, cursor in sent.on(None)] == [1, 2, 3, 4, 1, 2, 3, 4]


def test_a_repeat_behind_a_newer_create_of_its_conversation_does_not_block_it(
    follows: Follows, log: Log, sent: Sent
) -> None:
    log.whole(X, "old")
    follows.create(X, "new", "a", 4)
    follows.create(X, "old", "a", 0, repeated=True)
    log.whole(X, "new")
    pump(follows, log, sent)
    assert sent.responses("a") == ["new", "old"]


def test_a_repeated_steer_is_answered_once_while_its_successor_runs(follows: Follows, log: Log, sent: Sent) -> None:
    follows.create(X, "target", "a", 0)
    follows.steer(X, "target", "successor", 0)
    follows.steer(X, "target", "successor", 0, repeated=True)
    log.whole(X, "target")
    log.whole(X, "successor")
    pump(follows, log, sent)
    assert len(sent.on("a")) == 8
    follows.steer(X, "target", "successor", 4, repeated=True)
    pump(follows, log, sent)
    assert len(sent.on("a")) == 12


# --- all of it at once


@dataclass
class World:
    """Conversations whose turns run as the broker runs them: one at a time, steers first, creates in their order."""

    random: random.Random
    log: Log = field(default_factory=Log)
    queues: dict[str, list[str]] = field(default_factory=lambda: defaultdict(list))
    running: dict[str, str] = field(default_factory=dict)
    steers: dict[str, list[str]] = field(default_factory=lambda: defaultdict(list))
    began: dict[str, int] = field(default_factory=dict)
    count: int = 0

    def name(self) -> str:
        self.count += 1
        return f"r{self.count}"

    def advance(self, conversation: str) -> None:
        """One thing happens in a conversation."""
        running = self.running.get(conversation)
        if self.random.random() < 0.2:
            self.log.add(conversation, ("", "frontdesk:task.updated"))
        elif running is None:
            waiting = self.steers[conversation] or self.queues[conversation]
            if waiting:
                self.running[conversation] = waiting.pop(0)
                self.began[self.running[conversation]] = self.log.cursor(conversation)
                self.log.add(conversation, (self.running[conversation], "response.created"))
        elif self.random.random() < 0.4:
            self.log.add(conversation, (self.running.pop(conversation), "response.completed"))
        else:
            self.log.add(conversation, (running, "delta"))

    def finish(self) -> None:
        for conversation in list(self.log.events) + list(self.queues):
            while self.running.get(conversation) or self.queues[conversation] or self.steers[conversation]:
                self.advance(conversation)


@settings(max_examples=300)
@given(st.integers(0, 2**32), st.integers(5, 60))
def test_whatever_happens_everything_arrives_once_in_order_and_nothing_waits_for_ever(seed: int, length: int) -> None:
    choose = random.Random(seed)
    world, follows, sent = World(choose), Follows(), Sent()
    lanes: dict[str, list[Lane]] = defaultdict(list)  # of each response, one for each time that it was asked for
    subscribed: set[str] = set()
    conversations = ["conv_1", "conv_2", "conv_3"]
    late: list[tuple[str, str, Lane, int]] = []  # accepted, and not known to the follower yet
    for _ in range(length):
        conversation = choose.choice(conversations)
        match choose.randrange(9):
            case 0 | 1:  # a create, whose acceptance becomes known now or a little later
                response, lane = world.name(), choose.choice([None, "a", "b"])
                follows.ask()
                world.queues[conversation].append(response)
                late.append((conversation, response, lane, world.log.cursor(conversation)))
                lanes[response].append(lane)
                if choose.random() < 0.5:
                    world.advance(conversation)
                    world.advance(conversation)
                    pump(follows, world.log, sent)
                for known in late:
                    follows.create(*known)
                late.clear()
                follows.answer()
            case 2:  # somebody else's
                world.queues[conversation].append(world.name())
            case 3 if conversation in world.running:  # a steer of what runs
                target = world.running[conversation]
                if target in lanes and len(lanes[target]) == 1 and not world.steers[conversation]:
                    successor = world.name()
                    world.steers[conversation].append(successor)
                    follows.steer(conversation, target, successor, world.log.cursor(conversation))
                    lanes[successor].append(lanes[target][0])
            case 4 if world.began:  # a repeat of anything that has begun
                response = choose.choice(list(world.began))
                where = next(name for name in conversations if any(r == response for r, _ in world.log.events[name]))
                lane = choose.choice([None, "a", "b"])
                if response in lanes or where not in subscribed:  # else it was shown to the subscription as well
                    follows.create(where, response, lane, world.began[response], repeated=True)
                    lanes[response].append(lane)
            case 5 if conversation not in subscribed:
                subscribed.add(conversation)
                follows.subscribe(conversation, 0, world.log.cursor(conversation))
            case _:
                world.advance(conversation)
                follows.wake(conversation)
        if choose.random() < 0.5 and (follower := follows.take()) is not None:
            step(follows, follower, world.log, sent, burst=choose.randint(1, 4))
            follows.again(follower)
    world.finish()
    for conversation in conversations:
        follows.wake(conversation)
    pump(follows, world.log, sent)

    assert follows.unfinished == 0, "nothing waits for ever"
    for response, asked in lanes.items():
        where = next(name for name in conversations if any(r == response for r, _ in world.log.events[name]))
        whole = [number for number, (r, _) in enumerate(world.log.events[where], 1) if r == response]
        for lane in set(asked):
            received = [cursor for r, cursor in sent.on(lane) if r == response]
            assert whole * asked.count(lane) == received, "each time whole, in order, once"
    for lane in (None, "a", "b"):
        assert len(sent.responses(lane)) <= sum(asked.count(lane) for asked in lanes.values()), "nothing in between"
    for conversation in subscribed:
        shown = [cursor for _, where, cursor, _ in sent.events if where == conversation]
        own = {number for number, (r, _) in enumerate(world.log.events[conversation], 1) if r in lanes}
        others = set(range(1, world.log.cursor(conversation) + 1)) - own
        on_lane = [cursor for _, cursor in sent.on(lane_of(conversation))]
        assert sorted(others) == on_lane, "everything else, once, in order"
        assert set(shown) == set(range(1, world.log.cursor(conversation) + 1))
