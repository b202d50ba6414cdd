"""A worker moved by hand: it claims turns and writes to the event log what a test says, when it says so.

The database is a real one.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field
from typing import Any, Literal

import sqlalchemy as sa
from pydantic_core import from_json, to_json

from frontdesk.agents.events import ResponseStream, usage_body
from frontdesk.agents.model import Model, Usage
from frontdesk.broker import inbox, queue, rows, turns
from frontdesk.broker.connection import Connection
from frontdesk.broker.database import Database
from frontdesk.broker.events import Event, append
from frontdesk.broker.rows import Claim
from frontdesk.broker.statements import Statement, p
from frontdesk.tasks.request import TaskRequest
from frontdesk.tasks.states import Action

Ended = Literal["completed", "failed", "incomplete", "cancelled"]

KINDS: dict[Ended, str] = {
    "completed": "completed",
    "failed": "failed",
    "incomplete": "incomplete",
    "cancelled": "incomplete",
}


@dataclass
class HandDesk:
    """A desk by name only."""

    name: str = "front"
    agents: dict[str, Any] = field(default_factory=lambda: {"triage": None, "files": None})
    catalogs: dict[str, Any] = field(default_factory=dict[str, Any])
    max_unattended_turns: int = 8
    entry: Any = None

    def models_of(self, agent: Any) -> tuple[Model, ...]:
        raise NotImplementedError("it has no model")

    def team(self) -> Any:
        raise NotImplementedError("it has no agents that run")

    async def aclose(self) -> None:
        """It has nothing open."""


@dataclass
class HandTurn:
    """One claimed turn. Each method is one commit."""

    database: Database
    claim: Claim
    response_id: str
    conversation_id: str
    stream: ResponseStream
    metadata: dict[str, str]

    async def say(self, *words: str) -> None:
        """Deltas, all in one commit."""
        for word in words:
            self.stream.text_delta("msg_1", 0, word)
        await self.database.write(save, self, self.stream.take())

    async def tell(self, label: str) -> None:
        """The item by which the desk puts a task's end into the conversation."""
        item = {"id": "mcp_1", "type": "mcp_call", "server_label": "tasks", "name": "check_task", "output": "{}",
                "arguments": f'{{"task":"{label}"}}'}  # fmt: skip
        self.stream.done(self.stream.added(item), item)
        await self.database.write(save, self, self.stream.take())

    async def end(self, status: Ended = "completed", *, reason: str = "") -> None:
        self.stream.lifecycle(KINDS[status], self.body(status, reason))
        await self.database.write(finish, self, self.stream.take(), status)

    def body(self, status: str, reason: str = "") -> dict[str, Any]:
        """A response that the SDK's types accept."""
        incomplete = {"reason": reason or "max_output_tokens"} if status == "incomplete" else None
        return {
            "id": self.response_id, "object": "response", "created_at": 1.0, "status": status, "model": "front",
            "output": [], "parallel_tool_calls": True, "tool_choice": "auto", "tools": [],
            "metadata": self.metadata,
            "conversation": {"id": self.conversation_id}, "incomplete_details": incomplete,
            "error": {"code": "server_error", "message": "it broke"} if status == "failed" else None,
            "usage": usage_body(Usage()),
        }  # fmt: skip


@dataclass
class HandWorker:
    """Claims when it is told to."""

    database: Database
    desk: HandDesk = field(default_factory=HandDesk)

    async def begin(self) -> HandTurn:
        """Claims the next turn and commits its ``response.created``."""
        turn = await self.claim()
        assert turn is not None, "no turn is waiting"
        return turn

    async def claim(self) -> HandTurn | None:
        """As ``begin``; None when no turn waits."""
        claims = await self.database.write(queue.claim, "turn", [self.desk.name], "hand", 600.0, 1)
        if not claims:
            return None
        response_id, conversation_id, metadata = await self.database.write(begin, claims[0])
        stream = ResponseStream(response_id, conversation_id)
        turn = HandTurn(self.database, claims[0], response_id, conversation_id, stream, metadata)
        stream.lifecycle("created", turn.body("in_progress"))
        await self.database.write(save, turn, stream.take())
        return turn

    async def answer(self, *words: str) -> HandTurn:
        """A whole turn."""
        turn = await self.begin()
        await turn.say(*words)
        await turn.end()
        return turn

    async def task(self, conversation_id: str, name: str = "report") -> str:
        """Files a background task; its id."""
        return await self.database.write(file_task, conversation_id, name)

    async def finish_task(self, task_id: str) -> None:
        """Claims a background task and ends it well."""
        (claim,) = await self.database.write(queue.claim, "task", ["report"], "hand", 600.0, 1)
        assert claim.task_id == task_id
        await self.database.write(end_task, claim)

    async def asked_to_cancel(self, turn: HandTurn) -> None:
        """Returns when somebody has asked for this turn to be cancelled."""
        asked = asyncio.Event()
        listening = self.database.hub.listen("cancel", turn.claim.task_id, asked.set)
        row = await self.database.read(rows.read, turn.claim.task_id)
        if row is not None and not row["cancel_requested"]:
            await asked.wait()
        listening.stop()

    async def note(self, conversation_id: str, *texts: str) -> None:
        """Events that belong to no response."""
        await self.database.write(append_notes, conversation_id, texts)


TURN_IS: Statement = Statement(
    sa.update(turns.turn).where(turns.turn.c.id == p("id")).values(status=p("status"), next_sequence=p("next_sequence"))
)


def begin(conn: Connection, claim: Claim) -> tuple[str, str, dict[str, str]]:
    """The response, the conversation and the client's metadata of a claimed turn, which takes its input."""
    found = turns.of_task(conn, claim.task_id)
    assert found is not None
    inbox.take(conn, found["conversation_id"], found["id"])
    conn.run(TURN_IS, {"id": found["id"], "status": "in_progress", "next_sequence": 0})
    return found["id"], found["conversation_id"], from_json(found["request"]).get("metadata", {})


def save(conn: Connection, turn: HandTurn, events: list[Event]) -> None:
    append(conn, turn.conversation_id, events)
    conn.run(TURN_IS, {"id": turn.response_id, "status": "in_progress", "next_sequence": turn.stream.sequence})


def finish(conn: Connection, turn: HandTurn, events: list[Event], status: Ended) -> None:
    append(conn, turn.conversation_id, events)
    conn.run(TURN_IS, {"id": turn.response_id, "status": status, "next_sequence": turn.stream.sequence})
    queue.finish(conn, turn.claim, Action.SUCCEED)


def end_task(conn: Connection, claim: Claim) -> None:
    queue.finish(conn, claim, Action.SUCCEED, result='"done"')


def file_task(conn: Connection, conversation_id: str, name: str) -> str:
    request = TaskRequest(name=name, title=name)
    return str(queue.enqueue(conn, request, queue.Origin(conversation_id=conversation_id))["id"])


def append_notes(conn: Connection, conversation_id: str, texts: tuple[str, ...]) -> None:
    events = [
        Event(to_json({"type": "frontdesk:note", "conversation": conversation_id, "text": text}).decode())
        for text in texts
    ]
    append(conn, conversation_id, events)
