"""What conversations and tenants have used: counted in the commit that it belongs to, summed over windows of time."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime

import pytest

from frontdesk.agents.clearing import Clearing
from frontdesk.broker import usage
from frontdesk.broker.connection import Connection
from frontdesk.broker.database import Database
from frontdesk.broker.spending import HOUR, Spending, Window, window_of
from frontdesk.tests.store import Store, at_once

ONE = Spending(turns=1, model_calls=2, tool_calls=1, input_tokens=100, output_tokens=20, seconds=0.5, cost=0.25)
EVER = (0, 2**31 - 1)


@pytest.fixture
def store(database: Database) -> Store:
    return Store(database)


def test_what_is_counted_adds_up_for_the_conversation_and_the_tenant(store: Store) -> None:
    store.do(usage.count, "acme", "conv_1", ONE, key="resp_1")
    store.do(usage.count, "acme", "conv_2", ONE, key="resp_2")
    store.do(usage.count, "acme", "conv_1", Spending(input_tokens=5, cached_tokens=3), key="resp_1")
    store.do(usage.count, "other", "conv_3", ONE, key="resp_3")
    assert store.see(usage.of_conversation, "conv_1") == ONE + Spending(input_tokens=5, cached_tokens=3)
    assert store.see(usage.of_tenant, "acme", *EVER) == ONE + ONE + Spending(input_tokens=5, cached_tokens=3)
    assert store.see(usage.of_tenant, "other", *EVER) == ONE
    assert store.see(usage.of_tenant, "nobody", *EVER) == Spending()


def test_a_tenant_is_counted_by_the_hour(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    now = [1_800_000_000.0]

    def at(conn: Connection) -> float:
        return now[0]

    monkeypatch.setattr(Connection, "wall", at)
    store.do(usage.count, "acme", "conv_1", ONE)
    now[0] += HOUR
    store.do(usage.count, "acme", "conv_1", ONE + ONE)
    first = int(1_800_000_000 // HOUR)
    assert store.see(usage.by_hour, "acme", first, first + 2) == [(first, ONE), (first + 1, ONE + ONE)]
    assert store.see(usage.of_tenant, "acme", *window_of("hour", now[0])) == ONE + ONE
    assert store.see(usage.of_conversation, "conv_1").turns == 3


def test_a_deleted_conversation_leaves_what_its_tenant_has_used(store: Store) -> None:
    store.do(usage.count, "acme", "conv_1", ONE)
    store.do(usage.forget, "conv_1")
    assert store.see(usage.of_conversation, "conv_1") == Spending()
    assert store.see(usage.of_tenant, "acme", *EVER) == ONE


async def test_what_was_used_long_ago_is_cleared_away(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    now = [1_800_000_000.0]

    def at(conn: Connection) -> float:
        return now[0]

    monkeypatch.setattr(Connection, "wall", at)
    begin = int(now[0] // HOUR)
    store.do(usage.count, "", "conv_1", ONE)  # the tenant of those who have none
    for _ in range(3):
        store.do(usage.count, "acme", "conv_1", ONE)
        now[0] += 31 * 24 * HOUR
    for number in range(usage.LOOK + 5):
        store.do(usage.count, f"new_{number}", "conv_2", ONE)
    now[0] = 1_800_000_000.0 + usage.KEPT_DAYS * 24 * HOUR
    clearing = Clearing(store.database)
    await clearing.look(asyncio.Event())
    assert [hour - begin for hour, _ in store.see(usage.by_hour, "acme", *EVER)] == [0, 744, 1488], (
        "kept as long as said"
    )
    now[0] += 32 * 24 * HOUR
    for _ in range(2):
        await clearing.look(asyncio.Event())
    assert [hour - begin for hour, _ in store.see(usage.by_hour, "acme", *EVER)] == [1488]
    assert store.see(usage.by_hour, "", *EVER) == []
    assert store.see(usage.of_conversation, "conv_1").turns == 4, "a conversation's own goes with it"
    now[0] += 3000 * 24 * HOUR
    for _ in range(2):
        await clearing.look(asyncio.Event())
    assert store.see(usage.outdated) == ([], usage.FIRST_TENANT)
    assert store.see(usage.by_hour, "new_7", *EVER) == []


def test_many_that_count_at_once_lose_nothing(store: Store) -> None:
    def count(number: int) -> None:
        for _ in range(5):
            store.do(usage.count, "acme", "conv_1" if number % 2 else f"conv_{number}", ONE, key=f"resp_{number}")

    at_once(8, count)
    assert store.see(usage.of_tenant, "acme", *EVER).input_tokens == 40 * ONE.input_tokens
    assert store.see(usage.of_conversation, "conv_1").turns == 20


def test_a_commit_that_is_undone_counts_nothing(store: Store) -> None:
    def broken(conn: Connection) -> None:
        usage.count(conn, "acme", "conv_1", ONE)
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        store.do(broken)
    assert store.see(usage.of_tenant, "acme", *EVER) == Spending()


# The windows


@pytest.mark.parametrize(
    ("window", "at", "since", "until"),
    [
        ("hour", "2026-02-28T23:59:59", "2026-02-28T23", "2026-03-01T00"),
        ("day", "2026-02-28T23:59:59", "2026-02-28T00", "2026-03-01T00"),
        ("day", "2026-03-01T00:00:00", "2026-03-01T00", "2026-03-02T00"),
        ("month", "2026-02-28T23:59:59", "2026-02-01T00", "2026-03-01T00"),
        ("month", "2026-12-31T12:00:00", "2026-12-01T00", "2027-01-01T00"),
        ("month", "2026-11-01T00:00:00", "2026-11-01T00", "2026-12-01T00"),
    ],
)
def test_a_window_is_one_of_the_calendar_in_utc(window: Window, at: str, since: str, until: str) -> None:
    def seconds(text: str) -> float:
        return datetime.fromisoformat(text).replace(tzinfo=UTC).timestamp()

    assert window_of(window, seconds(at)) == (int(seconds(since)) // HOUR, int(seconds(until)) // HOUR)


def test_amounts_add_up_and_time_alone_is_nothing_used() -> None:
    assert ONE + ONE - ONE == ONE
    assert ONE.tokens == 120
    assert (bool(Spending()), bool(Spending(seconds=1.0)), bool(Spending(cached_tokens=1))) == (False, False, True)
