"""How many trips to PostgreSQL a commit takes: everything that is asked before the first answer is one, and the commit
travels with what is written."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from frontdesk.agents.filing import file_task
from frontdesk.broker import queue
from frontdesk.broker.connection import Connection, Row
from frontdesk.broker.database import Database
from frontdesk.broker.line import KNOWN, MAKE_KNOWN
from frontdesk.broker.rows import Claim
from frontdesk.broker.trips import Trips
from frontdesk.tasks.request import TaskRequest
from frontdesk.tasks.states import Action
from frontdesk.tests.store import Store
from frontdesk.tests.works import together

AT_ONCE = 5


@pytest.fixture
def store(postgresql_url: str) -> Iterator[Store]:
    database = Database.open(postgresql_url)
    yield Store(database)
    database.close()


@pytest.fixture
def trips(monkeypatch: pytest.MonkeyPatch) -> list[None]:
    """One entry for each trip from here on."""
    taken: list[None] = []
    settle = Trips.settle

    def counted(self: Trips) -> None:
        if self._waiting:  # pyright: ignore[reportPrivateUsage]
            taken.append(None)
        settle(self)

    monkeypatch.setattr(Trips, "settle", counted)
    return taken


def file(store: Store, conversation: str) -> None:
    store.do(file_task, TaskRequest(name="work"), queue.Origin(conversation_id=conversation))


def end(store: Store, claim: Claim) -> None:
    store.do(queue.finish, claim, Action.SUCCEED, result="1")


def spent(trips: list[None]) -> int:
    """How many trips there have been; counting begins anew."""
    number = len(trips)
    trips.clear()
    return number


def test_filing_claiming_and_ending_take_two_trips_each(store: Store, trips: list[None]) -> None:
    conversation = store.conversation()
    file(store, conversation)  # the first of a queue makes it known
    end(store, store.claim()[0])  # the first notice of an idle conversation starts its turn
    spent(trips)
    file(store, conversation)
    assert spent(trips) == 2
    claims = store.claim()
    assert spent(trips) == 2
    end(store, claims[0])
    assert spent(trips) == 2


def test_claims_of_several_conversations_take_no_more(store: Store, trips: list[None]) -> None:
    for _ in range(AT_ONCE):
        file(store, store.conversation())
    store.claim()  # the queues that are open are known now
    spent(trips)
    assert len(store.claim(AT_ONCE)) == AT_ONCE - 1
    assert spent(trips) == 2


def test_a_place_in_an_empty_line_is_found_in_one_trip(store: Store, trips: list[None]) -> None:
    store.enqueue()
    assert spent(trips) == 1 + 1 + 1, "the clock, the place, the commit"
    assert store.status(store.enqueue()) == "queued"


def test_what_is_foreseen_is_run_when_it_is_read_where_it_is_no_trip(sqlite_url: str) -> None:
    database = Database.open(sqlite_url)
    store = Store(database)

    def look(conn: Connection) -> tuple[list[Row], list[Row]]:
        at_once, later = conn.ask(KNOWN, {"name": "q"}), conn.foresee(KNOWN, {"name": "q"})
        conn.run(MAKE_KNOWN, {"name": "q"})
        return at_once.rows(), later.rows()

    assert store.do(look) == ([], [(0,)])
    database.close()


@pytest.mark.parametrize("options", [{"concurrency_key": "k"}, {"webhook": "https://example.org/hook"}])
def test_what_is_run_by_itself_is_committed_once(
    store: Store, monkeypatch: pytest.MonkeyPatch, options: dict[str, str]
) -> None:
    commits: list[None] = []
    commit = Trips.commit

    def counted(self: Trips, told: tuple[str, str] | None = None) -> None:
        commits.append(None)
        commit(self, told)

    monkeypatch.setattr(Trips, "commit", counted)
    request = TaskRequest.model_validate({"name": "work", **options})
    store.do(file_task, request, queue.Origin(conversation_id=store.conversation()))
    (claim,) = store.claim()
    spent(commits)
    end(store, claim)
    assert spent(commits) == 1
    assert store.status(claim) == "succeeded"


async def test_ends_and_the_claims_that_come_with_them_take_three_trips(store: Store, trips: list[None]) -> None:
    conversation, slots = store.conversation(), object()
    for _ in range(2 * AT_ONCE + 1):
        file(store, conversation)
    end(store, store.claim()[0])  # the conversation has a live turn, and the queue is known to be open
    running = store.claim(AT_ONCE)
    standing = store.database.take_when_free(
        slots, queue.release, queue.claim_so_many, "task", ["work"], "tests", 60.0, None
    )
    ends = [
        lambda claim=claim: store.database.write_freeing(slots, queue.finish, claim, Action.SUCCEED)
        for claim in running
    ]
    spent(trips)
    assert await together(store.database, *ends) == [None] * AT_ONCE
    assert len(await standing) == AT_ONCE
    assert spent(trips) == 2 + 3, "two of what kept the writer busy meanwhile"
