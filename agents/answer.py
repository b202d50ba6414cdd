"""Asking a desk once, without a server: a throw-away database, an embedded worker, and the events of one conversation."""

from __future__ import annotations

import asyncio
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import anyio
from pydantic_core import from_json

from ..broker import events, listing
from ..broker.database import Database
from ..broker.inbox import NewCreate
from ..broker.worker import Worker
from ..tasks.errors import FrontdeskError
from .conversation import accept_create
from .entries import user_message
from .model import JSON

TERMINAL = ("response.completed", "response.failed", "response.incomplete")


class TurnFailed(FrontdeskError):
    """The response failed; the message says why, ``response`` is its body."""

    def __init__(self, response: JSON) -> None:
        super().__init__(str((response.get("error") or {}).get("message") or "the response failed"))
        self.response = response


@dataclass(frozen=True, slots=True)
class Answer:
    """What a desk answered: the text of its last response, and every response (those that finished tasks started, too)."""

    text: str
    agent: str
    responses: tuple[JSON, ...]
    tasks: tuple[JSON, ...]

    def __str__(self) -> str:
        return self.text


class Askable(Protocol):
    """What is asked: a desk."""

    name: str
    max_unattended_turns: int

    def worker(self, database: Database) -> Worker: ...


async def ask(desk: Askable, text: str, timeout: float | None) -> Answer:
    """Asks, waits for the response, for the tasks that it filed, and for the turns that these started."""
    memory = Path("/dev/shm")
    place = memory if memory.is_dir() else None
    with tempfile.TemporaryDirectory(prefix="frontdesk-", dir=place) as folder:
        database = Database.open(f"sqlite:///{folder}/desk.db", durable=False)
        try:
            worker = desk.worker(database)
            worker.start()
            try:
                with anyio.fail_after(timeout):
                    return await _ask(desk, database, text)
            finally:
                with anyio.CancelScope(shield=True):
                    await worker.stop(0.0)
        finally:
            database.close()


async def _ask(desk: Askable, database: Database, text: str) -> Answer:
    new = NewCreate(tenant="", desk=desk.name, input=[user_message(text)], request={"model": desk.name})
    accepted = await database.write(accept_create, new)
    news = asyncio.Event()
    listening = database.hub.listen("events", accepted.conversation_id, news.set)
    responses: list[JSON] = []
    try:
        cursor = 0
        while True:
            news.clear()
            rows = await database.read(events.read_after, accepted.conversation_id, cursor)
            for row in rows:
                for cursor, line in events.texts(row, cursor):
                    event: dict[str, Any] = from_json(line)
                    if event["type"] in TERMINAL:
                        responses.append(event["response"])
            if responses and not rows and await database.read(_is_idle, accepted.conversation_id):
                break
            if not rows:
                with anyio.move_on_after(1.0):
                    await news.wait()
    finally:
        listening.stop()
    if responses[0]["status"] == "failed":
        raise TurnFailed(responses[0])
    tasks = await database.read(listing.of_conversation, accepted.conversation_id)
    said = [item for one in responses for item in one["output"] if item["type"] == "message"]
    last = said[-1] if said else {"content": [], "agent": {"agent_name": ""}}
    return Answer(
        "".join(part.get("text", "") for part in last["content"]),
        str(last["agent"]["agent_name"]),
        tuple(responses),
        tuple(listing.rows.view(one) for one in tasks),
    )


def _is_idle(conn: Any, conversation_id: str) -> bool:
    return listing.live_count(conn, conversation_id) == 0
