"""A turn in the database: begin, save, finish. Plain functions of a connection, each one commit when it is
written by itself.

What a crash leaves: before a commit, the turn as it was at the last one, and the next run goes on from there; after
it, the same, one step further. What comes in is taken from the inbox by the commit that puts it into the history.
Nothing here decides what a turn does.
"""

from __future__ import annotations

from itertools import groupby
from typing import Final

import sqlalchemy as sa

from ..broker import events, inbox, queue, rows, waits
from ..broker.connection import Connection
from ..broker.endings import end
from ..broker.errors import ConversationNotFound
from ..broker.failpoints import operation
from ..broker.statements import Statement, p, table
from ..broker.tables import Conversation, Turn
from ..broker.wakeups import Events
from ..tasks.states import Action
from . import delegated, items, required, result_storage
from .accounts import count
from .batch import Batch, Ref
from .events import encoded
from .openings import waiting
from .response import Ended, Outcome, Verdict
from .steering import HELD, hold

turn, conversation = table(Turn), table(Conversation)

_SAVED: Final = ("next_sequence", "state", "usage", "agent")
_BEGUN: Final = ("status", "started_at", "first_cursor", "triggers")
_ENDED: Final = ("status", "ended", "error", "finished_at")


def _write_turn(*columns: str) -> Statement:
    values = {name: p(name) for name in columns}
    return Statement(sa.update(turn).where(turn.c.id == p("id")).values(**values))


WRITE_TURN: Final = {  # whether it begins, whether it ends
    (False, False): _write_turn(*_SAVED),
    (True, False): _write_turn(*_SAVED, *_BEGUN),
    (False, True): _write_turn(*_SAVED, *_ENDED),
    (True, True): _write_turn(*_SAVED, *_BEGUN, *_ENDED),
}
COUNT_ON: Statement = Statement(  # everything that a batch changes in the conversation
    sa.update(conversation)
    .where(conversation.c.id == p("id"))
    .values(
        last_item=conversation.c.last_item + p("items"),
        last_cursor=conversation.c.last_cursor + p("events"),
        waiting_inputs=conversation.c.waiting_inputs - p("inputs"),
        agent=sa.func.coalesce(p("agent"), conversation.c.agent),
        head=sa.func.coalesce(p("head"), conversation.c.head),
    )
    .returning(conversation.c.last_item, conversation.c.last_cursor)
)

ENDINGS: Final[dict[Ended, Action]] = {
    "completed": Action.SUCCEED,
    "incomplete": Action.SUCCEED,
    "failed": Action.FAIL,
    "cancelled": Action.CANCEL,
}


@operation
def begin_turn(conn: Connection, ref: Ref, batch: Batch) -> None:
    """Starts a claimed turn, or goes on with it: its input enters the conversation. Raises LeaseLost."""
    fence(conn, ref)
    save(conn, ref, batch)
    count(conn, ref, batch)


def fence(conn: Connection, ref: Ref) -> None:
    """Locks what a run writes, and checks that its claim still holds. Raises LeaseLost."""
    _held(conn, ref.claim, ref.conversation_id)


def _held(conn: Connection, claim: rows.Claim, *others: str | None) -> rows.TaskRow:
    """As `queue.held_row`, of a run that is not parked: most of its row is known from the claim."""
    rows.lock_conversations(conn, {claim.conversation_id, *others})
    return rows.held(conn, claim)


def save(conn: Connection, ref: Ref, batch: Batch, outcome: Outcome | None = None) -> None:
    """Writes a batch; with an outcome it is the turn's last one. The caller has checked the claim. Raises
    ConversationNotFound.
    """
    counted = conn.one(
        COUNT_ON,
        {
            "id": ref.conversation_id, "items": len(batch.added), "events": len(batch.events),
            "inputs": sum(entry.kind in ("create", "steer", HELD) for entry in batch.taken), "agent": batch.agent,
            "head": None if outcome is None else ref.response_id,
        },
    )  # fmt: skip
    if counted is None:
        raise ConversationNotFound(ref.conversation_id)
    items.insert(conn, ref.conversation_id, int(counted[0]) - len(batch.added), batch.added)
    items.update(conn, ref.conversation_id, batch.changed)
    if batch.asked:
        required.insert(conn, ref.conversation_id, ref.response_id, ref.claim.tenant, batch.asked)
    if batch.withdrawn:
        required.withdraw(conn, ref.conversation_id, ref.response_id, batch.withdrawn)
    result_storage.keep(conn, ref.conversation_id, batch.kept)
    for entry in batch.taken:
        conn.run(inbox.TAKE, {"id": ref.conversation_id, "number": entry.number, "by": ref.response_id})
    first = int(counted[1]) - len(batch.events)
    _append(conn, ref.conversation_id, first + 1, batch)
    row = {
        "id": ref.response_id, "next_sequence": batch.next_sequence, "state": batch.state, "usage": batch.usage,
        "agent": batch.current,
    }  # fmt: skip
    if batch.begins:
        now = conn.wall() if outcome is None else outcome.at
        row |= {"status": "in_progress", "triggers": batch.triggers, "started_at": now, "first_cursor": first}
    if outcome is not None:
        why = f"{outcome.ended}: {outcome.limit}" if outcome.limit else outcome.ended
        ended = {"status": outcome.status, "ended": why, "error": outcome.error}
        row |= {**ended, "finished_at": outcome.at}
    conn.run(WRITE_TURN[batch.begins, outcome is not None], row)


def _append(conn: Connection, conversation_id: str, first: int, batch: Batch) -> None:
    """Appends the batch's events. Deltas of an item that the same commit begins and ends are shown and not kept."""
    whole = {one.id for one in batch.added}.intersection(batch.closed)
    for is_passing, run in groupby(batch.events, lambda event: event.deltas_of in whole):
        part = list(run)
        if is_passing:
            body = "\n".join(event.text for event in part)
            conn.publish(Events(conversation_id, first, len(part), part[0].response_id, body))
        else:
            events.insert(conn, conversation_id, first, part)
        first += len(part)
    for one_id in batch.closed:
        if one_id not in whole:
            events.drop_deltas(conn, conversation_id, one_id)


@operation
def save_events(conn: Connection, ref: Ref, batch: Batch) -> None:
    """What has been streamed meanwhile. Raises LeaseLost."""
    fence(conn, ref)
    save(conn, ref, batch)
    count(conn, ref, batch)


@operation
def save_reply(conn: Connection, ref: Ref, batch: Batch) -> None:
    """A model's whole reply: its calls are committed before any of them is run. Raises LeaseLost."""
    fence(conn, ref)
    save(conn, ref, batch)
    count(conn, ref, batch)


@operation
def save_output(conn: Connection, ref: Ref, batch: Batch) -> None:
    """The output of a call. Raises LeaseLost."""
    fence(conn, ref)
    save(conn, ref, batch)
    count(conn, ref, batch)


@operation
def save_handoff(conn: Connection, ref: Ref, batch: Batch) -> None:
    """The conversation moves: output of the call, current agent and event in one commit. Raises LeaseLost."""
    fence(conn, ref)
    save(conn, ref, batch)
    count(conn, ref, batch)


@operation
def save_input(conn: Connection, ref: Ref, batch: Batch) -> None:
    """What came in at a boundary: notices, messages. Raises LeaseLost."""
    fence(conn, ref)
    save(conn, ref, batch)
    count(conn, ref, batch)


@operation
def finish_turn(conn: Connection, ref: Ref, batch: Batch, outcome: Outcome) -> Verdict:
    """Ends the turn: its last events, its task, and the conversation's next turn, in one commit. Raises LeaseLost.

    A delegated run that has answered goes on while something for it waits (``on``), and is parked while tasks that it
    filed are live: nobody else would hear of them. Then the batch is kept without its last event.
    """
    asks = delegated.place_of(conn, ref.claim.task_id) if outcome.requests else None
    held = queue.held_row if ref.claim.kind == "agent" else _held
    row = held(conn, ref.claim, ref.conversation_id, None if asks is None else asks.conversation_id)
    if ref.claim.kind == "agent" and outcome.status == "completed" and not row["cancel_requested"]:
        verdict = _go_on(conn, ref, row, outcome, asks)
        if verdict != "ended":
            save(conn, ref, batch.without_last_event())
            count(conn, ref, batch)
            return verdict
    save(conn, ref, hold(conn, ref.conversation_id, ref.response_id, batch, outcome.required), outcome)
    end(
        conn,
        row,
        Action.HOLD if outcome.ended == "held" else ENDINGS[outcome.status],
        result=None if outcome.result is None else encoded(outcome.result),
        error=outcome.error,
        error_kind="" if outcome.status == "completed" else outcome.ended,
    )
    count(conn, ref, batch, ended=True)
    return "ended"


def _go_on(conn: Connection, ref: Ref, row: rows.TaskRow, outcome: Outcome, asks: delegated.Place | None) -> Verdict:
    """Whether a delegated run that has answered is over."""
    if waiting(conn, ref.conversation_id, ref.response_id)[0]:
        return "on"
    if outcome.requests:
        return "parked" if delegated.park(conn, ref, row, outcome.requests, asks) else "on"
    live = delegated.live_tasks(conn, ref)
    if not live:
        return "ended"
    return "parked" if waits.park(conn, ref.claim, row, awaited=live, need=1) else "on"
