"""Tasks that code files, not a model: in the application's own transaction, or in a commit of their own."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ..broker import queue
from ..broker.borrowed import borrowed
from ..broker.connection import Connection
from ..broker.database import Database
from ..broker.errors import ConversationNotFound
from ..broker.failpoints import operation
from ..broker.filing import Filed, Origin
from ..broker.filing_many import file_many
from ..broker.merging import merges
from ..tasks.errors import InvalidOption
from ..tasks.registry import TaskFunction
from ..tasks.request import TaskRequest
from .errors import DeskError

ORIGIN = ("tenant", "conversation_id", "created_by")


def create(
    tasks: Mapping[str, TaskFunction[..., Any]],
    function: TaskFunction[..., Any] | str,
    arguments: Mapping[str, Any],
    connection: Any,
    options: dict[str, Any],
) -> Filed:
    """See `Desk.create`."""
    request, origin = _wanted(tasks, function, arguments, options)
    return file_task(borrowed(connection), request, origin)


async def file(
    tasks: Mapping[str, TaskFunction[..., Any]],
    function: TaskFunction[..., Any] | str,
    arguments: Mapping[str, Any],
    database: Database,
    options: dict[str, Any],
) -> Filed:
    """See `Desk.file`."""
    request, origin = _wanted(tasks, function, arguments, options)
    return await database.write(file_task, request, origin)


def _wanted(
    tasks: Mapping[str, TaskFunction[..., Any]],
    function: TaskFunction[..., Any] | str,
    arguments: Mapping[str, Any],
    options: dict[str, Any],
) -> tuple[TaskRequest, Origin]:
    name = function if isinstance(function, str) else function.name
    found = tasks.get(name)
    if found is None or not (isinstance(function, str) or found is function):
        known = ", ".join(sorted(tasks)) or "none"
        raise DeskError(f"{name!r} is no task function of this desk ({known}); give it with Desk(…, tasks=[…])")
    about = {one: options.pop(one) for one in ORIGIN if one in options}
    for one, value in about.items():
        if not isinstance(value, str):
            raise InvalidOption(f"{name}: {one} is text, not {value!r}")
    return found.request(arguments, **options), Origin(**about)


@operation
@merges(file_many)
def file_task(conn: Connection, request: TaskRequest, origin: Origin) -> Filed:
    """Files a task that code asks for. Raises ConversationNotFound, also for another tenant's."""
    if origin.conversation_id is not None and not queue.owns(conn, origin.tenant, origin.conversation_id):
        raise ConversationNotFound(origin.conversation_id)
    return queue.file(conn, request, origin)
