"""A process that dies at a commit which holds many calls: several runs that end at once with the claims that this frees
slots for, or several tasks that are filed at once."""

from __future__ import annotations

import asyncio
from typing import Any, Final

from frontdesk.agents.filing import file_task
from frontdesk.broker import queue
from frontdesk.broker.clock import Owner
from frontdesk.broker.database import Database
from frontdesk.broker.filing import Origin
from frontdesk.tasks.request import TaskRequest
from frontdesk.tasks.states import Action
from frontdesk.tests.store import Store
from frontdesk.tests.works import together

COUNT: Final = 3  # calls of one commit


def filing(database: Database, conversation: str, number: int) -> Any:
    """Files one task, however often it is asked to."""
    request = TaskRequest(name="work", on_crash="retry")
    origin = Origin(conversation_id=conversation, created_by=f"code/{number}")
    return lambda: database.write(file_task, request, origin)


def die(url: str, failpoint: str, conversation: str) -> None:
    """The whole life of the process. ``failpoint``: at ``finish`` or at ``file_task``."""
    database = Database.open(url, durable=False, exclusive=False, failpoint=failpoint)
    asyncio.run(finishing(database) if failpoint.endswith("finish") else filing_all(database, conversation))


async def filing_all(database: Database, conversation: str) -> None:
    await together(database, *(filing(database, conversation, number) for number in range(COUNT)))


async def finishing(database: Database) -> None:
    """Ends what it has claimed, and stands for what else is in the queue."""
    owner, slots = Owner.here().text, object()
    claims = Store(database).claim(COUNT, owner=owner)
    standing = database.take_when_free(
        slots, queue.release, queue.claim_so_many, "task", ["work"], f"{owner}.1", 1e6, None
    )
    ends = [
        lambda claim=claim: database.write_freeing(slots, queue.finish, claim, Action.SUCCEED, result="1")
        for claim in claims
    ]
    await together(database, *ends)
    await standing
