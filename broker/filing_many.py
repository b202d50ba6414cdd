"""Many tasks that are filed at once, each by its own `filing.file`, in a few statements.

Only requests that depend on no other task are filed here: one with a unique or a concurrency key, or that is not to run
at once, is filed by itself.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
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
    """SELECT id, tenant, last_cursor, last_label, last_input FROM frontdesk_conversation WHERE parent_task IS NULL
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
    if not any(_is_plain(request) for request, _ in wanted):
        return [ALONE] * len(wanted)
    of = {origin.conversation_id for _, origin in wanted if origin.conversation_id is not None}
    owning = conn.ask_bulk(OWNERS, ids(list(of)))
    made = [origin.created_by for _, origin in wanted if origin.created_by is not None]
    creating = conn.ask_bulk(CREATORS, ids(made))
    standing = _Line(conn)
    standing.ask([one for one in wanted if _is_plain(one[0])])
    owners: dict[str, dict[str, str]] = {}
    for conversation_id, tenant, *counted in owning.rows():
        owners[str(conversation_id)] = {"tenant": str(tenant)}
        conn.hold(str(conversation_id), counted)
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
    filed = _filed(conn, [(request, origin) for _, request, origin in plain], standing)
    for (place, _, _), row in zip(plain, filed, strict=True):
        outcomes[place] = Filed(row)
    return outcomes


def _is_plain(request: TaskRequest) -> bool:
    return request.unique_key is None and request.concurrency_key is None and not request.delay and not request.run_at


def _filed(conn: Connection, wanted: Sequence[tuple[TaskRequest, Origin]], standing: _Line) -> list[TaskRow]:
    counting = telling.count_each(
        conn, [(origin.conversation_id, 1, 1, 0) for _, origin in wanted if origin.conversation_id is not None]
    )
    standing.look()
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
    known: dict[str, Callable[[], None]] = field(default_factory=dict[str, "Callable[[], None]"])
    asked: list[Callable[[], None]] = field(default_factory=list[Callable[[], None]])

    def ask(self, wanted: Sequence[tuple[TaskRequest, Origin]]) -> None:
        """Asks for the last places of all owners, and for the first ones of the lines, at once."""
        flows = {(request.queue, origin.tenant, origin.conversation_id or "") for request, origin in wanted}
        given = [{"queue": queue, "tenant": tenant, "flow": flow} for queue, tenant, flow in sorted(flows)]
        lasts = self.conn.ask_bulk(LAST, given)
        self.asked.append(lambda: self.lasts.update({tuple(row[:3]): row[3] for row in lasts.rows()}))
        for one in {(request.queue, request.priority) for request, _ in wanted}:
            self._ask_head(one)
        self.known = {queue: line.ask_known(self.conn, queue) for queue in {request.queue for request, _ in wanted}}
        owners = {(request.queue, origin.tenant) for request, origin in wanted}
        self.asked += [line.ask_flows(self.conn, "task", queue, tenant) for queue, tenant in owners]

    def _ask_head(self, of: tuple[str, int]) -> None:
        answer = self.conn.ask(line.HEAD, {"slot": "task", "queue": of[0], "priority": of[1]})

        def noted() -> None:
            found = answer.rows()
            self.heads[of] = int(found[0][0]) if found else None

        self.asked.append(noted)

    def look(self) -> None:
        """Waits for what was asked."""
        for noted in self.asked:
            noted()

    def place(self, row: TaskRow) -> int:
        line_of, owner = (row["queue"], row["priority"]), (row["queue"], row["tenant"], row["flow"])
        if self.heads[line_of] is None and (make_known := self.known.pop(row["queue"], None)) is not None:
            make_known()
        place = line.place_behind(self.conn, row, self.heads[line_of], self.lasts.get(owner))
        head, last = self.heads[line_of], self.lasts.get(owner)
        self.heads[line_of] = place if head is None else min(head, place)
        self.lasts[owner] = place if last is None else max(last, place)
        return place
