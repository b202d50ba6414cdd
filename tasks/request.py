"""What is asked for when a task is created, checked before anything is written. No table is here: a desk that is only
defined should not pay for a database.
"""

from __future__ import annotations

import os
import time
from collections import deque
from typing import Annotated, Any, Final, Literal
from urllib.parse import urlsplit

from pydantic import AfterValidator, AwareDatetime, BaseModel, ConfigDict, HttpUrl, TypeAdapter, model_validator
from pydantic import Field as Limit

Kind = Literal["function", "agent", "turn"]
OnCrash = Literal["retry", "fail"]
Announce = Literal["respond", "note", "none"]


_RANDOM: Final[deque[bytes]] = deque()  # asked of the system many at a time: each time lets all other threads go first
os.register_at_fork(after_in_child=_RANDOM.clear)


def new_id(prefix: str) -> str:
    """A new global id: ``prefix_``, the milliseconds since 1970 and 80 random bits, 32 hexadecimal digits together.

    Ids that are made one after the other lie together in every index: a commit writes fewer pages. No order may be read
    from them, because clocks jump.
    """
    while True:
        try:
            return f"{prefix}_{time.time_ns() // 1_000_000:012x}{_RANDOM.popleft().hex()}"
        except IndexError:
            fresh = os.urandom(10 * 256)
            _RANDOM.extend(fresh[place : place + 10] for place in range(0, len(fresh), 10))


Name = Annotated[str, Limit(min_length=1, max_length=200)]


Key = Annotated[str, Limit(min_length=1, max_length=500)]


_URL: Final = TypeAdapter(HttpUrl)


def _web_address(text: str) -> str:
    """The URL as it is requested: without blanks, its host in ASCII."""
    if not text.isprintable() or " " in text:
        raise ValueError("a URL has no blanks, line breaks or control characters")
    if urlsplit(text).scheme.lower() not in ("http", "https"):
        raise ValueError("a webhook is a URL that begins with https:// or http://, such as https://example.org/hook")
    found = _URL.validate_python(text)
    if found.username is not None or found.password is not None:
        raise ValueError("leave name and password out of the URL, which is shown: the receiver checks the signature")
    return str(found)


Webhook = Annotated[str, Limit(max_length=2000), AfterValidator(_web_address)]


class TaskRequest(BaseModel):
    """What is asked for when a task is created; checked here, before anything is written."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    kind: Kind = "function"
    name: Name
    title: Annotated[str, Limit(max_length=500)] = ""
    arguments: dict[str, Any] = Limit(default_factory=dict)
    queue: Name = "default"
    priority: Annotated[int, Limit(ge=-1000, le=1000)] = 0
    delay: Annotated[float, Limit(ge=0, le=10 * 366 * 86_400, allow_inf_nan=False)] = 0.0  # seconds of elapsed time
    run_at: AwareDatetime | None = None  # wall time: a clock that jumps moves it
    unique_key: Key | None = None
    unique_for: Annotated[float, Limit(gt=0, le=10 * 366 * 86_400, allow_inf_nan=False)] | None = (
        None  # None: while live
    )
    concurrency_key: Key | None = None
    concurrency_limit: Annotated[int, Limit(ge=1, le=100_000)] = 1
    timeout: Annotated[float, Limit(gt=0, allow_inf_nan=False)] | None = None
    max_attempts: Annotated[int, Limit(ge=1, le=10_000)] = 3
    on_crash: OnCrash = "fail"
    announce: Announce = "respond"
    webhook: Webhook | None = None  # who is told of the end: a URL by the desk's developer, never by a model
    keep_result: Annotated[float, Limit(gt=0, le=100 * 366 * 86_400, allow_inf_nan=False)] | None = (
        None  # seconds after the end; None: for ever
    )

    @model_validator(mode="after")
    def _one_time(self) -> TaskRequest:
        if self.delay and self.run_at is not None:
            raise ValueError("give either delay (elapsed time) or run_at (wall time), not both")
        if self.unique_for is not None and self.unique_key is None:
            raise ValueError("unique_for is how long unique_key holds: give unique_key too")
        return self
