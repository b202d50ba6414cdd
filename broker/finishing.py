"""Many runs that end at once, each by its own `queue.finish`, in a few statements. One commit holds all that follows.

Only tasks whose end concerns nobody but their conversation are ended here; one that others wait for, or that shares a
concurrency key or has a webhook, is ended by itself.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

from ..tasks.states import Action, Status, apply
from .bulk import Bulk, ids
from .connection import Connection
from .errors import LeaseLost
from .merging import ALONE, Arguments, Error
from .rows import HELD_COLUMNS, Claim, TaskRow, held_by
from .telling import ask_live_turns, finished_each, lock_conversations

HELD: Final = Bulk(
    f"""SELECT id, {", ".join(HELD_COLUMNS)} FROM frontdesk_task WHERE id IN (SELECT given.id FROM {{given}})
    ORDER BY id {{in_order}} {{lock}}""",
    {"id": "text"},
)
AWAITED: Final = Bulk(
    "SELECT DISTINCT awaited_id FROM frontdesk_wait WHERE awaited_id IN (SELECT given.id FROM {given})", {"id": "text"}
)
END: Final = Bulk(
    """UPDATE frontdesk_task SET status = given.status, result = given.result, error = given.error,
    error_kind = given.error_kind, abandoned = given.abandoned, finished_at = given.finished_at,
    progress = given.progress, result_until = given.result_until,
    owner = '', lease_until = NULL, waiting_for = '', waits_left = 0, wake = NULL, question = NULL
    FROM {given} WHERE frontdesk_task.id = given.id""",
    {
        "id": "text", "status": "text", "result": "text", "error": "text", "error_kind": "text", "abandoned": "bigint",
        "finished_at": "double precision", "progress": "double precision", "result_until": "double precision",
    },
)  # fmt: skip
FORGET_CALLS: Final = Bulk(
    "DELETE FROM frontdesk_durable_call WHERE task_id IN (SELECT given.id FROM {given})", {"id": "text"}
)
DROP_DELTAS: Final = Bulk(
    """DELETE FROM frontdesk_event WHERE deltas_of IS NOT NULL
    AND (conversation_id, deltas_of) IN (SELECT given.conversation_id, given.id FROM {given})""",
    {"conversation_id": "text", "id": "text"},
)


def finish_many(conn: Connection, calls: Sequence[Arguments]) -> list[Any]:
    """What came of each call of `queue.finish`."""
    claims: list[Claim] = [args[0] for args, _ in calls]
    if not any(map(_is_plain, claims)):
        return [ALONE] * len(claims)
    locked = lock_conversations(conn, {claim.conversation_id for claim in claims})
    named = ids([claim.task_id for claim in claims])
    holding, awaiting = conn.ask_bulk(HELD, named), conn.ask_bulk(AWAITED, named)  # a park locks the tasks that it adds
    living = ask_live_turns(conn, claims)
    locked()
    found = {str(row[0]): row[1:] for row in holding.rows()}
    awaited = {str(row[0]) for row in awaiting.rows()}
    outcomes: list[Any] = []
    ended: list[TaskRow] = []
    for args, options in calls:
        claim, action = args
        held = found.pop(claim.task_id, None)  # for one call: after it, the task has ended
        if claim.task_id in awaited or not _is_plain(claim):
            outcomes.append(ALONE)
        elif held is None or held[0] != Status.RUNNING or held[1] != claim.epoch:
            outcomes.append(Error(LeaseLost(claim.task_id, claim.epoch)))
        else:
            row = held_by(claim, held)
            if row["webhook"] is not None:
                outcomes.append(ALONE)
                continue
            outcomes.append(None)
            ended.append(_ended(conn, row, action, **options))
    conn.bulk(END, ended)
    conn.bulk(FORGET_CALLS, ids([row["id"] for row in ended]))
    conn.bulk(DROP_DELTAS, [row for row in ended if row["conversation_id"] and row["had_progress"]])
    finished_each(conn, ended, living)
    return outcomes


def _is_plain(claim: Claim) -> bool:
    return claim.kind == "function" and claim.concurrency_key is None


def _ended(
    conn: Connection,
    row: TaskRow,
    action: Action,
    *,
    result: str | None = None,
    error: str | None = None,
    error_kind: str = "",
    abandoned: bool = False,
) -> TaskRow:
    """The row as it is after its end."""
    kept = None if result is None else row["keep_result"]
    return {
        **row, "status": str(apply(Status(row["status"]), action)), "result": result, "error": error,
        "error_kind": error_kind, "abandoned": int(abandoned), "finished_at": conn.wall(),
        "had_progress": row["progress"] is not None or bool(row["message"]),
        "progress": 1.0 if action is Action.SUCCEED else row["progress"],
        "result_until": None if kept is None else conn.now() + kept,
    }  # fmt: skip
