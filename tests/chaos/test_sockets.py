"""Connections that are cut off at random moments, in the middle of whatever is being said: the client resumes, and
nothing is lost, repeated or out of order. With PostgreSQL it resumes at another server as often as not."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import anyio
import pytest
from pydantic_core import from_json

from frontdesk.broker.database import Database
from frontdesk.broker.events import read_after, texts
from frontdesk.server.client import Client
from frontdesk.server.dialog import Dialog
from frontdesk.tests.chaos.desks import Servers, answer
from frontdesk.tests.chaos.relay import relay
from frontdesk.tests.chaos.scale import PATIENCE, chance, scaled

CUTS = scaled(60, 1_000)
CONVERSATIONS = scaled(3, 10)


@pytest.fixture(params=["sqlite", "postgresql"])
def servers(request: pytest.FixtureRequest) -> Iterator[tuple[Servers, str]]:
    url = str(request.getfixturevalue(f"{request.param}_url"))
    found = Servers(url, 1 if request.param == "sqlite" else 2)
    yield found, url
    found.stop()


class Witness(Dialog):
    """A dialog that notes the events that it did not drop."""

    __slots__ = ("taken",)

    def __init__(self) -> None:
        super().__init__()
        self.taken: list[int] = []

    def receive(self, event: Any) -> Any:
        durable = "cursor" in event and event["type"] != "frontdesk:subscribed"
        before = set(self.ahead), self.cursor
        found = super().receive(event)
        if durable:
            cursor = int(event["cursor"])
            ahead, seen = before
            if cursor not in ahead and (seen is None or cursor > seen):
                self.taken.append(cursor)
        return found


def logged(url: str, conversation: str) -> dict[int, Any]:
    """Every event of the log, by cursor."""
    database = Database.open(url, durable=False, exclusive=False)
    try:
        found: dict[int, Any] = {}
        after = 0
        while rows := database.read_blocking(read_after, conversation, after):
            for row in rows:
                found.update((cursor, from_json(text)) for cursor, text in texts(row, after))
            after = rows[-1].first + rows[-1].count - 1
        return found
    finally:
        database.close()


def is_passing(event: Any) -> bool:
    """Whether a replay may leave it out, because a later event says the same."""
    is_progress = event["type"] == "frontdesk:task.updated" and bool(event["task"]["message"])
    return is_progress or event["type"] == "response.output_text.delta"


async def test_resuming_after_every_cut_nothing_is_lost_repeated_or_out_of_order(servers: tuple[Servers, str]) -> None:
    running, url = servers
    dice = chance("cut sockets")
    witnesses: list[Witness] = []
    greeted: list[int] = []
    asked = 0

    def cut_after() -> int | None:
        return int(dice.expovariate(1 / 6_000)) + 300 if len(greeted) == CONVERSATIONS else None

    async def talk(number: int) -> None:
        nonlocal asked
        witness = Witness()
        witnesses.append(witness)
        async with Client(between.url, dialog=witness, patience=PATIENCE) as client:
            await client.ask("say hello")  # what is one's own may be ahead until one follows the conversation
            await client.until(lambda: witness.following)
            greeted.append(number)
            if len(greeted) == CONVERSATIONS:
                between.stop()
            while between.cuts < CUTS:
                text = f"{dice.choice(['say', 'look', 'file'])} {number}.{asked}"
                asked += 1
                reply = await client.ask(text)
                assert (reply.text, reply.status) == (answer(text), "completed")
            await client.until(lambda: witness.following and not witness.untold and not witness.running)

    with anyio.fail_after(PATIENCE * 2):
        async with (
            relay(running.ports, cut_after) as between,
            anyio.create_task_group() as group,
        ):
            for number in range(CONVERSATIONS):
                group.start_soon(talk, number)
    print(f"{between.cuts} cuts of {between.connections} connections, {asked} questions")
    assert between.cuts >= CUTS
    for witness in witnesses:
        assert witness.conversation is not None
        assert witness.taken == sorted(set(witness.taken)), "each once, in the order of the log"
        log = logged(url, witness.conversation)
        seen = set(witness.taken)
        last = max(seen)
        assert [event for cursor, event in log.items() if cursor <= last and cursor not in seen] == []
