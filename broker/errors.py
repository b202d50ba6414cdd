"""Errors of the broker storey.

FrontdeskError
├── DatabaseError             the database cannot do it; nothing was half done
│   ├── UnknownEngine         a URL that no engine is known for
│   ├── DatabaseInUse         another process writes this SQLite file
│   ├── DatabaseLocked        somebody holds its lock
│   ├── DatabaseContended     transactions of others kept stopping it
│   ├── DatabaseReadOnly
│   ├── DatabaseFull
│   ├── DatabaseCorrupt
│   ├── DatabaseUnreachable   no connection, no such folder, no rights
│   ├── DatabaseRefused       a wrong password, an unknown user, no such database
│   ├── DatabaseOlder         written by an older version, where it is only read
│   ├── DatabaseNewer         written by a newer version of Frontdesk
│   ├── DatabaseForeign       not one of Frontdesk's
│   ├── DatabaseOverloaded    too many writes are waiting
│   └── DatabaseClosed
├── BackupRefused             no backup was made, and what is to be done instead
├── LeaseLost                 this run's epoch is over: what it writes is rejected
├── Refused                   an input or request that is not accepted, with the wire's code
│   ├── InboxFull, ConversationBusy, IdempotencyMismatch, QuotaExceeded
│   ├── ConversationNotFound, PreviousResponseNotFound, ResponseNotFound, TaskNotFound, ItemNotFound
│   ├── ResponseNotActive
│   └── TaskNotRetryable
└── CircularWait              a task that would wait for itself or for its ancestor
"""

from __future__ import annotations

import re
from typing import ClassVar

from ..tasks.errors import FrontdeskError


class DatabaseError(FrontdeskError):
    """The database could not do what was asked; the transaction left nothing behind."""


def _without_password(url: str) -> str:
    return re.sub(r"://[^@/]*@", "://…@", url)


class UnknownEngine(DatabaseError, ValueError):
    def __init__(self, url: str) -> None:
        super().__init__(
            f"no engine is known for the database URL {_without_password(url)!r}; use sqlite:///path/to/file.db or postgresql://user@host/name"
        )


class DatabaseInUse(DatabaseError):
    """``served``: what was asked for can be asked of the server that has the database open, too."""

    def __init__(self, path: str, holder: str, *, served: bool = False) -> None:
        way_out = "stop it, or choose another --database"
        if served:
            way_out = "stop it, choose another --database, or talk to the running server with --server"
        super().__init__(f"the database {path} is in use by another Frontdesk process ({holder}); {way_out}")
        self.path, self.holder = path, holder


class DatabaseLocked(DatabaseError):
    def __init__(self, path: str) -> None:
        super().__init__(
            f"the database {path} is locked by another program; close it (or wait until it is done) and try again"
        )


class DatabaseContended(DatabaseError):
    def __init__(self, url: str, detail: str) -> None:
        super().__init__(f"the database {url} is too contended: {detail}; try again in a moment")


class DatabaseReadOnly(DatabaseError):
    def __init__(self, path: str) -> None:
        rights = "its user" if "://" in path else "the file and of its folder"
        super().__init__(f"the database {path} cannot be written; check the rights of {rights}")


class DatabaseFull(DatabaseError):
    def __init__(self, path: str) -> None:
        super().__init__(f"there is no space left for the database {path}; free some and it goes on by itself")


class DatabaseCorrupt(DatabaseError):
    def __init__(self, path: str, detail: str) -> None:
        super().__init__(
            f"{path} is not a database that can be read ({detail}); move the file away, or restore it from a backup"
        )


class DatabaseUnreachable(DatabaseError):
    """``passing``: nobody answered, which may be different in a moment."""

    def __init__(self, url: str, detail: str, *, passing: bool = False) -> None:
        super().__init__(f"the database {url} cannot be reached: {detail}")
        self.url, self.detail, self.passing = url, detail, passing


class DatabaseRefused(DatabaseError):
    def __init__(self, url: str, detail: str) -> None:
        super().__init__(
            f"the database {url} let nobody in: {detail}; check the user, the password and the name in --database"
        )


class DatabaseNewer(DatabaseError):
    def __init__(self, path: str, found: int, known: int) -> None:
        super().__init__(
            f"{path} was written by a newer version of Frontdesk (schema {found}, this one knows {known}); "
            "upgrade Frontdesk, or choose another --database"
        )


class DatabaseOlder(DatabaseError):
    def __init__(self, path: str, found: int, known: int) -> None:
        super().__init__(
            f"{path} was written by an older version of Frontdesk (schema {found}, this one has {known}); "
            "bring it up to date first: `frontdesk db upgrade`"
        )


class DatabaseForeign(DatabaseError):
    def __init__(self, path: str) -> None:
        super().__init__(f"{path} holds no tables of Frontdesk; check --database, or let `frontdesk serve` make them")


class DatabaseOverloaded(DatabaseError):
    def __init__(self, waiting: int) -> None:
        super().__init__(f"{waiting:,} writes are waiting for the database; try again in a moment")


class DatabaseClosed(DatabaseError):
    def __init__(self) -> None:
        super().__init__("the database was closed while this was waiting; nothing was written")


class ForeignConnection(FrontdeskError, TypeError):
    """A connection of the application that storage functions cannot use."""


class BackupRefused(FrontdeskError):
    """No backup was made; the message says why, and what to do."""


class LeaseLost(FrontdeskError):
    """The run's claim is over (expired, released, finished or taken away): nothing that it writes is kept."""

    def __init__(self, task_id: str, epoch: int) -> None:
        super().__init__(f"the claim {epoch} of {task_id} is over; what this run still writes is rejected")
        self.task_id, self.epoch = task_id, epoch


class CircularWait(FrontdeskError):
    def __init__(self, waiter: str, awaited: str) -> None:
        super().__init__(
            f"{waiter} cannot wait for {awaited}: that task is (or waits for) the one that would wait, so neither "
            "could end"
        )


class Refused(FrontdeskError):
    """A request that is not accepted. ``status`` and ``code`` are the wire's; nothing was written."""

    status: ClassVar[int] = 400
    code: ClassVar[str] = "invalid_request"
    param: str | None = None


class InboxFull(Refused):
    status, code = 429, "inbox_full"

    def __init__(self, limit: int) -> None:
        super().__init__(
            f"{limit} inputs of this conversation are waiting already; send this one again when some are done"
        )


class ConversationBusy(Refused):
    status, code = 409, "conversation_busy"

    def __init__(self, conversation_id: str, why: str = "send it again later, or without when_busy=reject") -> None:
        super().__init__(f"conversation {conversation_id} is answering; {why}")


class IdempotencyMismatch(Refused):
    status, code = 409, "idempotency_mismatch"

    def __init__(self, input_id: str) -> None:
        super().__init__(f"input id {input_id!r} was used before with other content; use a new id for a new input")


class QuotaExceeded(Refused):
    """A tenant has what it may have; ``retry_after`` seconds from now there may be more."""

    status, code = 429, "quota_exceeded"

    def __init__(self, limit: int, what: str, retry_after: float) -> None:
        super().__init__(f"the quota of {limit:,} {what} is reached; try again in {max(1, round(retry_after)):,} s")
        self.retry_after = retry_after


class NotFound(Refused):
    """An id that does not exist, or belongs to another tenant: the two are answered alike."""

    status = 404
    what: ClassVar[str] = "thing"

    def __init__(self, wanted: str) -> None:
        super().__init__(f"{self.what} {wanted!r} not found")
        self.wanted = wanted


class ConversationNotFound(NotFound):
    code, what = "conversation_not_found", "conversation"
    param = "conversation"


class PreviousResponseNotFound(NotFound):
    code, what = "previous_response_not_found", "previous response"
    param = "previous_response_id"


class ResponseNotFound(NotFound):
    code, what = "response_not_found", "response"


class TaskNotFound(NotFound):
    code, what = "task_not_found", "task"


class ItemNotFound(NotFound):
    code, what = "item_not_found", "item"

    def __init__(self, wanted: str, param: str | None = None) -> None:
        super().__init__(wanted)
        self.param = param


class ResponseNotActive(Refused):
    code = "response_not_active"

    def __init__(self, response_id: str, status: str) -> None:
        super().__init__(f"response {response_id} is {status}: it takes no more input; send a response.create instead")
        self.status_name = status


class TaskNotRetryable(Refused):
    """A task that is live, or that has succeeded."""

    status, code, param = 409, "task_not_retryable", "task_id"

    def __init__(self, task: str, status: str, *, live: bool) -> None:
        what = "cancel it, or wait for its end" if live else "file a new one if its work is to be done once more"
        super().__init__(
            f"task {task} is {status}: only one that has failed, was cancelled or is held can be retried; {what}"
        )
