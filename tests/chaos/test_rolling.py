"""A rolling restart: each of two servers is told to end, and started again, one after the other, while people talk to
them with official clients. Nobody notices more than that an answer takes its time.
"""

from __future__ import annotations

import logging
import random
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import anyio
import pytest
from openai import AsyncOpenAI

from frontdesk.broker.database import Database
from frontdesk.tests.chaos.callers import WAYS, Person, Tally
from frontdesk.tests.chaos.desks import Servers, answer, commanded
from frontdesk.tests.chaos.relay import relay
from frontdesk.tests.chaos.scale import PATIENCE, SEED, chance, scaled
from frontdesk.tests.invariants import broken
from frontdesk.tests.store import Store

CONVERSATIONS, ROUNDS = scaled(7, 200), scaled(1, 4)
BETWEEN = scaled(4, 200)  # answers between two restarts
PAUSE = scaled(0.1, 4.0)  # seconds for which somebody may think


@pytest.fixture
def servers(postgresql_url: str, tmp_path: Path) -> Iterator[Servers]:
    found = Servers(postgresql_url, 2, commanded(tmp_path))
    yield found
    found.stop()


async def test_a_rolling_restart_loses_nothing_and_no_official_client_fails(
    servers: Servers, postgresql_url: str, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    dice = chance(f"{CONVERSATIONS} conversations, {ROUNDS} rolling restarts of two servers")
    caplog.set_level(logging.INFO, "openai._base_client")
    tally, rolled = Tally(), anyio.Event()
    with anyio.fail_after(PATIENCE * 2):
        async with (
            relay(servers.ports) as between,
            AsyncOpenAI(base_url=f"{between.url}/v1", api_key="any", timeout=PATIENCE) as client,
        ):
            people = [WAYS[number % len(WAYS)](number, client, between.url, tally) for number in range(CONVERSATIONS)]
            async with anyio.create_task_group() as group:
                for person in people:
                    group.start_soon(talk, person, rolled)
                await tally.until(CONVERSATIONS)
                for number in [*range(len(servers.ports))] * ROUNDS:
                    await anyio.sleep(dice.uniform(0, 0.1))  # somewhere in the middle of what it does
                    await anyio.to_thread.run_sync(servers.restart, number)
                    await tally.until(tally.answered + BETWEEN)
                rolled.set()
            for person in people:
                await check(person, client)
    retries = sum(record.message.startswith("Retrying") for record in caplog.records)
    print(f"{tally.answered} answers, {2 * ROUNDS} restarts, {retries} requests sent again by the official client, "
          f"slowest answer {tally.slowest:.1f} s; {dict(tally.ways)}")  # fmt: skip
    store = Store(Database.open(postgresql_url, durable=False, exclusive=False))
    try:
        assert broken(store) == [], f"seed {SEED}"
        assert {row["status"] for row in store.tasks()} == {"succeeded"}, f"seed {SEED}"
    finally:
        store.database.close()
    assert complaints(tmp_path) == []


def complaints(folder: Path) -> list[str]:
    """What the servers have logged as their own failures."""
    lines = [line for one in folder.glob("*.log") for line in one.read_text().splitlines()]
    return [line for line in lines if " ERROR " in line or "Traceback" in line]


async def talk(person: Person, rolled: anyio.Event) -> None:
    """Says one thing after the other until the servers have been restarted."""
    dice = random.Random(f"{SEED}/{person.name}")
    await person.open()
    try:
        while not rolled.is_set() or len(person.asked) < 2:
            await person.say(dice.choice(("say", "look", "file", "slow")))
            with anyio.move_on_after(dice.uniform(0, PAUSE)):
                await rolled.wait()
    finally:
        await person.close()


async def check(person: Person, client: Any) -> None:
    """What was asked is in the conversation, once and in order, and so are its answers; what was begun and given back
    stays visible."""
    assert person.conversation is not None
    said: list[Any] = [
        (item.role, item.content[0].text)
        async for item in client.conversations.items.list(person.conversation, order="asc", limit=100)
        if item.type == "message" and item.status == "completed"
    ]
    wanted = [one for text in person.asked for one in (("user", text), ("assistant", answer(text)))]
    assert [one for one in said if not one[1].startswith("heard of")] == wanted, f"seed {SEED}"
