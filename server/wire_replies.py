"""What the server answers over HTTP with objects of its own, as types. They describe; a test holds them and the answers
together.

The API's own answers are the types of the `openai` package.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import Field

from .wire import TaskView, Wire


class Listed(Wire):
    """A page of a list. The ids are null when it is empty."""

    object: Literal["list"]
    has_more: bool
    first_id: str | None
    last_id: str | None


class Deleted(Wire):
    id: str
    object: Literal["response"]
    deleted: Literal[True]


class ModelList(Wire):
    object: Literal["list"]
    data: list[dict[str, Any]] = Field(description="The desk, then its agents, each as a `model` of the API.")


# --- tasks


class Delivery(Wire):
    """What a webhook was told of a task's end."""

    id: str
    url: str
    status: str
    attempts: int
    next_in_seconds: float | None
    last_status: int | None
    last_error: str | None
    created_at: float
    finished_at: float | None


class ListedTask(TaskView):
    object: Literal["frontdesk.task"]
    conversation: str | None
    kind: str
    queue: str
    result_size: int = Field(description="Characters of JSON; a result of more than 16,384 is read by the desk alone.")
    result_expired: bool = False
    error_kind: str | None
    abandoned: bool
    cancel_requested: bool
    retry_of: str | None
    waits_for: str = Field("", description="Why it is still queued, in words.")
    deliveries: list[Delivery] | None = None


class RetriedTask(ListedTask):
    repeated: bool = Field(description="It had been filed by an earlier retry of the same task.")


class TaskList(Listed):
    data: list[ListedTask]


class Stats(Wire):
    """The caller's tasks, counted by state: in all, by queue, by name. ``turns`` are counted apart."""

    object: Literal["frontdesk.stats"]
    status: dict[str, int]
    queues: dict[str, dict[str, int]]
    names: dict[str, dict[str, int]]
    turns: dict[str, int]
    oldest_queued_seconds: float | None
    workers: dict[str, dict[str, int]] = Field(description="What runs: tasks and turns, by worker.")
    last_hour: dict[str, int] = Field(description="Tasks that ended.")
    per_minute: list[int] = Field(description="Tasks that ended in each of the last 60 minutes, the oldest first.")


class Schedule(Wire):
    object: Literal["frontdesk.schedule"]
    name: str
    cron: str
    timezone: str
    missed: str
    paused: bool
    next_at: float | None
    last_at: float | None


class ScheduleList(Wire):
    object: Literal["list"]
    data: list[Schedule]


# --- runs


class State(Wire):
    status: str = Field(description="queued, in_progress, requires_action, completed, incomplete, failed, cancelled.")
    response_id: str
    at: float


class StepCall(Wire):
    """A call in a step; ``requires_action``: it waits for the client, or for an approval."""

    id: str
    call_id: str
    type: Literal["mcp_call", "function_call", "mcp_approval_request"]
    server_label: str | None
    name: str
    arguments: str | None
    agent: str
    approval_request_id: str | None
    status: str
    started_at: float | None
    finished_at: float | None


class Step(Wire):
    """A reply of a model with its calls, or calls that the desk made by itself (``calls``)."""

    object: Literal["frontdesk.step"]
    id: str
    response_id: str
    number: int
    type: Literal["model_reply", "calls"]
    agent: str
    model: str | None
    status: str
    created_at: float
    started_at: float | None
    replied_at: float | None
    finished_at: float | None
    usage: dict[str, Any] | None
    calls: list[StepCall]
    error: str | None


class StepList(Listed):
    """The run that a response belongs to: the states that it went through, and its steps, the oldest first."""

    response_id: str
    status: str
    states: list[State]
    data: list[Step]


# --- what was used


class UsageView(Wire):
    """What was used: by a conversation in all (``conversation``), or by the tenant on one day (``day``, in UTC)."""

    object: Literal["frontdesk.usage"]
    day: str = ""
    conversation: str = ""
    turns: int
    model_calls: int
    tool_calls: int
    input_tokens: int
    cached_tokens: int
    output_tokens: int
    reasoning_tokens: int
    total_tokens: int
    seconds: float
    cost: float


class UsageList(Wire):
    object: Literal["list"]
    data: list[UsageView]


# --- for operators


class Queue(Wire):
    object: Literal["frontdesk.queue"]
    id: str
    paused: bool


class QueueList(Wire):
    object: Literal["list"]
    data: list[Queue]


Bound = Annotated[int, Field(ge=0, le=2**53)]


class PutQuota(Wire):
    """What is left out, or null, has no bound; all of it: the tenant has no quota of its own any more."""

    tenant: Annotated[str, Field(max_length=200)] | None = Field(None, description="`*`: everybody who has none.")
    turns: Bound | None = Field(None, description="At once, queued or running.")
    tasks: Bound | None = Field(None, description="Queued at once.")
    tokens: Bound | None = Field(None, description="A day, in UTC.")


class Quota(Wire):
    object: Literal["frontdesk.quota"]
    tenant: str
    turns: int | None
    tasks: int | None
    tokens: int | None


class QuotaList(Wire):
    object: Literal["list"]
    data: list[Quota]


class IssueToken(Wire):
    name: Annotated[str, Field(max_length=200)] | None = None
    tenant: Annotated[str, Field(max_length=200)] | None = None
    operator: bool | None = None
    expires_in: Annotated[float, Field(ge=1, le=100 * 366 * 86_400)] | None = Field(None, description="Seconds.")


class Token(Wire):
    object: Literal["frontdesk.token"]
    id: str
    hint: str = Field(description="How it begins.")
    name: str
    tenant: str
    operator: bool
    created_at: float
    expires_at: float | None
    revoked_at: float | None


class NewToken(Token):
    token: str = Field(description="The token itself: it is shown this once.")


class TokenList(Wire):
    object: Literal["list"]
    data: list[Token]
