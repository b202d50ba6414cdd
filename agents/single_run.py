"""Asking a desk without a server: a throw-away database, an embedded worker, the events of one conversation."""

from __future__ import annotations

import asyncio
import tempfile
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Protocol

import anyio
from pydantic_core import from_json
from typing_extensions import Unpack

from ..broker import events, listing, turns
from ..broker.connection import Connection
from ..broker.database import Database
from ..broker.inbox import NewCreate
from ..broker.views import view
from ..broker.wakeups import Events
from ..broker.worker import Worker
from . import required
from .answer import Answer, TurnFailed
from .caller import Caller, RunOptions, caller_of
from .conversation import accept_create
from .entries import user_message
from .model import JSON

TERMINAL: Final = ("response.completed", "response.failed", "response.incomplete")
POLL: Final = 1.0  # seconds; wake-ups are hints, and everything completes without them


@dataclass(frozen=True, slots=True)
class Place:
    """Where a conversation is gone on with: its id (empty: a new one), and the last cursor that was seen."""

    conversation_id: str = ""
    cursor: int = 0


class Askable(Protocol):
    """What is asked: a desk."""

    @property
    def name(self) -> str: ...

    @property
    def max_unattended_turns(self) -> int: ...

    def worker(self, database: Database, *, schedules: bool) -> Worker: ...

    def output_of(self, agent: str, response: JSON, text: str) -> Any: ...


async def ask(desk: Askable, text: str, **options: Unpack[RunOptions]) -> Answer[Any]:
    """Asks, waits for the response, for the tasks that it filed, and for the turns that these started; what the desk
    asks for is asked of its caller. Raises NobodyAnswers.
    """
    with throw_away_folder() as folder:
        database = Database.open(f"sqlite:///{folder}/desk.db", durable=False)
        try:
            worker = desk.worker(database, schedules=False)
            worker.start()
            try:
                with anyio.fail_after(options.get("timeout")):
                    return (await ask_at(desk, database, text, Place(), caller_of(options)))[0]
            finally:
                with anyio.CancelScope(shield=True):
                    await worker.stop(0.0)
        finally:
            database.close()


def throw_away_folder() -> tempfile.TemporaryDirectory[str]:
    memory = Path("/dev/shm")
    return tempfile.TemporaryDirectory(prefix="frontdesk-", dir=memory if memory.is_dir() else None)


async def ask_at(
    desk: Askable, database: Database, text: str, place: Place, caller: Caller
) -> tuple[Answer[Any], Place]:
    """Asks in a conversation, whose worker runs, and waits until nothing in it is live; what the desk asks for is asked
    of ``caller``. The answer, and where to go on.

    The answer has the responses since ``place``, and every task of the conversation. Raises TurnFailed, NobodyAnswers.
    """
    given: list[JSON] = [user_message(text)]
    responses: list[JSON] = []
    while given:
        new = NewCreate(
            tenant="", desk=desk.name, input=given, request={"model": desk.name},
            conversation_id=place.conversation_id or None, unattended_limit=desk.max_unattended_turns,
        )  # fmt: skip
        accepted = await database.write(accept_create, new)
        found, cursor = await _responses(database, Place(accepted.conversation_id, place.cursor))
        place = Place(accepted.conversation_id, cursor)
        responses += found
        if responses[0]["status"] == "failed":
            raise TurnFailed(responses[0])
        given = await _answers(database, place.conversation_id, responses, caller)
    tasks = await database.read(listing.of_conversation, place.conversation_id)
    messages: list[JSON] = [item for one in responses for item in one["output"] if item["type"] == "message"]
    text, agent = ("", "") if not messages else _said(messages[-1])
    output = desk.output_of(agent, responses[-1], text)
    answer = Answer(text, agent, tuple(responses), tuple(view(one) for one in tasks), output)
    return answer, place


async def _answers(database: Database, conversation_id: str, responses: Iterable[JSON], caller: Caller) -> list[JSON]:
    """What the caller says to everything that is asked for."""
    keys = await database.read(required.open_keys, conversation_id)
    asked = {item.get("call_id") or item["id"]: item for one in responses for item in one["output"] if _asks(item)}
    return [await caller.answer(asked[key]) for key in keys if key in asked]


def _asks(item: JSON) -> bool:
    return item["type"] in ("function_call", "mcp_approval_request")


def _said(message: JSON) -> tuple[str, str]:
    return "".join(part.get("text", "") for part in message["content"]), str(message["agent"]["agent_name"])


async def _responses(database: Database, place: Place) -> tuple[list[JSON], int]:
    """Every response of the conversation since then, once nothing in it is live any more, and the last cursor."""
    conversation_id, cursor = place.conversation_id, place.cursor
    news = asyncio.Event()
    listening = database.hub.listen("events", conversation_id, news.set)
    found: list[JSON] = []
    try:
        while True:
            news.clear()
            idle, rows = await database.read(_look, conversation_id, cursor)
            for row in rows:
                cursor = max(cursor, row.first + row.count - 1)
                found += _terminal(row)
            if idle and not rows:
                return found, cursor
            if not rows:
                with anyio.move_on_after(POLL):
                    await news.wait()
    finally:
        listening.stop()


def _look(conn: Connection, conversation_id: str, cursor: int) -> tuple[bool, list[Events]]:
    """Whether nothing goes on by itself (nothing is live, or a task waits for what the caller is asked), and what was
    said after the cursor, at one moment.
    """
    asks = not turns.live_id(conn, conversation_id) and bool(required.open_keys(conn, conversation_id))
    idle = asks or listing.live_count(conn, conversation_id) == 0
    return idle, events.read_after(conn, conversation_id, cursor)


def _terminal(row: Events) -> Iterable[JSON]:
    for _, line in events.texts(row):
        event: JSON = from_json(line)
        if event["type"] in TERMINAL:
            yield event["response"]
