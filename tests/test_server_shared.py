"""Writes that are made once for many subscribers: the same bytes, and the same places, as event by event."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

import pytest

from frontdesk.broker.database import Database
from frontdesk.broker.wakeups import Events
from frontdesk.server.auth import Principal
from frontdesk.server.follow import Follower, Follows
from frontdesk.server.ready import BURST, PIECE, ready
from frontdesk.server.service import Service
from frontdesk.server.shared import Latest, send_shared
from frontdesk.server.websocket import framed
from frontdesk.tests.fakes.hand_worker import HandWorker

X = "conv_x"


class Somebody:
    """Whose connection it is."""

    def __init__(self, *chains: str) -> None:
        self.latest, self.chains = Latest(), set(chains)


class Socket:
    """Remembers what is sent."""

    at_once: Callable[[str], bool] | None = None
    is_free = True
    backlog = 0

    def __init__(self) -> None:
        self.sent = b""

    def send_frames(self, frames: bytes) -> None:
        self.sent += frames

    def send_texts(self, texts: Sequence[str]) -> None:
        self.sent += framed(texts)

    def cut_off(self, code: int, reason: str) -> None:
        raise AssertionError("nobody is cut off here")

    async def wait_until_free(self) -> None:
        raise AssertionError("nobody waits here")


def event(kind: str, text: str = "") -> str:
    return f'{{"type":"{kind}","text":"{text}"}}'


ROWS = (
    Events(X, 4, 2, "resp_1", "\n".join([event("response.created"), event("response.in_progress", "ä" * 200)])),
    Events(X, 6, 1, "", event("frontdesk:task.created", "x" * 70_000)),
    Events(X, 7, 1, "resp_2", event("response.created")),
)
SMALL = (ROWS[0], ROWS[2])


def subscribed(after: int = 3) -> tuple[Follows, Follower]:
    follows = Follows()
    follows.subscribe(X, after, after)
    follower = follows.take()
    assert follower is not None
    return follows, follower


def place(follower: Follower) -> tuple[object, ...]:
    return follower.position, follower.subscribed_after, follower.stranger, follower.barrier


@pytest.mark.parametrize("after", [3, 4])
@pytest.mark.parametrize("rows", [SMALL, SMALL[:1], SMALL[1:], (Events(X, 5, 1, "", event("frontdesk:note")),)])
def test_it_is_what_is_sent_event_by_event(rows: tuple[Events, ...], after: int) -> None:
    one, other = Socket(), Socket()
    (follows, follower), (others, another) = subscribed(after), subscribed(after)
    assert send_shared(one, follows, follower, rows, Somebody())
    other.send_texts(ready(others, another, iter(rows)).texts)
    assert other.sent == one.sent != b""
    assert place(another) == place(follower)


def test_it_is_made_once_for_those_who_stand_at_one_place() -> None:
    latest, rows = Latest(), list(SMALL)
    first = latest.of(rows, 3)
    assert latest.of(rows, 3) is first is not None
    other = latest.of(rows, 4)
    assert other != first
    assert latest.of([*SMALL[:1]], 4) != other
    assert latest.of([], 4) is None


def test_all_clients_of_a_server_have_the_same(tmp_path: Path) -> None:
    database = Database.open(f"sqlite:///{tmp_path}/desk.db", durable=False)
    service = Service(HandWorker(database).desk, database)
    one, other = (service.session(Principal(tenant=tenant)) for tenant in ("a", "b"))
    assert one.latest is other.latest
    database.close()


def test_what_is_too_much_for_one_write_goes_another_way() -> None:
    assert len(ROWS[1].body) > PIECE
    many = Events(X, 1, BURST + 1, "", "\n".join([event("frontdesk:note")] * (BURST + 1)))
    follows, follower = subscribed()
    for rows in (ROWS, (many,), ()):
        socket = Socket()
        assert not send_shared(socket, follows, follower, rows, Somebody())
        assert (socket.sent, follower.position) == (b"", 3)


def test_who_follows_more_than_a_subscription_goes_another_way() -> None:
    follows, follower = subscribed()
    follows.create(X, "resp_2", None, 3)
    assert not send_shared(Socket(), follows, follower, SMALL, Somebody()), "a response of its own is to come"
    follows, follower = subscribed()
    follows.ask()
    assert not send_shared(Socket(), follows, follower, SMALL, Somebody()), "what is being accepted may be its own"
    follows.answer()
    assert send_shared(Socket(), follows, follower, SMALL, Somebody())
    follows = Follows()
    follows.create(X, "resp_1", None, 3)
    alone = follows.take()
    assert alone is not None
    assert not send_shared(Socket(), follows, alone, SMALL, Somebody()), "it has not subscribed"


def test_a_response_of_its_own_is_not_shown_a_second_time() -> None:
    follows, follower = subscribed()
    follows.create(X, "resp_1", None, 3)
    assert follows.show(follower, 4, "resp_1", "response.completed") == (None,)
    rest = (Events(X, 4, 2, "resp_1", "\n".join([event("response.completed"), event("frontdesk:steer")])),)
    assert not send_shared(Socket(), follows, follower, rest, Somebody())


def test_a_chain_ends_with_a_response_that_failed() -> None:
    follows, follower = subscribed()
    reader = Somebody(X, "conv_y")
    assert send_shared(Socket(), follows, follower, SMALL, reader)
    assert reader.chains == {X, "conv_y"}
    failed = (Events(X, 8, 1, "resp_2", event("response.failed")),)
    assert send_shared(Socket(), follows, follower, failed, reader)
    assert reader.chains == {"conv_y"}


@pytest.mark.parametrize("size", [0, 1, 125, 126, 65_535, 65_536, 70_000])
def test_a_frame_is_what_websockets_would_send(size: int) -> None:
    from websockets.frames import Frame, Opcode

    texts = ["x" * size, "ä"]
    expected = b"".join(Frame(Opcode.TEXT, text.encode()).serialize(mask=False) for text in texts)
    assert expected == framed(texts)
