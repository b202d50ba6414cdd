"""Conversations: accepting input on top of the inbox, with forks and echoes. Storage functions only."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import replace
from typing import Final

import sqlalchemy as sa
from pydantic_core import from_json

from ..broker import conversations, inbox, rows, tenants, turns
from ..broker.connection import Connection
from ..broker.failpoints import operation
from ..broker.inbox import Accepted, NewCreate
from ..broker.statements import Statement, p, table
from ..broker.tables import Conversation
from . import delegated, references, required, result_storage, summary_storage
from .table import Item

item, conversation = table(Item), table(Conversation)

MOST_ECHOES: Final = 3  # items of an input whose ids are looked up

LAST_POSITION: Statement = Statement(
    sa.select(sa.func.max(item.c.position)).where(
        item.c.response_id == p("response_id"), item.c.conversation_id == p("conversation_id")
    )
)
COPY: Statement = Statement(
    sa.insert(item).from_select(
        [column.name for column in item.columns],
        sa.select(
            *[p("to").label(column.name) if column.name == "conversation_id" else column for column in item.columns]
        ).where(item.c.conversation_id == p("from"), item.c.position <= p("until"), item.c.status != "in_progress"),
    )
)
ORIGINAL: Statement = Statement(
    sa.select(
        conversation.c.agent,
        conversation.c.meta,
        conversation.c.last_label,
        conversation.c.stored,
        conversation.c.last_item,
        conversation.c.desk,
    ).where(conversation.c.id == p("id"))
)
STORED: Statement = Statement(sa.select(conversation.c.stored).where(conversation.c.id == p("id")))
SET_COUNTERS: Statement = Statement(
    sa.update(conversation)
    .where(conversation.c.id == p("id"))
    .values(last_item=p("last_item"), last_label=p("last_label"), meta=p("meta"), head=p("head"))
)
ECHOED: Statement = Statement(
    sa.select(item.c.conversation_id)
    .join(conversation, conversation.c.id == item.c.conversation_id)
    .where(item.c.id == p("id"), tenants.of(conversation), conversation.c.stored == 1)
    .order_by(conversation.c.created_at)
)


@operation
def accept_create(conn: Connection, new: NewCreate, mine: Collection[str] = ()) -> Accepted:
    """Accepts an input, as `inbox.accept_create`; continuing a response that is continued already forks its
    conversation, and so does continuing one that is stored with what is not to be stored.

    A fork holds the committed items up to that response; tasks stay with the original, labels go on. An input that
    names no conversation but holds items of one, by their ids, continues that one. An approval continues the
    conversation that has asked for it, and never forks it. ``mine``: the conversations that are not stored, and in
    which the client may name items. Raises AnswerRefused, ItemNotFound, TooMuchNamed too.
    """
    repeated = inbox.repeat(conn, new)
    if repeated is not None:
        return repeated
    goes_on = new.conversation_id is not None or new.previous_response_id is not None
    found = _with_named(conn, _goes_to(conn, new), mine, goes_on=goes_on)
    if not required.brings_answers(found.input):
        return inbox.accept_create(conn, found)
    asking = delegated.conversations_of(conn, found.conversation_id, found.input)
    rows.lock_conversations(conn, [found.conversation_id, *asking])
    answers = required.check(conn, found.conversation_id, found.input)
    accepted = inbox.accept_create(conn, found)
    required.answer(conn, accepted.conversation_id, answers, accepted.response_id)
    for one in answers:
        if one.task_id:
            delegated.deliver(conn, one.task_id, one.body)
    return accepted


def _with_named(conn: Connection, new: NewCreate, mine: Collection[str], *, goes_on: bool) -> NewCreate:
    """The input with the items that it names. A reference to what its conversation has is left out, unless that is all
    that says which it is: then it also says how much of a dialog that is sent again is known."""
    if not any(map(references.is_reference, new.input)):
        return new
    reader = references.Reader(tenant=new.tenant, target=new.conversation_id or "", mine=mine)
    given = references.resolved(conn, new.input, reader)
    if not goes_on and all(one is found for one, found in zip(new.input, given, strict=True)):
        return new
    return replace(new, input=[one for one in given if not references.is_reference(one)])


def _goes_to(conn: Connection, new: NewCreate) -> NewCreate:
    """The input with the conversation that it goes to; none for a new one."""
    if new.conversation_id is not None:
        return new
    if new.previous_response_id is None:
        known = echoed(conn, new)
        if known is None and required.gives_approvals(new.input):
            known = required.conversation_of(conn, new.input, new.tenant)
        return replace(new, conversation_id=known)
    original = conversations.continue_from(conn, new.previous_response_id, new.tenant)
    rows.lock_conversations(conn, [original])
    forks = conversations.is_continued(conn, new.previous_response_id, original) or _leaves(conn, new, original)
    if forks and not required.gives_approvals(new.input):
        return replace(new, conversation_id=_fork(conn, original, new))
    return replace(new, conversation_id=original)


def _leaves(conn: Connection, new: NewCreate, original: str) -> bool:
    """Whether an input that is not to be stored would go into a conversation that is."""
    row = None if new.stored else conn.one(STORED, {"id": original})
    return row is not None and bool(row[0])


def echoed(conn: Connection, new: NewCreate) -> str | None:
    """The conversation whose items the input holds: the one that holds the last of them, and of forks the oldest."""
    if not new.stored:
        return None
    ids = [one["id"] for one in new.input if isinstance(one.get("id"), str)][-MOST_ECHOES:]
    for one in reversed(ids):
        row = conn.one(ECHOED, {"id": one, "tenant": new.tenant})
        if row is not None:
            return str(row[0])
    return None


def _fork(conn: Connection, original: str, new: NewCreate) -> str:
    """A conversation that goes on from a response of another; its id."""
    row = conn.one(ORIGINAL, {"id": original})
    previous = turns.read(conn, str(new.previous_response_id))
    assert row is not None, "its response was found just now"
    assert previous is not None
    agent, meta, labels, stored, last_item, desk = row
    forked = conversations.create_conversation(
        conn,
        tenant=new.tenant,
        desk=desk,
        agent=_agent_after(previous, agent),
        unattended_limit=new.unattended_limit,
        stored=int(stored and new.stored),
    )
    last = conn.one(LAST_POSITION, {"response_id": previous["id"], "conversation_id": original})
    until = int(last_item) if last is None or last[0] is None else int(last[0])  # it has not begun: all is before it
    conn.run(COPY, {"to": forked, "from": original, "until": until})
    result_storage.copy(conn, original, forked)
    counters = {"last_item": until, "last_label": labels, "meta": meta, "head": previous["id"]}
    conn.run(SET_COUNTERS, {"id": forked, **counters})
    required.copy(conn, original, forked)
    summary_storage.carry_over(conn, original, forked, until)
    return forked


def _agent_after(previous: turns.TurnRow, now: str) -> str:
    """Whose the conversation was after a response: whom it was handed over to, or whoever took it unless the client had
    named that one for this response only.
    """
    path: Sequence[str] = from_json(previous["state"]).get("path") or ()
    named = from_json(previous["request"]).get("model")
    if len(path) > 1 or (path and path[0] != named):
        return path[-1]
    return now
