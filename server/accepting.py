"""What clients say, as functions of the database: a create, a steer, an answer, each accepted in one commit."""

from __future__ import annotations

from collections.abc import Callable, Collection
from dataclasses import replace
from typing import Any, TypeAlias

from ..agents import conversation, delegated, dialogs
from ..agents.dialogs import Dialog
from ..broker import inbox, quotas, rows, turns
from ..broker.connection import Connection
from ..broker.failpoints import operation
from ..broker.inbox import Accepted, NewCreate, NewSteer, SteerAccepted
from ..tasks.states import Status
from . import records
from .errors import InvalidRequest

Listen: TypeAlias = Callable[[str, int | None], None]  # to a conversation, from the last cursor of its log on


@operation
def accept_create(
    conn: Connection, new: NewCreate, chains: Collection[str], listen: Listen, dialog: Dialog | None = None
) -> tuple[Accepted, bool]:
    """As `conversation.accept_create`, for a client that may continue these conversations though they are not stored.
    ``dialog``: it goes on from the response that gave the dialog's last answer, if there is one; then only what follows
    that is new.

    Also says whether the conversation is stored.
    """
    if dialog is not None and new.previous_response_id is None:
        new = _continuing(conn, new, dialog)
    if new.previous_response_id is not None:
        records.check_chain(conn, new.previous_response_id, new.tenant, chains)
    elif new.conversation_id is not None:
        records.last_cursor(conn, new.conversation_id, new.tenant, chains)
    quotas.check_input(conn, new)
    found = conversation.accept_create(conn, new, chains)
    if found.repeated:
        records.check_kept(conn, found)
    listen(found.conversation_id, None if found.repeated else found.cursor)
    return found, (new.stored and not chains) or records.is_stored(conn, found.conversation_id)


def _continuing(conn: Connection, new: NewCreate, dialog: Dialog) -> NewCreate:
    """The input of a dialog without what its conversation holds already."""
    found = None
    if new.conversation_id is None:
        found = dialogs.answered_by(conn, new.tenant, dialog)
        if found is None:
            return new
    given = new.input[len(new.input) - dialog.new :]
    if found is not None:
        given = dialogs.plain_answers(conn, found, given)
    return replace(new, previous_response_id=found, input=given)


@operation
def accept_steer(conn: Connection, new: NewSteer, chains: Collection[str], listen: Listen) -> SteerAccepted:
    """As `inbox.accept_steer`, for a client that may steer in these conversations though they are not stored; a repeat
    has the cursor after which its successor's events come."""
    records.check_followed(conn, new.response_id, new.tenant, chains)
    quotas.check_input(conn, new)
    found = inbox.accept_steer(conn, new)
    listen(found.conversation_id, None if found.repeated else found.cursor)
    if not found.repeated:
        return found
    successor = turns.read(conn, found.response_id)
    cursor = 0 if successor is None else int(successor["first_cursor"])
    return SteerAccepted(
        found.steer_id, found.response_id, found.conversation_id, found.sequence_number, cursor, repeated=True
    )


@operation
def answer_task(conn: Connection, task_id: str, tenant: str, given: Any) -> dict[str, Any]:
    """As `delegated.answer`, for a task that waits for an answer. Raises TaskNotFound, InvalidRequest."""
    row = rows.read(conn, task_id)
    if row is not None and row["kind"] != "agent":
        row = rows.lock_one(conn, task_id)
    waits = row is not None and row["status"] == Status.WAITING and row["waiting_for"] == "answer"
    answered = delegated.answer(conn, task_id, tenant, given)
    if not waits:
        raise InvalidRequest(f"task {answered['label']} asks nothing: it is {answered['status']}", "task_id")
    return records.shown(answered)
