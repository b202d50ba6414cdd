"""The steps of a run, to be looked at afterwards: what was asked of which model and called, in which state, when, and
what it used. A run is a response with those that went on with its open calls. Storage functions; reads only.

The Responses API knows ``completed`` for a response that ends with calls for its client; here it is shown as what it
is, ``requires_action``.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import sqlalchemy as sa
from pydantic_core import from_json

from ..broker import tenants, turns
from ..broker.connection import Connection
from ..broker.errors import ResponseNotFound
from ..broker.statements import Statement, p, table
from ..broker.tables import Conversation
from ..broker.turns import TurnRow
from .events import usage_body
from .history import StoredItem
from .model import JSON, Usage
from .response import INPUT_STEP
from .table import Item, RequiredInput

required, item, conversation = table(RequiredInput), table(Item), table(Conversation)

MOST: Final = 100  # responses of one run
CALLS: Final = frozenset({"mcp_call", "function_call", "mcp_approval_request"})
LINKS: Statement = Statement(
    sa.select(required.c.response_id, required.c.answered_by, required.c.key, required.c.task_id)
    .where(sa.or_(required.c.response_id == p("id"), required.c.answered_by == p("id")))
    .order_by(required.c.created_at, required.c.key)
)
IS_STORED: Statement = Statement(sa.select(conversation.c.stored).where(conversation.c.id == p("id")))
ITEMS: Statement = Statement(
    sa.select(item.c.id, item.c.response_id, item.c.step, item.c.status, item.c.agent, item.c.body)
    .where(item.c.response_id == p("response_id"), item.c.conversation_id == p("id"))
    .order_by(item.c.position)
)


@dataclass(frozen=True, slots=True)
class Link:
    """Something that a response has asked for, and the response that brings it."""

    response_id: str
    answered_by: str | None
    key: str


def of_run(conn: Connection, response_id: str, tenant: str) -> JSON:
    """The run that a response belongs to: its states in their order, and its steps. Raises ResponseNotFound."""
    first = tenants.owned(turns.read(conn, response_id), tenant)
    stored = None if first is None else conn.one(IS_STORED, {"id": first["conversation_id"]})
    if first is None or stored is None or not stored[0] or from_json(first["request"]).get("store") is False:
        raise ResponseNotFound(response_id)
    run, links = _run(conn, first)
    states = [state for number in range(len(run)) for state in _states(run[: number + 1], links)]
    steps = [step for turn in run for step in _steps(turn, _items(conn, turn), links)]
    return {
        "object": "list", "response_id": response_id, "status": states[-1]["status"], "states": states, "data": steps,
        "first_id": steps[0]["id"] if steps else None, "last_id": steps[-1]["id"] if steps else None,
        "has_more": False,
    }  # fmt: skip


def _run(conn: Connection, first: TurnRow) -> tuple[list[TurnRow], list[Link]]:
    """The responses that are linked by what they asked for and brought, oldest first."""
    found: dict[str, TurnRow] = {first["id"]: first}
    links: dict[tuple[str, str], Link] = {}
    for response_id in (to_see := [first["id"]]):
        for asking, by, key, task_id in conn.all(LINKS, {"id": response_id}):
            if task_id:
                continue  # a delegated run's: nothing here waits for it
            links[asking, key] = Link(str(asking), by, str(key))
            for one in (asking, by):
                turn = None if one is None or one in found or len(found) >= MOST else turns.read(conn, one)
                if turn is not None:
                    found[turn["id"]] = turn
                    to_see.append(turn["id"])
    return sorted(found.values(), key=lambda turn: (turn["created_at"], turn["id"])), list(links.values())


def _items(conn: Connection, turn: TurnRow) -> list[StoredItem]:
    rows = conn.all(ITEMS, {"response_id": turn["id"], "id": turn["conversation_id"]})
    return [StoredItem(row[0], row[1], row[2], row[3], row[4], from_json(row[5])) for row in rows]


def _states(run: Sequence[TurnRow], links: Iterable[Link]) -> Iterable[JSON]:
    """The states that the last of these responses went through, with the time at which each began."""
    turn = run[-1]
    yield {"status": "queued", "response_id": turn["id"], "at": turn["created_at"]}
    if turn["started_at"] is not None:
        yield {"status": "in_progress", "response_id": turn["id"], "at": turn["started_at"]}
    if turn["finished_at"] is not None:
        ids = {one["id"] for one in run}
        waits = any(one.response_id in ids and one.answered_by not in ids for one in links)
        status = "requires_action" if waits and turn["status"] == "completed" else turn["status"]
        yield {"status": status, "response_id": turn["id"], "at": turn["finished_at"]}


def _steps(turn: TurnRow, items: Iterable[StoredItem], links: Sequence[Link]) -> Iterable[JSON]:
    """The steps of one response: replies of models, and what the desk did by itself."""
    state: JSON = from_json(turn["state"])
    times: Mapping[str, Sequence[float]] = state.get("calls") or {}
    waiting = {one.key for one in links if one.answered_by is None}
    calls: dict[int, list[JSON]] = {}
    agents: dict[int, str] = {}
    for one in items:
        if one.step > INPUT_STEP:
            agents.setdefault(one.step, one.agent)
            if one.body.get("type") in CALLS:
                calls.setdefault(one.step, []).append(_call(one, times, waiting))
    replies: dict[int, JSON] = {one["number"]: one for one in state.get("steps") or ()}
    for number in sorted({*replies, *calls}):
        yield _step(turn, number, agents.get(number, ""), replies.get(number), calls.get(number, []))


def _call(one: StoredItem, times: Mapping[str, Sequence[float]], waiting: set[str]) -> JSON:
    body = one.body
    call_id = str(body.get("frontdesk:call_id") or body.get("call_id") or one.id)
    asks = body["type"] != "mcp_call"
    key = one.id if body["type"] == "mcp_approval_request" else call_id
    began, *ended = times.get(call_id, ()) or (None,)
    status = one.status if not asks else "requires_action" if key in waiting else "completed"
    return {
        "id": one.id, "call_id": call_id, "type": body["type"], "server_label": body.get("server_label"),
        "name": body["name"], "arguments": body.get("arguments"), "agent": one.agent,
        "approval_request_id": body.get("approval_request_id"),
        "status": "failed" if status == "completed" and body.get("error") is not None else status,
        "started_at": None if asks else began, "finished_at": None if asks or not ended else ended[0],
    }  # fmt: skip


def _step(turn: TurnRow, number: int, agent: str, reply: JSON | None, calls: Sequence[JSON]) -> JSON:
    ends = [one["finished_at"] for one in calls if one["finished_at"] is not None]
    begins = [one["started_at"] for one in calls if one["started_at"] is not None]
    begun = reply["at"] if reply is not None else min(begins, default=turn["started_at"])
    said = None if reply is None else reply.get("until")
    status = _status(turn, reply, calls)
    over = status not in ("in_progress", "requires_action")
    return {
        "object": "frontdesk.step", "id": f"step_{turn['id'].removeprefix('resp_')}_{number}",
        "response_id": turn["id"], "number": number, "type": "calls" if reply is None else "model_reply",
        "agent": agent if reply is None else reply["agent"], "model": None if reply is None else reply["model"],
        "status": status, "created_at": turn["created_at"], "started_at": begun, "replied_at": said,
        "finished_at": max([said or begun or 0.0, *ends]) if over else None,
        "usage": usage_body(Usage(**reply["usage"])) if reply is not None and "usage" in reply else None,
        "calls": list(calls), "error": turn["error"] if status == "failed" and reply is not None else None,
    }  # fmt: skip


def _status(turn: TurnRow, reply: Mapping[str, Any] | None, calls: Sequence[JSON]) -> str:
    states = {one["status"] for one in calls}
    if "requires_action" in states:
        return "requires_action"
    if reply is not None and "until" not in reply:  # it was not heard to its end
        if turn["status"] == "in_progress" and not reply.get("broken"):
            return "in_progress"
        return "failed" if turn["status"] in ("in_progress", "completed") else str(turn["status"])
    return "in_progress" if "in_progress" in states else "completed"
