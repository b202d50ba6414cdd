"""A worker moved by hand: it claims turns and writes to the event log what a test says, when it says so.

The database is a real one.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from pydantic_core import to_json

from frontdesk.agents.events import ResponseStream, usage_body
from frontdesk.agents.model import Usage
from frontdesk.agents.storage import Batch, Ended, Ref, begin_turn, finish_turn, save_events
from frontdesk.broker import queue
from frontdesk.broker.connection import Connection
from frontdesk.broker.database import Database
from frontdesk.broker.events import Event, append
from frontdesk.tasks.table import TaskRequest

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
    max_unattended_turns: int = 8


@dataclass
class HandTurn:
    """One claimed turn. Each method is one commit."""

    database: Database
    ref: Ref
    stream: ResponseStream
    status: str = "in_progress"

    @property
    def response_id(self) -> str:
        return self.ref.response_id

    @property
    def conversation_id(self) -> str:
        return self.ref.conversation_id

    async def say(self, *words: str) -> None:
        """Deltas, all in one commit."""
        for word in words:
            self.stream.text_delta("msg_1", 0, word)
        await self.database.write(save_events, self.ref, self.batch())

    async def end(self, status: Ended = "completed", *, reason: str = "") -> None:
        self.stream.lifecycle(KINDS[status], body(self.ref, status, reason))
        await self.database.write(finish_turn, self.ref, self.batch(), status, ended=reason)

    def batch(self) -> Batch:
        return Batch(events=self.stream.take(), next_sequence=self.stream.sequence)


@dataclass
class HandWorker:
    """Claims when it is told to."""

    database: Database
    desk: HandDesk = field(default_factory=HandDesk)

    async def begin(self) -> HandTurn:
        """Claims the next turn and commits its ``response.created``."""
        claims = await self.database.write(queue.claim, "turn", [self.desk.name], "hand", 600.0, 1)
        assert claims, "no turn is waiting"
        begun = await self.database.write(begin_turn, claims[0])
        ref = Ref(claims[0], begun.turn["id"], begun.turn["conversation_id"])
        turn = HandTurn(self.database, ref, ResponseStream(ref.response_id, ref.conversation_id))
        turn.stream.lifecycle("created", body(ref, "in_progress"))
        await self.database.write(save_events, ref, turn.batch())
        return turn

    async def answer(self, *words: str) -> HandTurn:
        """A whole turn."""
        turn = await self.begin()
        await turn.say(*words)
        await turn.end()
        return turn

    async def task(self, conversation_id: str, name: str = "report") -> str:
        """Files a background task; its id."""
        request = TaskRequest(name=name, title=name)
        row = await self.database.write(queue.enqueue, request, queue.Origin(conversation_id=conversation_id))
        return str(row["id"])

    async def note(self, conversation_id: str, *texts: str) -> None:
        """Events that belong to no response."""
        await self.database.write(append_notes, conversation_id, texts)


def append_notes(conn: Connection, conversation_id: str, texts: tuple[str, ...]) -> None:
    events = [
        Event(to_json({"type": "frontdesk:note", "conversation": conversation_id, "text": text}).decode())
        for text in texts
    ]
    append(conn, conversation_id, events)


def body(ref: Ref, status: str, reason: str = "") -> dict[str, Any]:
    """A response that the SDK's types accept."""
    incomplete = {"reason": reason or "max_output_tokens"} if status == "incomplete" else None
    return {
        "id": ref.response_id, "object": "response", "created_at": 1.0, "status": status, "model": "front",
        "output": [], "parallel_tool_calls": True, "tool_choice": "auto", "tools": [], "metadata": {},
        "conversation": {"id": ref.conversation_id}, "incomplete_details": incomplete,
        "error": {"code": "server_error", "message": "it broke"} if status == "failed" else None,
        "usage": usage_body(Usage()),
    }  # fmt: skip
