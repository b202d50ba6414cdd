"""An office: a desk at work on a database of its own, a client that writes to its inbox, and a record of all it says.

Everything is real: SQLite files, worker threads, the event log. When the office is closed, everything that was said is
checked against the SDK's types and the protocol's order, and every history against the rules of the API.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Callable, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, TypeVar

import anyio
import sqlalchemy as sa
from pydantic_core import from_json

from frontdesk.agents import Desk
from frontdesk.agents.conversation import accept_create
from frontdesk.agents.entries import user_message
from frontdesk.agents.history import StoredItem, model_items, validate_items
from frontdesk.agents.items import after
from frontdesk.agents.model import ModelRequest
from frontdesk.agents.models.scripted import ScriptedReply, call
from frontdesk.broker import events, inbox, listing, rows, turns
from frontdesk.broker.connection import Connection
from frontdesk.broker.database import Database
from frontdesk.broker.inbox import Accepted, NewCreate, NewSteer, SteerAccepted
from frontdesk.broker.statements import Statement, p, table
from frontdesk.broker.tables import Conversation
from frontdesk.broker.worker import Worker
from frontdesk.tasks.states import TERMINAL as TERMINAL_TASKS
from frontdesk.tests.fakes import event_rules
from frontdesk.tests.fakes.event_rules import TERMINAL, Event

T = TypeVar("T")

PATIENCE = 60.0  # seconds; a bound for what never happens, not a measure
conversation = table(Conversation)
ALL: Statement = Statement(sa.select(conversation.c.id))
OF_TASK: Statement = Statement(sa.select(conversation.c.id).where(conversation.c.parent_task == p("id")))


class Recorder:
    """Every event of one conversation after the cursor ``start``, as a follower sees them.

    It listens from within the commit that made the conversation: nothing can be said before.
    """

    def __init__(self, database: Database, conversation_id: str, loop: asyncio.AbstractEventLoop, start: int) -> None:
        self.events: list[Event] = []
        self.news = asyncio.Event()
        self.cursor = start
        self._hub, self._id = database.hub, conversation_id
        self._listening = database.hub.listen("events", conversation_id, self._take, loop=loop, start=start)

    def _take(self) -> None:
        found = self._hub.recent(self._id, self.cursor)
        assert found is not None, "the recorder fell behind the log's ring"
        for row in found:
            for self.cursor, text in events.texts(row, self.cursor):  # noqa: B020 - the last one stays
                self.events.append(from_json(text))
        self.news.set()

    def stop(self) -> None:
        self._listening.stop()


class Office:
    """One desk at work. ``say`` is what most tests need."""

    def __init__(self, desk: Desk[Any], database: Database) -> None:
        self.desk, self.database = desk, database
        self.recorders: dict[str, Recorder] = {}
        self.workers: list[Worker] = []
        self.forwarded = 0.0  # seconds that the database's clock was moved on

    def start(self, **options: Any) -> Worker:
        """Starts a worker."""
        worker = self.desk.worker(self.database, **options)
        worker.start()
        self.workers.append(worker)
        return worker

    async def create(
        self,
        text: str | list[dict[str, Any]] = "hello",
        conversation_id: str | None = None,
        *,
        request: Mapping[str, Any] | None = None,
        tenant: str = "",
        **fields: Any,
    ) -> Accepted:
        """Accepts an input; in a new conversation unless one, or a previous response, is named."""
        new = NewCreate(
            tenant=tenant,
            desk=self.desk.name,
            input=[user_message(text)] if isinstance(text, str) else text,
            request={"model": self.desk.name, **(request or {})},
            conversation_id=conversation_id,
            unattended_limit=self.desk.max_unattended_turns,
            **fields,
        )
        loop = asyncio.get_running_loop()

        def accept(conn: Connection) -> Accepted:
            accepted = accept_create(conn, new)
            found = accepted.conversation_id
            if found not in self.recorders:
                start = events.last_cursor(conn, found) or 0
                self.recorders[found] = Recorder(self.database, found, loop, start)
            return accepted

        return await self.database.write(accept)

    async def steer(self, response_id: str, text: str = "instead") -> SteerAccepted:
        new = NewSteer(tenant="", response_id=response_id, input=[user_message(text)])
        return await self.database.write(inbox.accept_steer, new)

    async def say(self, text: str = "hello", conversation_id: str | None = None, **fields: Any) -> Event:
        """Accepts an input and waits for the end of its response; the response."""
        return await self.ended(await self.create(text, conversation_id, **fields))

    async def ended(self, accepted: Accepted | SteerAccepted) -> Event:
        """The response's body at its end."""
        event = await self.event(
            accepted.conversation_id,
            lambda event: event["type"] in TERMINAL and event["response_id"] == accepted.response_id,
        )
        response: Event = event["response"]
        return response

    async def event(self, conversation_id: str, wanted: Callable[[Event], bool], number: int = 1) -> Event:
        """The event that is wanted, the ``number``-th of them, as soon as it is said."""
        recorder = self.recorders[conversation_id]
        with anyio.fail_after(PATIENCE):
            while True:
                recorder.news.clear()
                found = [event for event in recorder.events if wanted(event)]
                if len(found) >= number:
                    return found[number - 1]
                await recorder.news.wait()

    async def until(self, look: Callable[[Connection], T | None]) -> T:
        """What a read finds, as soon as it finds something."""
        with anyio.fail_after(PATIENCE):
            while (found := await self.database.read(look)) is None:
                await self._change()
        return found

    async def _change(self) -> None:
        """Waits for news of any conversation; not for long, because not every change is news."""
        with anyio.move_on_after(0.02):
            await anyio.sleep_forever()

    async def task(self, label: str, conversation_id: str, *statuses: str) -> rows.TaskRow:
        """A task of the conversation, as soon as it has one of these states (or any)."""

        def look(conn: Connection) -> rows.TaskRow | None:
            row = listing.find(conn, conversation_id, label)
            return row if row is not None and (not statuses or row["status"] in statuses) else None

        return await self.until(look)

    async def turn_status(self, response_id: str, *statuses: str) -> str:
        """The state of the task that runs a response, as soon as it is one of these."""

        def look(conn: Connection) -> str | None:
            turn = turns.read(conn, response_id)
            row = None if turn is None or turn["task_id"] is None else rows.read(conn, turn["task_id"])
            return row["status"] if row is not None and row["status"] in statuses else None

        return await self.until(look)

    async def quiet_but_for(self, conversation_id: str, *labels: str) -> None:
        """Returns when nothing of the conversation is live but these tasks, and nothing else is to begin."""

        def look(conn: Connection) -> bool | None:
            live = listing.live_count(conn, conversation_id)
            left = [listing.find(conn, conversation_id, label) for label in labels]
            return (
                True if live == sum(row is not None and row["status"] not in TERMINAL_TASKS for row in left) else None
            )

        await self.until(look)

    async def quiet(self, conversation_id: str) -> None:
        """Returns when nothing of the conversation is live, and everything that was said is recorded."""
        await self.quiet_but_for(conversation_id)
        with anyio.fail_after(PATIENCE):
            last = await self.database.read(events.last_cursor, conversation_id)
            recorder = self.recorders[conversation_id]
            while recorder.cursor < (last or 0):
                recorder.news.clear()
                await recorder.news.wait()

    async def items(self, conversation_id: str) -> list[StoredItem]:
        """The whole history, oldest first."""
        items: list[StoredItem] = []
        page = await self.database.read(after, conversation_id, 0)
        while page.items:
            items += page.items
            page = await self.database.read(after, conversation_id, page.last)
        return items

    async def child(self, label: str, conversation_id: str) -> str:
        """The conversation of a delegated run."""
        row = await self.task(label, conversation_id)
        found = await self.database.read(lambda conn: conn.one(OF_TASK, {"id": row["id"]}))
        assert found is not None
        return str(found[0])

    def said(self, conversation_id: str, *kinds: str) -> list[Event]:
        """What the conversation has said, of these types (without the ``response.``)."""
        recorded = self.recorders[conversation_id].events
        return [event for event in recorded if not kinds or event["type"].removeprefix("response.") in kinds]

    async def check(self) -> None:
        """What must be true of every office, whatever happened in it."""
        for conversation_id, recorder in self.recorders.items():
            last = await self.database.read(events.last_cursor, conversation_id)
            with anyio.fail_after(PATIENCE):
                while recorder.cursor < (last or 0):
                    recorder.news.clear()
                    await recorder.news.wait()
            event_rules.check(recorder.events)
        for row in await self.database.read(lambda conn: conn.all(ALL)):
            items = await self.items(str(row[0]))
            assert validate_items(model_items(items, model="scripted")) == []


def asked(request: ModelRequest) -> str:
    """What the person said last."""
    texts = [item["content"][0]["text"] for item in request.items if item.get("role") == "user"]
    return str(texts[-1])


def filed(task: str, /, **arguments: Any) -> ScriptedReply:
    """A call of ``create_task``."""
    return call("create_task", {"task": {"name": task, "arguments": arguments}, "title": None, "again": None})


def outputs(response: Event) -> dict[str, Any]:
    """What became of each call of a response, by the name of its tool: its output, or its error's text."""
    return {item["name"]: output(item) for item in response["output"] if item["type"] == "mcp_call"}


def output(item: Event) -> Any:
    if item.get("error"):
        return item["error"]["content"][0]["text"]
    return item["output"]


def text_of(response: Event) -> str:
    """The last message of a response."""
    messages = [item for item in response["output"] if item["type"] == "message"]
    return "".join(part["text"] for part in messages[-1]["content"]) if messages else ""


@asynccontextmanager
async def office(
    desk: Desk[Any], folder: Path, *, url: str | None = None, start: bool = True, **options: Any
) -> AsyncGenerator[Office]:
    """Opens an office with one worker (``options``: its slots, lease, grace); checks it and closes it at the end."""
    database = await asyncio.to_thread(Database.open, url or f"sqlite:///{folder}/office.db", durable=False)
    one = Office(desk, database)
    try:
        if start:
            one.start(**options)
        yield one
        await one.check()
    finally:
        for recorder in one.recorders.values():
            recorder.stop()
        for worker in one.workers:
            await worker.stop(0.0)
        await asyncio.to_thread(database.close)
