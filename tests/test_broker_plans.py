"""How both databases look things up: every hot statement is served by an index, however much has piled up in tables."""

from __future__ import annotations

import itertools
import re
from typing import Any, cast

import pytest

from frontdesk.agents import removal
from frontdesk.broker import cancel as cancelling
from frontdesk.broker import (
    counting,
    deliveries,
    durable,
    endings,
    events,
    inbox,
    leases,
    lifetimes,
    line,
    listing,
    openings,
    queue,
    retention,
    rows,
    schedules,
    turns,
    waits,
)
from frontdesk.broker.connection import Connection
from frontdesk.broker.database import Database
from frontdesk.broker.statements import Statement
from frontdesk.tasks.request import TaskRequest
from frontdesk.tests.databases import Server
from frontdesk.tests.store import Store


@pytest.fixture
def store(sqlite_url: str) -> Any:
    database = Database.open(sqlite_url, durable=False)
    yield Store(database)
    database.close()


class AnyValues(dict[str, Any]):
    """A value for every parameter: the plan does not depend on them."""

    def __missing__(self, name: str) -> Any:
        return 1


def plan(store: Store, statement: Statement) -> list[str]:
    """The steps of the plan, without their numbers."""

    def explain(conn: Connection) -> list[str]:
        sql, values = statement.bind("sqlite", AnyValues())
        cursor = cast(Any, conn)._cursor
        return [str(row[3]) for row in cursor.execute(f"EXPLAIN QUERY PLAN {sql}", values).fetchall()]

    return store.see(explain)


PLANS: dict[str, tuple[Statement, list[str]]] = {
    "claim": (
        queue._candidates(2, "sqlite"),  # pyright: ignore[reportPrivateUsage]
        ["SEARCH frontdesk_task USING INDEX frontdesk_task_claim (slot=? AND queue=?)"],
    ),
    "head of the line": (
        line.HEAD,
        ["SEARCH frontdesk_task USING INDEX frontdesk_task_claim (slot=? AND queue=? AND priority=?)"],
    ),
    "what a turn begins with": (
        openings.OPENED,
        [
            "SEARCH frontdesk_turn USING INDEX ix_frontdesk_turn_task_id (task_id=?)",
            "SEARCH frontdesk_conversation USING INDEX sqlite_autoindex_frontdesk_conversation_1 (id=?)",
            "USE TEMP B-TREE FOR ORDER BY",
        ],
    ),
    "last of an owner": (
        line.LAST,
        ["SEARCH frontdesk_task USING INDEX frontdesk_task_flow (slot=? AND queue=? AND tenant=? AND flow=?)"],
    ),
    "due": (line.DUE, ["SEARCH frontdesk_task USING INDEX frontdesk_task_due (ready<?)"]),
    "due schedules": (
        schedules._due(2),  # pyright: ignore[reportPrivateUsage]
        ["SEARCH frontdesk_schedule USING INDEX sqlite_autoindex_frontdesk_schedule_1 (name=?)"],
    ),
    "due by wall time": (
        line.DUE_AT,
        ["SEARCH frontdesk_task USING INDEX frontdesk_task_due_at (run_at>? AND run_at<?)"],
    ),
    "next of a concurrency key": (
        line.NEXT_OF,
        ["SEARCH frontdesk_task USING INDEX frontdesk_task_limit (concurrency_key=?)"],
    ),
    "unique key": (
        rows.BY_UNIQUE_KEY,
        ["SEARCH frontdesk_task USING INDEX frontdesk_task_unique (tenant=? AND unique_key=?)"],
    ),
    "expired leases": (
        leases.EXPIRED,
        ["SEARCH frontdesk_task USING INDEX frontdesk_task_lease (lease_until<?)"],
    ),
    "conversations whose time is over": (
        removal.EXPIRED,
        ["SEARCH frontdesk_conversation USING INDEX frontdesk_conversation_passing (kept_until<?)"],
    ),
    "what is live of a conversation": (
        removal.LIVE,
        ["SEARCH frontdesk_task USING INDEX frontdesk_task_twin (conversation_id=?)"],
    ),
    "the oldest of a log": (
        retention.OLDEST_ROWS,
        ["SEARCH frontdesk_event USING INDEX sqlite_autoindex_frontdesk_event_1 (conversation_id=?)"],
    ),
    "how far a log was removed": (
        events.FIRST,
        ["SEARCH frontdesk_event USING COVERING INDEX sqlite_autoindex_frontdesk_event_1 (conversation_id=?)"],
    ),
    "webhooks that are due": (
        deliveries.DUE,
        ["SEARCH frontdesk_delivery USING INDEX frontdesk_delivery_due (next_at<?)"],
    ),
    "whether a webhook is due": (
        deliveries.IS_DUE,
        ["SEARCH frontdesk_delivery USING INDEX frontdesk_delivery_due (next_at<?)"],
    ),
    "a task's deliveries": (
        deliveries.OF_TASK,
        ["SEARCH frontdesk_delivery USING INDEX frontdesk_delivery_task (task_id=?)", "USE TEMP B-TREE FOR ORDER BY"],
    ),
    "results whose time is over": (
        lifetimes.DUE,
        [
            "SEARCH frontdesk_task USING INDEX frontdesk_task_result (result_until>? AND result_until<?)",
            "CORRELATED SCALAR SUBQUERY 1",
            "SEARCH parent USING INDEX sqlite_autoindex_frontdesk_task_1 (id=?)",
            "CORRELATED SCALAR SUBQUERY 2",
            "SEARCH frontdesk_delivery USING INDEX frontdesk_delivery_task (task_id=?)",
        ],
    ),
    "timers": (waits.DUE, ["SEARCH frontdesk_task USING INDEX frontdesk_task_wake (wake>? AND wake<?)"]),
    "live turn": (
        turns.LIVE_TURN,
        ["SEARCH frontdesk_task USING INDEX frontdesk_task_live_turn (conversation_id=?)"],
    ),
    "twin": (
        rows.TWIN,
        ["SEARCH frontdesk_task USING INDEX frontdesk_task_twin (conversation_id=? AND fingerprint=?)"],
    ),
    "label": (
        rows.BY_LABEL,
        ["SEARCH frontdesk_task USING INDEX frontdesk_task_label (conversation_id=? AND label=?)"],
    ),
    "creator": (rows.BY_CREATOR, ["SEARCH frontdesk_task USING INDEX frontdesk_task_created_by (created_by=?)"]),
    "children": (
        cancelling.CHILDREN,
        ["SEARCH frontdesk_task USING INDEX frontdesk_task_parent (parent_id=?)", "USE TEMP B-TREE FOR ORDER BY"],
    ),
    "a tenant's tasks": (
        listing.OF_TENANT,
        ["SEARCH frontdesk_task USING INDEX frontdesk_task_listing (tenant=?)"],
    ),
    "a page of a tenant's tasks": (
        listing.PAGE,
        ["SEARCH frontdesk_task USING INDEX frontdesk_task_listing (tenant=?)"],
    ),
    "a page of live tasks": (
        listing.LIVE_PAGE,
        ["SCAN frontdesk_task USING INDEX frontdesk_task_twin", "USE TEMP B-TREE FOR ORDER BY"],
    ),
    "live tasks, counted": (
        counting.LIVE,
        ["SCAN frontdesk_task USING INDEX frontdesk_task_twin", "USE TEMP B-TREE FOR GROUP BY"],
    ),
    "running tasks, counted": (
        counting.RUNNING,
        ["SCAN frontdesk_task USING INDEX frontdesk_task_lease", "USE TEMP B-TREE FOR GROUP BY"],
    ),
    "tasks that ended within a minute, counted": (
        counting.ENDED,
        [
            "SEARCH frontdesk_task USING COVERING INDEX frontdesk_task_finished "
            "(tenant=? AND finished_at>? AND finished_at<?)",
            "USE TEMP B-TREE FOR GROUP BY",
        ],
    ),
    "live tasks": (
        listing.LIVE_OF,
        ["SEARCH frontdesk_task USING INDEX frontdesk_task_twin (conversation_id=?)"],
    ),
    "waiters": (
        endings.WAITERS,
        ["SEARCH frontdesk_wait USING INDEX ix_frontdesk_wait_awaited_id (awaited_id=?)"],
    ),
    "who holds leases": (
        leases.OWNERS,
        ["SCAN frontdesk_task USING INDEX frontdesk_task_lease", "USE TEMP B-TREE FOR DISTINCT"],
    ),
    "running and to be cancelled": (leases.ASKED, ["SCAN frontdesk_task USING INDEX frontdesk_task_lease"]),
    "steers of a response": (
        inbox.STEERS,
        ["SEARCH frontdesk_inbox USING INDEX frontdesk_inbox_waiting (conversation_id=? AND kind=?)"],
    ),
    "steer by its id": (
        inbox.STEER_BY_INPUT_ID,
        ["SEARCH frontdesk_inbox USING INDEX frontdesk_inbox_input (tenant=? AND input_id=?)"],
    ),
    "response by its input's id": (
        inbox.BY_INPUT_ID,
        ["SEARCH frontdesk_turn USING INDEX frontdesk_turn_input (tenant=? AND input_id=?)"],
    ),
    "waiting input": (
        inbox.WAITING,
        [
            "SEARCH frontdesk_inbox USING INDEX frontdesk_inbox_waiting (conversation_id=?)",
            "USE TEMP B-TREE FOR ORDER BY",
        ],
    ),
    "deltas": (
        events.DROP_DELTAS,
        ["SEARCH frontdesk_event USING INDEX frontdesk_event_deltas (conversation_id=? AND deltas_of=?)"],
    ),
    "records of durable calls": (
        durable.READ,
        ["SEARCH frontdesk_durable_call USING INDEX sqlite_autoindex_frontdesk_durable_call_1 (task_id=?)"],
    ),
}


@pytest.mark.parametrize("name", PLANS)
def test_a_hot_statement_uses_its_index_and_sorts_nothing_large(store: Store, name: str) -> None:
    statement, expected = PLANS[name]
    assert plan(store, statement) == expected


@pytest.fixture(scope="module")
def on_postgresql(postgresql: Server) -> Any:
    url = postgresql.create()
    database = Database.open(url)
    yield Store(database)
    database.close()
    postgresql.give_back(url)


CLAIM_ON_POSTGRESQL = queue._candidates(2, "postgresql")  # pyright: ignore[reportPrivateUsage]


@pytest.mark.parametrize("name", PLANS)
def test_a_hot_statement_reads_no_whole_table_on_postgresql(on_postgresql: Store, name: str) -> None:
    statement = CLAIM_ON_POSTGRESQL if name == "claim" else PLANS[name][0]

    def explain(conn: Connection) -> str:
        sql, _ = statement.bind("postgresql", AnyValues())
        numbers = itertools.count(1)
        numbered = re.sub("%s", lambda _: f"${next(numbers)}", sql)
        return "\n".join(str(row[0]) for row in conn.raw.execute(f"EXPLAIN (GENERIC_PLAN) {numbered}").fetchall())

    steps = on_postgresql.do(explain)
    assert "Seq Scan" not in steps, steps
    if name == "claim":
        assert "using frontdesk_task_claim on frontdesk_task" in steps
        assert "using frontdesk_conversation_pkey" in steps


def test_the_next_input_is_three_looks_into_an_index(store: Store) -> None:
    """However many notices wait, only the first of a kind is looked at; nothing is sorted."""
    steps = plan(store, turns.NEXT_INPUT)
    looks = [step for step in steps if "frontdesk_inbox" in step]
    assert looks == ["SEARCH frontdesk_inbox USING INDEX frontdesk_inbox_waiting (conversation_id=? AND kind=?)"] * 3
    assert not [step for step in steps if "TEMP B-TREE" in step]


def test_conversations_in_line_are_counted_by_looks_into_an_index(store: Store) -> None:
    """One for each conversation, not one for each task."""
    steps = plan(store, line.COUNT_FLOWS)
    assert not [step for step in steps if "SCAN frontdesk_task" in step], steps
    looks = [step for step in steps if "frontdesk_task_flow" in step]
    assert any("flow>?" in step for step in looks), steps


def test_a_conversations_tasks_are_found_by_its_labels(store: Store) -> None:
    assert plan(store, listing.OF_CONVERSATION) == [
        "SEARCH frontdesk_task USING INDEX frontdesk_task_label (conversation_id=?)",
        "USE TEMP B-TREE FOR ORDER BY",
    ]


def test_the_log_is_read_from_where_the_cursor_is(store: Store) -> None:
    (step,) = plan(store, events.READ)
    assert step.startswith("SEARCH frontdesk_event USING INDEX sqlite_autoindex_frontdesk_event_1 (conversation_id=?")
    assert "first>?" in step
    steps = plan(store, events.ROW_AT)
    assert "first<?" in steps[0]


def test_claiming_looks_at_what_it_takes_and_not_at_what_waits_behind(store: Store) -> None:
    """The work of a claim, in steps of SQLite's machine, does not grow with the queue."""

    def steps(conn: Connection) -> int:
        raw = cast(Any, conn)._cursor.connection
        taken: list[int] = []
        raw.set_progress_handler(lambda: taken.append(1), 1)
        queue.claim(conn, "task", ["work"], "tests", 60.0, 1)
        raw.set_progress_handler(None, 0)
        return len(taken)

    def fill(conn: Connection, count: int) -> None:
        for _ in range(count):
            queue.enqueue(conn, TaskRequest(name="work"))

    store.do(fill, 10)
    few = store.do(steps)
    store.do(fill, 3_000)
    assert store.do(steps) <= few * 1.2
