"""Two processes at one PostgreSQL database, and their transactions at the worst moment: one stops just before its
commit, the other one meets it there. SQLite has one writer, which hides a forgotten lock; nothing hides it here."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any

import psycopg
import pytest

from frontdesk.broker import cancel, durable, inbox, leases, queue, waits
from frontdesk.broker.connection import Connection
from frontdesk.broker.database import Database
from frontdesk.broker.endings import end
from frontdesk.broker.errors import CircularWait, LeaseLost
from frontdesk.broker.finishing import finish_many
from frontdesk.broker.inbox import NewCreate, NewSteer
from frontdesk.broker.merging import ALONE
from frontdesk.broker.rows import Claim
from frontdesk.tasks.request import TaskRequest
from frontdesk.tasks.states import Action
from frontdesk.tests.databases import Server
from frontdesk.tests.invariants import broken
from frontdesk.tests.store import DESK, Store

PATIENCE = 20.0

Function = Callable[[Connection], Any]


class Race:
    """Two databases: two processes, as far as PostgreSQL can tell."""

    def __init__(self, postgresql: Server, url: str) -> None:
        self._server, self._name = postgresql, url.split("/")[3].split("?")[0]
        self._databases = [Database.open(url) for _ in range(2)]
        self.store, self._other = (Store(one) for one in self._databases)
        self._pool = ThreadPoolExecutor(2)

    def run(self, first: Function, second: Function, rest: Function | None = None) -> list[Any]:
        """Runs ``first`` up to its commit; then ``second``, until it has ended or waits for a lock; then lets both go
        on, the first one with ``rest`` in the same transaction.

        What they returned, or the LeaseLost or CircularWait that they raised.
        """
        arrived, go = threading.Event(), threading.Event()

        def stopping(conn: Connection) -> Any:
            result = first(conn)
            arrived.set()
            assert go.wait(PATIENCE)
            return result if rest is None else rest(conn)

        one = self._pool.submit(self.store.do, stopping)
        assert arrived.wait(PATIENCE)
        two = self._pool.submit(self._other.do, second)
        self._until_it_waits(two)
        go.set()
        return [_outcome(one), _outcome(two)]

    def _until_it_waits(self, running: Future[Any]) -> None:
        waiting = "SELECT count(*) FROM pg_stat_activity WHERE datname = %s AND wait_event_type = 'Lock'"
        with self._server.connect() as raw:
            for _ in range(2_000):
                row = raw.execute(waiting, (self._name,)).fetchone()
                if running.done() or (row is not None and row[0]):
                    return
        pytest.fail("the second transaction neither ended nor waited")

    def close(self) -> None:
        self._pool.shutdown()
        for one in self._databases:
            one.close()


def _outcome(future: Future[Any]) -> Any:
    try:
        return future.result(PATIENCE)
    except (LeaseLost, CircularWait) as error:
        return error


@pytest.fixture
def race(postgresql: Server, postgresql_url: str) -> Iterator[Race]:
    found = Race(postgresql, postgresql_url)
    yield found
    found.close()


@pytest.fixture(params=[True, False], ids=["in a conversation", "without one"])
def conversation(request: pytest.FixtureRequest, race: Race) -> str | None:
    return race.store.conversation() if request.param else None


def park(claim: Claim, *awaited: str) -> Function:
    return lambda conn: waits.park(conn, claim, queue.held_row(conn, claim, also=awaited), awaited=awaited)


def finish(claim: Claim) -> Function:
    return lambda conn: queue.finish(conn, claim, Action.SUCCEED)


def family(race: Race, children: int, conversation: str | None) -> tuple[Claim, list[Claim]]:
    parent = race.store.started(conversation)
    return parent, [race.store.started(conversation, parent=parent) for _ in range(children)]


@pytest.mark.parametrize("parks_first", [True, False])
def test_a_parent_that_parks_while_its_child_ends_is_awake(
    race: Race, conversation: str | None, parks_first: bool
) -> None:
    parent, (child,) = family(race, 1, conversation)
    moves = [park(parent, child.task_id), finish(child)]
    race.run(*(moves if parks_first else reversed(moves)))
    assert race.store.status(child) == "succeeded"
    assert race.store.status(parent) == ("queued" if parks_first else "running")
    assert broken(race.store) == []


@pytest.mark.parametrize("parks_first", [True, False])
def test_a_parent_that_parks_while_its_children_end_in_one_commit_is_awake(
    race: Race, conversation: str | None, parks_first: bool
) -> None:
    parent, children = family(race, 2, conversation)

    def finish_both(conn: Connection) -> list[Any]:
        return finish_many(conn, [((child, Action.SUCCEED), {}) for child in children])

    moves = [park(parent, children[0].task_id), finish_both]
    outcomes = race.run(*(moves if parks_first else reversed(moves)))[1 if parks_first else 0]
    assert outcomes == ([ALONE, None] if parks_first else [None, None])
    assert race.store.status(parent) == ("waiting" if parks_first else "running")
    for child, outcome in zip(children, outcomes, strict=True):
        if outcome is ALONE:
            race.store.finish(child)
    assert [race.store.status(child) for child in children] == ["succeeded"] * 2
    assert race.store.status(parent) == ("queued" if parks_first else "running")
    assert broken(race.store) == []


def test_two_children_that_end_at_once_wake_their_parent_once(race: Race, conversation: str | None) -> None:
    parent, children = family(race, 2, conversation)
    assert race.store.park(parent, *(child.task_id for child in children))
    race.run(*(finish(child) for child in children))
    row = race.store.row(parent.task_id)
    assert (row["status"], row["waits_left"]) == ("queued", 0)
    assert broken(race.store) == []


def test_a_child_that_ends_while_another_is_parked_for_counts_right(race: Race, conversation: str | None) -> None:
    """The parent waits for both; one ends while it parks, the other later."""
    parent, (one, two) = family(race, 2, conversation)
    race.run(park(parent, one.task_id, two.task_id), finish(one))
    assert race.store.status(parent) == "waiting"
    assert broken(race.store) == []
    race.store.finish(two)
    assert race.store.status(parent) == "queued"


@pytest.mark.parametrize("accepts_first", [True, False])
@pytest.mark.parametrize("what", ["create", "steer", "notice"])
def test_input_that_comes_while_a_turn_ends_has_its_turn(race: Race, what: str, accepts_first: bool) -> None:
    store = race.store
    running = store.create()
    conversation = running.conversation_id
    claim = store.claim_turn()
    store.begin(claim)
    task = store.started(conversation)
    new = NewCreate(tenant="", desk=DESK, input=[], request={}, conversation_id=conversation)
    steer = NewSteer(tenant="", response_id=running.response_id, input=[])
    arrives: dict[str, Function] = {
        "create": lambda conn: inbox.accept_create(conn, new),
        "steer": lambda conn: inbox.accept_steer(conn, steer),
        "notice": finish(task),
    }

    def ends(conn: Connection) -> None:
        row = queue.held_row(conn, claim, conversation)
        end(conn, row, Action.SUCCEED)

    moves = [arrives[what], ends]
    race.run(*(moves if accepts_first else reversed(moves)))
    assert broken(store) == []
    assert len(store.claim(slot="turn", names=[DESK])) == 1


def test_two_inputs_for_an_idle_conversation_at_once_are_two_turns_in_line(race: Race) -> None:
    conversation = race.store.conversation()
    new = NewCreate(tenant="", desk=DESK, input=[], request={}, conversation_id=conversation)
    found = race.run(lambda conn: inbox.accept_create(conn, new), lambda conn: inbox.accept_create(conn, new))
    assert [one.position for one in found] == [0, 1]
    assert broken(race.store) == []
    assert [race.store.run_turn()[0] for _ in found] == [one.response_id for one in found]


def test_the_same_input_twice_at_once_is_one_response(race: Race) -> None:
    new = NewCreate(tenant="", desk=DESK, input=[], request={}, input_id="one", digest="d")
    found = race.run(lambda conn: inbox.accept_create(conn, new), lambda conn: inbox.accept_create(conn, new))
    assert found[0].response_id == found[1].response_id
    assert [one.repeated for one in found] == [False, True]
    assert len(race.store.turns()) == 1


@pytest.mark.parametrize("asks_first", [True, False])
def test_a_function_that_goes_to_sleep_while_it_is_cancelled_is_cancelled(
    race: Race, conversation: str | None, asks_first: bool
) -> None:
    claim = race.store.started(conversation)
    moves: list[Function] = [
        lambda conn: cancel.cancel_task(conn, claim.task_id, ""),
        lambda conn: durable.record_sleep(conn, claim, 0, "", 3600),
    ]
    race.run(*(moves if asks_first else reversed(moves)))
    assert race.store.status(claim) == "cancelled"
    assert broken(race.store) == []


@pytest.mark.parametrize("asks_first", [True, False])
def test_a_child_that_ends_while_its_parent_is_cancelled_disturbs_nothing(
    race: Race, conversation: str | None, asks_first: bool
) -> None:
    parent, (child, other) = family(race, 2, conversation)
    assert race.store.park(parent, child.task_id, other.task_id)
    moves: list[Function] = [lambda conn: cancel.cancel_task(conn, parent.task_id, ""), finish(child)]
    race.run(*(moves if asks_first else reversed(moves)))
    assert race.store.status(parent) == "cancelled"
    assert race.store.status(child) == "succeeded"
    assert broken(race.store) == []


@pytest.mark.parametrize("ends_first", [True, False])
def test_the_last_moment_of_a_lease_belongs_to_one(race: Race, conversation: str | None, ends_first: bool) -> None:
    claim = race.store.started(conversation, on_crash="retry")
    race.store.expire(claim)
    moves: list[Function] = [finish(claim), leases.sweep]
    found = race.run(*(moves if ends_first else reversed(moves)))
    assert race.store.status(claim) == ("succeeded" if ends_first else "queued")
    assert any(isinstance(one, LeaseLost) for one in found) is not ends_first
    assert broken(race.store) == []


def test_two_tasks_cannot_begin_to_wait_for_each_other_at_once(race: Race, conversation: str | None) -> None:
    one, two = (race.store.started(conversation) for _ in range(2))
    found = race.run(park(one, two.task_id), park(two, one.task_id))
    assert sum(isinstance(result, CircularWait) for result in found) == 1
    assert sorted((race.store.status(one), race.store.status(two))) == ["running", "waiting"]


def test_a_circle_of_four_cannot_close_at_two_places_at_once(race: Race, conversation: str | None) -> None:
    """No two of these waits share a task, so no lock of a task makes them take turns."""
    claims = [race.store.started(conversation) for _ in range(4)]
    ids = [claim.task_id for claim in claims]
    assert race.store.park(claims[0], ids[1])
    assert race.store.park(claims[2], ids[3])
    found = race.run(park(claims[1], ids[2]), park(claims[3], ids[0]))
    assert sum(isinstance(result, CircularWait) for result in found) == 1
    assert broken(race.store) == []


def test_a_claim_passes_over_what_another_transaction_holds(race: Race) -> None:
    conversation = race.store.conversation()
    held, free = race.store.enqueue(conversation), race.store.enqueue()

    def claim(conn: Connection) -> list[Claim]:
        return queue.claim(conn, "task", ["work"], "me", 60.0, 10)

    def filing(conn: Connection) -> Any:
        return queue.enqueue(conn, TaskRequest(name="other"), queue.Origin(conversation_id=conversation))

    _, claims = race.run(filing, claim)
    assert [one.task_id for one in claims] == [free["id"]]
    assert race.store.claim_one().task_id == held["id"]


def test_two_claims_at_once_take_different_tasks(race: Race) -> None:
    ids = {race.store.enqueue()["id"] for _ in range(4)}

    def claim(conn: Connection) -> list[Claim]:
        return queue.claim(conn, "task", ["work"], "me", 60.0, 2)

    one, two = race.run(claim, claim)
    assert len(one) == len(two) == 2
    assert {claim.task_id for claim in (*one, *two)} == ids


def test_an_answer_and_a_cancel_at_once_have_one_winner(race: Race, conversation: str | None) -> None:
    claim = race.store.started(conversation)
    race.store.do(durable.record_ask, claim, 0, "Which?", "Which?")
    race.run(
        lambda conn: durable.answer(conn, claim.task_id, "", "blue"),
        lambda conn: cancel.cancel_task(conn, claim.task_id, ""),
    )
    assert race.store.status(claim) == "cancelled"


def test_a_release_of_many_claims_meets_their_conversations_in_order(race: Race) -> None:
    """Locks are taken conversations first, each kind in the order of ids: opposite orders would be a deadlock."""
    conversations = sorted(race.store.conversation() for _ in range(3))
    claims = [race.store.started(one) for one in conversations]
    others = [race.store.started(one) for one in reversed(conversations)]
    race.run(
        lambda conn: queue.release(conn, claims),
        lambda conn: queue.release(conn, others),
    )
    assert {race.store.status(claim) for claim in (*claims, *others)} == {"queued"}
    assert broken(race.store) == []


def test_a_notice_for_a_delegated_agent_waits_for_no_lock_out_of_order(race: Race) -> None:
    """A child of the agent ends, and the agent is to hear of it; another task begins to wait for the agent and then for
    the child, and holds the agent's lock when it waits for the child's."""
    outer = race.store.conversation()
    agent = race.store.started(outer, kind="agent", id="task_1")
    inner = race.store.conversation(parent_task=agent.task_id)
    child, waiter = race.store.started(inner, parent=agent, id="task_2"), race.store.started(outer, id="task_3")
    met: list[str | None] = []

    def noting(function: Function) -> Function:
        def noted(conn: Connection) -> Any:
            try:
                return function(conn)
            except psycopg.Error as error:
                met.append(error.sqlstate)
                raise

        return noted

    race.run(
        lambda conn: queue.held_row(conn, child),
        noting(park(waiter, agent.task_id, child.task_id)),
        noting(finish(child)),
    )
    assert set(met) == {"55P03"}, "it did not wait: lock_not_available, and was run again; 40P01 is a deadlock"
    assert race.store.status(child) == "succeeded"
    assert race.store.row(waiter.task_id)["waits_left"] == 1
    assert broken(race.store) == []
