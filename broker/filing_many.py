"""Many tasks that are filed at once, each by its own `filing.file`, in a few statements.

Only requests that depend on no other task are filed here: one with a unique or a concurrency key, or that is not to run
at once, is filed by itself.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from ..tasks.request import TaskRequest
from ..tasks.table import Task
from . import filing, line, rows, telling, tenants, views
from .bulk import Bulk, ids, insert_all
from .connection import Connection
from .errors import ConversationNotFound
from .filing import Filed, Origin
from .merging import ALONE, Arguments, Error
from .rows import TaskRow
from .wakeups import TasksReady

OWNERS: Final = Bulk(
    """SELECT id, tenant FROM frontdesk_conversation WHERE parent_task IS NULL
    AND id IN (SELECT given.id FROM {given}) ORDER BY id {in_order} {lock}""",
    {"id": "text"},
)
CREATORS: Final = Bulk(
    """SELECT created_by FROM frontdesk_task WHERE created_by IS NOT NULL
    AND created_by IN (SELECT given.id FROM {given})""",
    {"id": "text"},
)
LAST: Final = Bulk(
    """SELECT given.queue, given.tenant, given.flow, (SELECT max(place) FROM frontdesk_task AS task
    WHERE task.slot = 'task' AND task.queue = given.queue AND task.tenant = given.tenant AND task.flow = given.flow
    AND task.status = 'queued' AND task.held = '') FROM {given}""",
    {"queue": "text", "tenant": "text", "flow": "text"},
)
INSERT: Final = insert_all(Task, rows.COLUMNS)


def file_many(conn: Connection, calls: Sequence[Arguments]) -> list[Any]:
    """What came of each call of a function that is called as `filing.file` is, for conversations of its tenant."""
    wanted: list[tuple[TaskRequest, Origin]] = [(args[0], args[1]) for args, _ in calls]
    of = {origin.conversation_id for _, origin in wanted if origin.conversation_id is not None}
    owning = conn.ask_bulk(OWNERS, ids(list(of)))
    made = [origin.created_by for _, origin in wanted if origin.created_by is not None]
    creating = conn.ask_bulk(CREATORS, ids(made))
    owners = {str(row[0]): {"tenant": str(row[1])} for row in owning.rows()}
    repeated = {str(row[0]) for row in creating.rows()}
    outcomes: list[Any] = []
    plain: list[tuple[int, TaskRequest, Origin]] = []
    for place, (request, origin) in enumerate(wanted):
        conversation = origin.conversation_id
        if conversation is not None and tenants.owned(owners.get(conversation), origin.tenant) is None:
            outcomes.append(Error(ConversationNotFound(conversation)))
            continue
        outcomes.append(ALONE)
        if _is_plain(request) and origin.created_by not in repeated:
            plain.append((place, request, origin))
            if origin.created_by is not None:
                repeated.add(origin.created_by)  # another call with it finds what this one makes
    for (place, _, _), row in zip(
        plain, _filed(conn, [(request, origin) for _, request, origin in plain]), strict=True
    ):
        outcomes[place] = Filed(row)
    return outcomes


def _is_plain(request: TaskRequest) -> bool:
    return request.unique_key is None and request.concurrency_key is None and not request.delay and not request.run_at


def _filed(conn: Connection, wanted: Sequence[tuple[TaskRequest, Origin]]) -> list[TaskRow]:
    counting = telling.count_each(
        conn, [(origin.conversation_id, 1, 1, 0) for _, origin in wanted if origin.conversation_id is not None]
    )
    standing = _Line(conn)
    standing.look([(request, origin) for request, origin in wanted])
    counted = counting()
    found: list[TaskRow] = []
    told: list[tuple[str, int, Any]] = []
    for request, origin in wanted:
        row = filing.columns(conn, request, origin)
        row |= {"held": "", "place": standing.place(row)}
        counter = None if origin.conversation_id is None else counted.get(origin.conversation_id)
        if counter is not None:
            counter.label += 1
            row["label"] = f"T{counter.label}"
        row = {**rows.DEFAULTS, **row}
        found.append(row)
        if counter is not None and origin.conversation_id is not None:
            counter.cursor += 1
            event = views.told(row, "created", views.view_text(row))
            told.append((origin.conversation_id, counter.cursor, event))
    conn.insert_each(rows.INSERT, INSERT, found)
    telling.insert_events(conn, told)
    if found:
        conn.publish(TasksReady("task"))
    return found


@dataclass(slots=True)
class _Line:
    """The places of tasks that join the line one after the other, as `line.place_of` gives them."""

    conn: Connection
    heads: dict[tuple[str, int], int | None] = field(default_factory=dict[tuple[str, int], "int | None"])
    lasts: dict[tuple[str, str, str], int | None] = field(default_factory=dict[tuple[str, str, str], "int | None"])

    def look(self, wanted: Sequence[tuple[TaskRequest, Origin]]) -> None:
        """Reads the last places of all owners, and the first ones of the lines, at once."""
        flows = {(request.queue, origin.tenant, origin.conversation_id or "") for request, origin in wanted}
        given = [{"queue": queue, "tenant": tenant, "flow": flow} for queue, tenant, flow in sorted(flows)]
        lasts = self.conn.ask_bulk(LAST, given)
        lines = {(request.queue, request.priority) for request, _ in wanted}
        heads = {one: self.conn.ask(line.HEAD, {"slot": "task", "queue": one[0], "priority": one[1]}) for one in lines}
        for queue, tenant, flow, last in lasts.rows():
            self.lasts[queue, tenant, flow] = last
        for one, answer in heads.items():
            found = answer.rows()
            self.heads[one] = int(found[0][0]) if found else None

    def place(self, row: TaskRow) -> int:
        line_of, owner = (row["queue"], row["priority"]), (row["queue"], row["tenant"], row["flow"])
        place = line.place_behind(self.conn, row, self.heads[line_of], self.lasts.get(owner))
        head, last = self.heads[line_of], self.lasts.get(owner)
        self.heads[line_of] = place if head is None else min(head, place)
        self.lasts[owner] = place if last is None else max(last, place)
        return place
