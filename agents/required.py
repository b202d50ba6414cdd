"""What clients were asked for, as rows: outputs of the functions that they run, and approvals. Storage functions.

A row is made in the commit that holds what asks, and is answered by the commit that accepts an answer: so an answer is
accepted once, whoever sends it, and whatever is killed. What follows from an answer is the turn's business.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Final

import sqlalchemy as sa

from ..broker import tenants
from ..broker.connection import Connection
from ..broker.statements import Statement, defaults, insert_row, p, table, word
from ..broker.tables import Conversation
from .batch import Asked
from .errors import AnswerRefused
from .model import JSON
from .owed import ANSWERS
from .table import Item, RequiredInput

required, item, conversation = table(RequiredInput), table(Item), table(Conversation)

DEFAULTS: Final = defaults(RequiredInput)

INSERT: Statement = Statement(insert_row(RequiredInput))
READ: Statement = Statement(
    sa.select(required.c.kind, required.c.response_id, required.c.answered_by, required.c.task_id).where(
        required.c.conversation_id == p("id"), required.c.key == p("key")
    )
)
OPEN_OUTPUTS: Statement = Statement(
    sa.select(required.c.key)
    .where(
        required.c.conversation_id == p("id"),
        required.c.response_id == p("response_id"),
        required.c.kind == word("output"),
        required.c.answered_by.is_(None),
    )
    .order_by(required.c.key)
)
ANSWER: Statement = Statement(  # an approval may lie in forks too: it is given once
    sa.update(required)
    .where(
        required.c.key == p("key"),
        required.c.answered_by.is_(None),
        sa.or_(required.c.conversation_id == p("id"), required.c.kind == word("approval")),
    )
    .values(answered_by=p("by"))
    .returning(required.c.conversation_id)
)
WHERE_ASKED: Statement = Statement(
    sa.select(required.c.conversation_id)
    .join(conversation, conversation.c.id == required.c.conversation_id)
    .where(
        required.c.key == p("key"),
        required.c.kind == word("approval"),
        tenants.of(conversation),
        conversation.c.stored == 1,
        conversation.c.parent_task.is_(None),
    )
    .order_by(conversation.c.created_at, conversation.c.id)
    .limit(1)
)
OF_CONVERSATION: Statement = Statement(
    sa.select(*required.columns).where(required.c.conversation_id == p("id")).order_by(required.c.created_at)
)
COLUMNS: Final = tuple(column.name for column in required.columns)
KNOWN: Statement = Statement(sa.select(item.c.step).where(item.c.id == p("id"), item.c.conversation_id == p("to")))
HOLDS: Statement = Statement(
    sa.select(item.c.id).where(item.c.response_id == p("response_id"), item.c.conversation_id == p("id")).limit(1)
)


@dataclass(frozen=True, slots=True)
class Answered:
    """An answer that fits to what was asked: its item, and the delegated run that has asked."""

    key: str
    body: JSON
    kind: str
    task_id: str


def insert(conn: Connection, conversation_id: str, response_id: str, tenant: str, asked: Sequence[Asked]) -> None:
    """Notes what a response asks its client for."""
    for one in asked:
        row = {"conversation_id": conversation_id, "key": one.key, "kind": one.kind, "response_id": response_id}
        conn.run(INSERT, {**DEFAULTS, **row, "tenant": tenant, "task_id": one.task, "created_at": conn.wall()})


def withdraw(conn: Connection, conversation_id: str, response_id: str, keys: Sequence[str]) -> None:
    """These need no answer any more, and take none."""
    for key in keys:
        conn.all(ANSWER, {"id": conversation_id, "key": key, "by": response_id})


def open_keys(conn: Connection, conversation_id: str) -> list[str]:
    """What a conversation's client is asked for and has not brought: call ids and ids of requests. Reads only."""
    rows = (dict(zip(COLUMNS, row, strict=True)) for row in conn.all(OF_CONVERSATION, {"id": conversation_id}))
    return [str(row["key"]) for row in rows if row["answered_by"] is None]


def settle(conn: Connection, conversation_id: str, key: str, by: str) -> None:
    """This one is answered, by whatever brought the answer to ``by``."""
    conn.all(ANSWER, {"id": conversation_id, "key": key, "by": by})


def runs_that_asked(conn: Connection, conversation_id: str | None, given: Sequence[JSON]) -> list[str]:
    """The delegated runs whose requests an input answers."""
    found: dict[str, None] = {}
    for one in given if conversation_id is not None else ():
        if one.get("type") == "mcp_approval_response":
            row = conn.one(READ, {"id": conversation_id, "key": str(one["approval_request_id"])})
            if row is not None and row[3]:
                found[str(row[3])] = None
    return list(found)


def settle_outputs(conn: Connection, conversation_id: str, given: Sequence[JSON]) -> None:
    """Outputs that are put into the history beside any response are outputs all the same; an approval is more than an
    item, and is given to a response only. Raises AnswerRefused.
    """
    for index, one in enumerate(given):
        if one.get("type") == "function_call_output":
            settle(conn, conversation_id, str(one["call_id"]), conversation_id)
        elif one.get("type") == "mcp_approval_response":
            param = f"items[{index}].approval_request_id"
            key = str(one["approval_request_id"])
            if conn.one(READ, {"id": conversation_id, "key": key}) is not None:
                raise AnswerRefused(
                    "an approval is given as the input of a response, which goes on with the call", param
                )


def brings_answers(given: Sequence[JSON]) -> bool:
    """Whether an input holds outputs or approvals."""
    return any(one.get("type") in ANSWERS for one in given)


def conversation_of(conn: Connection, given: Sequence[JSON], tenant: str) -> str | None:
    """The conversation that has asked for an approval which the input gives, or refuses."""
    for one in reversed(given):
        if one.get("type") == "mcp_approval_response":
            row = conn.one(WHERE_ASKED, {"key": str(one["approval_request_id"]), "tenant": tenant})
            if row is not None:
                return str(row[0])
    return None


def gives_approvals(given: Sequence[JSON]) -> bool:
    """Whether an input says whether calls may be run."""
    return any(one.get("type") == "mcp_approval_response" for one in given)


def check(conn: Connection, conversation_id: str | None, given: Sequence[JSON]) -> list[Answered]:
    """The answers in an input, when each fits to something that was asked and is open. The conversation is locked by
    the caller; what the client repeats of the history is passed over. Raises AnswerRefused.
    """
    found: dict[str, Answered] = {}
    asking: dict[str, None] = {}  # responses that have asked for outputs
    claimed: set[str] = set()  # calls that the input brings along with their outputs
    for index in range(_echoed(conn, conversation_id, given), len(given)):
        body = given[index]
        kind = body.get("type")
        if kind == "function_call":
            claimed.add(str(body["call_id"]))
        if kind not in ANSWERS:
            continue
        field = "call_id" if kind == "function_call_output" else "approval_request_id"
        key, param = str(body[field]), f"input[{index}].{field}"
        if key in claimed and field == "call_id":
            continue
        if key in found:
            raise AnswerRefused(f"{key!r} is answered twice in this input", param)
        row = None if conversation_id is None else conn.one(READ, {"id": conversation_id, "key": key})
        if row is None or (row[0] == "output") is not (field == "call_id"):
            raise AnswerRefused(_unknown(key, field), param)
        if row[2] is not None:
            raise AnswerRefused(_settled(key, field), param)
        found[key] = Answered(key, body, str(row[0]), str(row[3]))
        if row[0] == "output":
            asking[str(row[1])] = None
    for response_id in asking:
        _all_outputs(conn, str(conversation_id), response_id, found.keys())
    return list(found.values())


def answer(conn: Connection, conversation_id: str, answers: Sequence[Answered], by: str) -> None:
    """Notes that these are answered by the input of a response. Raises AnswerRefused when one was answered at the same
    moment in a fork.
    """
    for one in answers:
        places = {str(row[0]) for row in conn.all(ANSWER, {"id": conversation_id, "key": one.key, "by": by})}
        if conversation_id not in places:
            field = "call_id" if one.kind == "output" else "approval_request_id"
            raise AnswerRefused(_settled(one.key, field), f"input.{field}")


def copy(conn: Connection, original: str, fork: str) -> None:
    """A fork's client may be asked for what the original's was, as far as the fork holds it: outputs that the fork does
    not hold, and approvals that nobody has answered.
    """
    for found in conn.all(OF_CONVERSATION, {"id": original}):
        row = dict(zip(COLUMNS, found, strict=True))
        if conn.one(HOLDS, {"id": fork, "response_id": row["response_id"]}) is None:
            continue
        by = row["answered_by"]
        if by is not None and row["kind"] == "output" and conn.one(HOLDS, {"id": fork, "response_id": by}) is None:
            row["answered_by"] = None
        conn.run(INSERT, {**row, "conversation_id": fork})


def _echoed(conn: Connection, conversation_id: str | None, given: Sequence[JSON]) -> int:
    """How many items at the beginning of an input the conversation has already: see ``entries``."""
    if conversation_id is None:
        return 0
    for number in range(len(given), 0, -1):
        item_id = given[number - 1].get("id")
        if isinstance(item_id, str) and conn.one(KNOWN, {"id": item_id, "to": conversation_id}) is not None:
            return number
    return 0


def _all_outputs(conn: Connection, conversation_id: str, response_id: str, given: Collection[str]) -> None:
    """Of the calls of one response, all outputs come in one input. Raises AnswerRefused."""
    missing = [
        str(row[0])
        for row in conn.all(OPEN_OUTPUTS, {"id": conversation_id, "response_id": response_id})
        if row[0] not in given
    ]
    if missing:
        text = f"No tool output found for function call {', '.join(missing)}: send the outputs of all calls of a"
        raise AnswerRefused(f"{text} response together", "input")


def _unknown(key: str, field: str) -> str:
    if field == "call_id":
        return f"No tool call found for function call output with call_id {key}."
    return f"No approval request {key!r} found in this conversation; its id is that of an mcp_approval_request item."


def _settled(key: str, field: str) -> str:
    if field == "call_id":
        return f"The function call {key} has its output already; a call has one."
    return f"The approval request {key!r} is settled already: it was answered, or its turn was stopped."
