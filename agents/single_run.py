"""Asking a desk once, without a server: a throw-away database, an embedded worker, the events of one conversation."""

from __future__ import annotations

import asyncio
import tempfile
from collections.abc import Iterable
from pathlib import Path
from typing import Any, Final, Protocol

import anyio
from pydantic_core import from_json

from ..broker import events, listing
from ..broker.connection import Connection
from ..broker.database import Database
from ..broker.inbox import NewCreate
from ..broker.views import view
from ..broker.wakeups import Events
from ..broker.worker import Worker
from .answer import Answer, TurnFailed
from .conversation import accept_create
from .entries import user_message
from .model import JSON

TERMINAL: Final = ("response.completed", "response.failed", "response.incomplete")
POLL: Final = 1.0  # seconds; wake-ups are hints, and everything completes without them


class Askable(Protocol):
    """What is asked: a desk."""

    @property
    def name(self) -> str: ...

    @property
    def max_unattended_turns(self) -> int: ...

    def worker(self, database: Database, *, schedules: bool) -> Worker: ...

    def output_of(self, agent: str, response: JSON, text: str) -> Any: ...


async def ask(desk: Askable, text: str, timeout: float | None) -> Answer[Any]:
    """Asks, waits for the response, for the tasks that it filed, and for the turns that these started."""
    with _folder() as folder:
        database = Database.open(f"sqlite:///{folder}/desk.db", durable=False)
        try:
            worker = desk.worker(database, schedules=False)
            worker.start()
            try:
                with anyio.fail_after(timeout):
                    return await _ask(desk, database, text)
            finally:
                with anyio.CancelScope(shield=True):
                    await worker.stop(0.0)
        finally:
            database.close()


def _folder() -> tempfile.TemporaryDirectory[str]:
    memory = Path("/dev/shm")
    return tempfile.TemporaryDirectory(prefix="frontdesk-", dir=memory if memory.is_dir() else None)


async def _ask(desk: Askable, database: Database, text: str) -> Answer[Any]:
    new = NewCreate(
        tenant="", desk=desk.name, input=[user_message(text)], request={"model": desk.name},
        unattended_limit=desk.max_unattended_turns,
    )  # fmt: skip
    accepted = await database.write(accept_create, new)
    responses = await _responses(database, accepted.conversation_id)
    if responses[0]["status"] == "failed":
        raise TurnFailed(responses[0])
    tasks = await database.read(listing.of_conversation, accepted.conversation_id)
    messages: list[JSON] = [item for one in responses for item in one["output"] if item["type"] == "message"]
    text, agent = ("", "") if not messages else _said(messages[-1])
    output = desk.output_of(agent, responses[-1], text)
    return Answer(text, agent, tuple(responses), tuple(view(one) for one in tasks), output)


def _said(message: JSON) -> tuple[str, str]:
    return "".join(part.get("text", "") for part in message["content"]), str(message["agent"]["agent_name"])


async def _responses(database: Database, conversation_id: str) -> list[JSON]:
    """Every response of the conversation, once nothing in it is live any more."""
    news = asyncio.Event()
    listening = database.hub.listen("events", conversation_id, news.set)
    found: list[JSON] = []
    cursor = 0
    try:
        while True:
            news.clear()
            idle, rows = await database.read(_look, conversation_id, cursor)
            for row in rows:
                cursor = max(cursor, row.first + row.count - 1)
                found += _terminal(row)
            if idle and not rows:
                return found
            if not rows:
                with anyio.move_on_after(POLL):
                    await news.wait()
    finally:
        listening.stop()


def _look(conn: Connection, conversation_id: str, cursor: int) -> tuple[bool, list[Events]]:
    """Whether nothing is live, and what was said after the cursor, at one moment."""
    return listing.live_count(conn, conversation_id) == 0, events.read_after(conn, conversation_id, cursor)


def _terminal(row: Events) -> Iterable[JSON]:
    for _, line in events.texts(row):
        event: JSON = from_json(line)
        if event["type"] in TERMINAL:
            yield event["response"]
