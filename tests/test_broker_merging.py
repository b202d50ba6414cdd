"""Calls that wait for the writer at once are run as one: each gets what it would have got by itself."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Sequence
from typing import Any

import pytest

from frontdesk.agents.filing import file_task
from frontdesk.broker import climbing, events, filing_many, finishing, merging, notices, queue, telling
from frontdesk.broker.bulk import FEW, Bulk
from frontdesk.broker.calls import Call
from frontdesk.broker.calls_waiting import Waiting
from frontdesk.broker.connection import Connection
from frontdesk.broker.database import Database
from frontdesk.broker.errors import ConversationNotFound, DatabaseClosed, LeaseLost
from frontdesk.broker.filing import Filed, Origin
from frontdesk.broker.merging import ALONE, Arguments, Error, merges
from frontdesk.broker.rows import Claim
from frontdesk.tasks.request import TaskRequest
from frontdesk.tasks.states import Action
from frontdesk.tests.databases import Opener, Server, end_backends
from frontdesk.tests.invariants import broken
from frontdesk.tests.store import Store
from frontdesk.tests.works import together


@pytest.fixture
def store(database: Database) -> Store:
    return Store(database)


def ending(store: Store, claim: Claim, action: Action = Action.SUCCEED, **options: Any) -> Any:
    return lambda: store.database.write_first(queue.finish, claim, action, **options)


def filing(store: Store, conversation: str | None, tenant: str = "", **options: Any) -> Any:
    request = TaskRequest.model_validate({"name": "work", **options.pop("request", {})})
    origin = Origin(conversation_id=conversation, tenant=tenant, **options)
    return lambda: store.database.write(file_task, request, origin)


def nothing(conn: Connection) -> None:
    """Writes nothing."""


class Counted:
    """A function with a form for many: says what it was called with."""

    def __init__(self, outcomes: Callable[[Connection, Sequence[Arguments]], list[Any]]) -> None:
        self.alone: list[int] = []
        self.merged: list[list[int]] = []

        def many(conn: Connection, calls: Sequence[Arguments]) -> list[Any]:
            self.merged.append([args[0] for args, _ in calls])
            return outcomes(conn, calls)

        @merges(many)
        def one(conn: Connection, number: int) -> str:
            self.alone.append(number)
            return f"alone {number}"

        self.function = one

    async def run(self, database: Database, count: int) -> list[Any]:
        return await together(
            database, *(lambda number=number: database.write(self.function, number) for number in range(count))
        )


async def test_calls_of_one_function_are_run_as_one_and_each_has_its_result(database: Database) -> None:
    counted = Counted(lambda conn, calls: [f"merged {args[0]}" for args, _ in calls])
    assert await counted.run(database, 4) == [f"merged {number}" for number in range(4)]
    assert (counted.merged, counted.alone) == ([[0, 1, 2, 3]], [])


async def test_a_call_that_cannot_be_run_with_others_is_run_by_itself(database: Database) -> None:
    counted = Counted(lambda conn, calls: [ALONE if args[0] == 1 else args[0] for args, _ in calls])
    assert await counted.run(database, 3) == [0, "alone 1", 2]
    assert counted.alone == [1]


async def test_an_error_is_its_caller_s_alone(database: Database) -> None:
    counted = Counted(lambda conn, calls: [Error(ValueError("no")) if args[0] == 1 else 0 for args, _ in calls])
    first, second, third = await counted.run(database, 3)
    assert (first, str(second), third) == (0, "no", 0)


@pytest.mark.parametrize("written", [False, True])
async def test_when_the_form_for_many_fails_each_is_run_by_itself(database: Database, written: bool) -> None:
    def fail(conn: Connection, calls: Sequence[Arguments]) -> list[Any]:
        if written:
            conn.script("DELETE FROM frontdesk_meta WHERE key = 'schema'")
        raise ValueError("not together")

    counted = Counted(fail)
    assert await counted.run(database, 3) == ["alone 0", "alone 1", "alone 2"]
    kept = await database.read(lambda conn: conn.script("SELECT count(*) FROM frontdesk_meta WHERE key = 'schema'"))
    assert kept[0][0] == 1, "what it had written is undone"


async def test_runs_that_end_at_once_end_as_they_would_one_by_one(store: Store) -> None:
    conversation, other = store.conversation(), store.conversation()
    claims = [store.started(of) for of in (conversation, conversation, other, None, conversation)]
    stale = claims.pop()
    store.finish(stale)
    ended = await together(
        store.database,
        ending(store, claims[0], result='"one"'),
        ending(store, claims[1], Action.FAIL, error="broke", error_kind="ValueError"),
        ending(store, stale),
        ending(store, claims[2], Action.CANCEL),
        ending(store, claims[3], result="4"),
    )
    assert [type(one) for one in ended] == [type(None), type(None), LeaseLost, type(None), type(None)]
    found = [store.row(claim.task_id) for claim in claims]
    assert [(row["status"], row["result"], row["error"], row["progress"]) for row in found] == [
        ("succeeded", '"one"', None, 1.0),
        ("failed", None, "broke", None),
        ("cancelled", None, None, None),
        ("succeeded", "4", None, 1.0),
    ]
    assert store.told(conversation)[-2:] == ["finished succeeded", "finished failed"]
    assert [int(one["cursor"]) for one in store.log(conversation)] == list(
        range(1, store.about(conversation)["last_cursor"] + 1)
    )
    assert [(one.number, one.payload["task"]["label"]) for one in store.inbox(conversation, "notice")] == [
        (1, "T3"), (2, "T1"), (3, "T2"),
    ]  # fmt: skip
    assert len(store.turns()) == 2, "each conversation has one turn that answers"
    assert broken(store) == []


async def test_an_end_that_concerns_other_tasks_is_written_by_itself(store: Store) -> None:
    conversation = store.conversation()
    parent = store.started(conversation)
    child = store.started(conversation, parent=parent)
    assert store.park(parent, child.task_id)
    keyed = store.started(conversation, name="keyed", concurrency_key="k", concurrency_limit=1)
    following = store.enqueue(conversation, name="keyed", concurrency_key="k", concurrency_limit=1)
    hooked = store.started(conversation, webhook="https://example.org/hook")
    plain = store.started(conversation)
    ends = [ending(store, claim) for claim in (child, keyed, hooked, plain)]
    assert await together(store.database, *ends) == [None] * 4
    assert store.status(parent) == "queued"
    assert store.row(following["id"])["held"] == ""
    assert [store.status(claim) for claim in (child, keyed, hooked, plain)] == ["succeeded"] * 4
    (count,) = store.see(lambda conn: conn.script("SELECT count(*) FROM frontdesk_delivery"))
    assert count[0] == 1
    assert broken(store) == []


async def test_tasks_that_are_filed_at_once_stand_as_if_filed_one_by_one(store: Store) -> None:
    conversation, other = store.conversation(), store.conversation(tenant="else")
    repeated = filing(store, conversation, created_by="call-1")
    found = await together(
        store.database,
        filing(store, conversation, request={"title": "first"}),
        repeated,
        filing(store, other, tenant="else"),
        filing(store, other),
        filing(store, None, request={"priority": 5}),
        repeated,
        filing(store, conversation, request={"unique_key": "u"}),
        filing(store, conversation, request={"delay": 60}),
    )
    refused = found.pop(3)
    assert isinstance(refused, ConversationNotFound)
    filed: list[Filed] = found
    first, second, foreign, free, again, unique, later = (store.row(one.row["id"]) for one in filed)
    assert again["id"] == second["id"]
    assert [one.repeated for one in filed] == [False, False, False, False, True, False, False]
    assert {one["label"] for one in (first, second, unique, later)} == {"T1", "T2", "T3", "T4"}
    assert (first["title"], foreign["label"], free["label"], later["held"]) == ("first", "T1", "", "time")
    assert sorted(store.told(conversation)) == ["created queued"] * 4
    claimed = store.claim(10)
    assert claimed[0].task_id == free["id"], "the most urgent is first"
    places = [store.row(claim.task_id)["place"] for claim in claimed[1:]]
    assert places == sorted(places)
    assert first["place"] < second["place"] < unique["place"], "an owner's tasks keep their order"
    assert broken(store) == []


async def test_a_claim_may_be_made_in_the_commit_that_frees_its_slot(opened: Opener) -> None:
    database = opened()
    store = Store(database)
    running = [store.started() for _ in range(2)]
    waiting = [store.enqueue() for _ in range(3)]
    slots = object()

    def stand() -> asyncio.Future[list[Claim]]:
        return database.take_when_free(slots, queue.release, queue.claim_so_many, "task", ["work"], "tests", 1e6)

    standing = stand()
    elsewhere = database.take_when_free(object(), queue.release, queue.claim_so_many, "task", ["work"], "tests", 1e6)
    ends = [lambda claim=claim: database.write_freeing(slots, queue.finish, claim, Action.SUCCEED) for claim in running]
    assert await together(database, *ends) == [None, None]
    assert {claim.task_id for claim in await standing} == {waiting[0]["id"], waiting[1]["id"]}
    assert not elsewhere.done(), "those slots are as they were"
    lost = stand()
    with pytest.raises(LeaseLost):
        await database.write_freeing(slots, queue.finish, running[0], Action.SUCCEED)
    assert not lost.done(), "what has failed frees nothing"
    lost.cancel()
    elsewhere.cancel()
    assert store.status(waiting[2]) == "queued"


async def test_a_claim_is_made_in_the_commit_that_makes_its_task_ready(opened: Opener) -> None:
    database = opened()
    store = Store(database)

    def stand() -> asyncio.Future[list[Claim]]:
        return database.take_when_ready("task", queue.release, queue.claim, "task", ["work"], "tests", 1e6, 1)

    standing = stand()
    filed = store.enqueue(store.conversation())
    assert not database.withdraw("task", standing), "it has been taken"
    assert [claim.task_id for claim in await asyncio.wait_for(standing, 10)] == [filed["id"]]
    standing = stand()
    assert database.withdraw("task", standing)
    waiting = store.enqueue()
    assert store.status(waiting) == "queued"
    assert not standing.done()
    standing.cancel()


async def test_claims_are_made_once_when_the_connection_goes_before_ends_have_written(
    postgresql: Server, postgresql_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What could not be run with others is run by itself, and the claims that come with it are not run again."""
    database = Database.open(postgresql_url)
    store = Store(database)
    running, waiting = [store.started() for _ in range(2)], [store.enqueue() for _ in range(4)]
    slots = object()
    cuts: list[int] = []

    def cut(conn: Connection, calls: Sequence[Arguments]) -> Sequence[Any]:
        if not cuts:
            cuts.append(len(calls))
            end_backends(postgresql, postgresql_url)
        return finishing.finish_many(conn, calls)

    monkeypatch.setitem(merging._forms, queue.finish, cut)  # pyright: ignore[reportPrivateUsage]
    standing = [
        database.take_when_free(slots, queue.release, queue.claim_so_many, "task", ["work"], f"tests.{number}", 1e6)
        for number in range(2)
    ]
    ends = [lambda claim=claim: database.write_freeing(slots, queue.finish, claim, Action.SUCCEED) for claim in running]
    assert await together(database, *ends) == [None, None]
    assert cuts == [2]
    claimed = [claim.task_id for one in standing for claim in await asyncio.wait_for(one, 10)]
    assert claimed == [row["id"] for row in waiting[:2]]
    assert [store.status(row) for row in waiting] == ["running"] * 2 + ["queued"] * 2
    database.close()


async def test_the_next_commit_takes_the_next_claim_that_stands(opened: Opener) -> None:
    database = opened()
    store = Store(database)
    running, waiting = [store.started() for _ in range(3)], [store.enqueue() for _ in range(3)]
    slots = object()

    def stand() -> asyncio.Future[list[Claim]]:
        return database.take_when_free(slots, queue.release, queue.claim_so_many, "task", ["work"], "tests", 1e6)

    gone, first, second, third = stand(), stand(), stand(), stand()
    gone.cancel()
    for claim in running[:2]:
        await database.write_freeing(slots, queue.finish, claim, Action.SUCCEED)
    assert [[claim.task_id for claim in await one] for one in (first, second)] == [[row["id"]] for row in waiting[:2]]
    database.forget_free(slots)
    await database.write_freeing(slots, queue.finish, running[2], Action.SUCCEED)
    assert not third.done()
    third.cancel()
    assert store.status(waiting[2]) == "queued"


async def test_a_claim_is_made_with_what_frees_its_slot_also_when_that_is_run_again(
    postgresql: Server, postgresql_url: str
) -> None:
    database = Database.open(postgresql_url)
    store = Store(database)
    first, second = store.started(), store.started()
    waiting = [store.enqueue() for _ in range(2)]
    slots = object()
    runs: list[str] = []

    def losing(conn: Connection, claim: Claim, *, at: str) -> None:
        runs.append(claim.task_id)
        if at == "before" and len(runs) == 1:
            end_backends(postgresql, postgresql_url)
        queue.finish(conn, claim, Action.SUCCEED)

    def claiming(conn: Connection, number: int, *, at: str) -> list[Claim]:
        if at == "claim":
            end_backends(postgresql, postgresql_url)
        return queue.claim_so_many(conn, number, "task", ["work"], "tests", 1e6)

    standing = database.take_when_free(slots, queue.release, claiming, at="before")
    await database.write_freeing(slots, losing, first, at="before")
    assert [claim.task_id for claim in await standing] == [waiting[0]["id"]]
    standing = database.take_when_free(slots, queue.release, claiming, at="claim")
    await database.write_freeing(slots, losing, second, at="claim")
    assert await standing == [], "it was lost with the connection: whoever stood for it looks again"
    assert runs == [first.task_id] * 2 + [second.task_id] * 2
    assert [store.status(one) for one in (first, second)] == ["succeeded"] * 2
    assert [store.status(one) for one in waiting] == ["running", "queued"]
    database.close()


async def test_for_one_slot_one_claim_is_made_also_when_its_transaction_is_lost(opened: Opener) -> None:
    database = opened()
    store = Store(database)
    running, waiting = store.started(), [store.enqueue() for _ in range(3)]
    slots, made = object(), list[int]()

    def claiming(conn: Connection, number: int) -> list[Claim]:
        made.append(number)
        found = queue.claim_so_many(conn, number, "task", ["work"], "tests", 1e6)
        if len(made) == 1:
            conn.script("ROLLBACK")
            raise OSError("the transaction is gone")
        return found

    first, second = (database.take_when_free(slots, queue.release, claiming) for _ in range(2))
    await database.write_freeing(slots, queue.finish, running, Action.SUCCEED)
    assert await first == [], "whoever stood for it looks again"
    assert [claim.task_id for claim in await second] == [waiting[0]["id"]]
    assert [store.status(one) for one in waiting] == ["running", "queued", "queued"]


async def test_a_claim_that_fails_costs_no_run_its_end(opened: Opener) -> None:
    database = opened()
    store = Store(database)
    running, waiting = [store.started() for _ in range(2)], store.enqueue()
    slots = object()

    def claiming(conn: Connection, number: int) -> list[Claim]:
        queue.claim_so_many(conn, number, "task", ["work"], "tests", 1e6)
        raise ValueError("a mistake of ours")

    standing = [database.take_when_free(slots, queue.release, claiming) for _ in range(2)]
    for claim in running:
        await database.write_freeing(slots, queue.finish, claim, Action.SUCCEED, result="1")
    assert [store.status(claim) for claim in running] == ["succeeded"] * 2
    assert store.status(waiting) == "queued"
    for one in standing:
        assert one.done()
        assert isinstance(one.exception(), ValueError) or one.result() == [], "it looks again, and meets it there"


def test_a_transaction_knows_how_far_what_it_holds_has_counted(postgresql_url: str) -> None:
    database = Database.open(postgresql_url)
    store = Store(database)
    above = store.conversation()
    below = store.conversation(parent_task="task_of_the_run")

    def known(conn: Connection) -> list[object]:
        telling.lock_conversations(conn, [above, below])()
        found: list[object] = [conn.holds[above]]
        events.count_on(conn, above, events=1)
        found.append(conn.holds[above])
        telling.count_each(conn, [(above, 2, 1, 0)])()
        found.append(conn.holds[above])
        notices.put(conn, below, "task_1", {"task": {"id": "task_1", "label": "T1"}}, "notice")
        climbing.climb(conn, below, {"conversation_id": above, "status": "succeeded", "id": "run", "label": "T2"})
        return [*found, conn.holds[above]]

    assert store.do(known) == [(0, 0, 0), (1, 0, 0), (3, 1, 0), (3, 1, 1)]
    row = store.about(above)
    assert (row["last_cursor"], row["last_label"], row["last_input"]) == (3, 1, 1)
    database.close()


def test_the_writer_waits_for_half_of_those_that_it_has_answered() -> None:
    waiting = Waiting()
    for _ in range(10):
        waiting.put(Call(nothing))
    assert waiting.wait(20), "half of them are there already"
    assert len(waiting) == 10
    late = threading.Timer(0.0, waiting.put, [Call(nothing)])
    late.start()
    assert waiting.wait(1_000), "and when they do not come, it begins with what there is"
    late.join()
    waiting.close()
    while waiting.take():
        pass
    assert not waiting.wait(0)
    with pytest.raises(DatabaseClosed):
        waiting.put(Call(nothing))


def test_a_statement_over_many_rows_takes_text_numbers_and_nothing(store: Store) -> None:
    echo = Bulk("SELECT given.a, given.b, given.c FROM {given}", {"a": "text", "b": "bigint", "c": "double precision"})
    given = [{"a": "ü'%s", "b": 2**53, "c": 0.1, "more": 1}, {"a": None, "b": None, "c": None, "more": 2}]
    assert [tuple(row) for row in store.do(lambda conn: conn.bulk(echo, given))] == [("ü'%s", 2**53, 0.1), (None,) * 3]
    assert store.do(lambda conn: conn.bulk(echo, [])) == []


STATEMENTS = [
    (module.__name__.rpartition(".")[2], name, found)
    for module in (telling, finishing, filing_many, queue)
    for name, found in vars(module).items()
    if isinstance(found, Bulk)
]


class AnyRow(dict[str, Any]):
    """A value for every column: the plan does not depend on them."""

    def __missing__(self, name: str) -> Any:
        return 1


@pytest.mark.parametrize("rows", [1, FEW, FEW + 1])
@pytest.mark.parametrize(("room", "name", "statement"), STATEMENTS, ids=[f"{one[0]}.{one[1]}" for one in STATEMENTS])
def test_a_statement_over_many_rows_reads_no_whole_table(
    store: Store, room: str, name: str, statement: Bulk, rows: int
) -> None:
    explain = "EXPLAIN QUERY PLAN " if store.database.engine.dialect == "sqlite" else "EXPLAIN "

    def plan(conn: Connection) -> str:
        sql, values = statement.bind(conn.dialect, [AnyRow()] * rows)
        found = conn.raw.execute(explain + sql, values).fetchall()
        return "\n".join(str(tuple(row)) for row in found)

    found = store.do(plan)
    assert "SCAN frontdesk_" not in found
    assert "Seq Scan" not in found
