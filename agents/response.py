"""A response: which one it is, how far its turn has come, how it ended, and its body on the wire. Pure values.

What is said in it is in ``journal``; its events are in ``events``.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Final, Literal, TypeAlias

from ..broker.spending import Spending
from .events import usage_body
from .model import JSON, Usage

INPUT_STEP: Final = -1  # of items that came in; everything from step 0 on is output
METADATA_LENGTH: Final = 512  # https://platform.openai.com/docs/api-reference/responses/object (metadata)

# What a request did not say, as the API answers it. Nothing here is chosen by the desk: its agents have settings of
# their own. https://platform.openai.com/docs/api-reference/responses/object
UNSAID: Final[JSON] = {
    "frequency_penalty": 0.0, "presence_penalty": 0.0, "top_logprobs": 0, "max_tool_calls": None,
    "service_tier": "default",
}  # fmt: skip

UNSAID_OF_TOOL: Final[JSON] = {"description": None, "parameters": None, "strict": False}

Ended: TypeAlias = Literal["completed", "incomplete", "failed", "cancelled"]
Verdict: TypeAlias = Literal["ended", "parked", "on"]


@dataclass(frozen=True, slots=True)
class About:
    """What a turn is, for its response's body. ``model`` is what the request named, or the desk."""

    response_id: str
    conversation_id: str
    tenant: str
    created_at: float
    request: JSON
    model: str = "desk"
    previous_id: str | None = None
    triggers: str = ""


@dataclass(slots=True)
class Progress:
    """How far a turn is: kept with it, so that another worker goes on from there."""

    step: int = 0
    model_calls: int = 0
    tool_calls: int = 0
    seconds: float = 0.0  # at work; waiting in the database does not count
    path: list[str] = field(default_factory=list[str])  # the agents that have had it
    handoff: str | None = None  # taken, but calls of the same reply are still open
    checks: dict[str, int] = field(default_factory=dict[str, int])  # task id -> how often it was checked while live
    waits: dict[str, float] = field(default_factory=dict[str, float])  # call id -> deadline on the database's clock
    checked: bool = False  # the input guardrails have passed what came in
    repairs: int = 0  # answers that did not have the form that was asked for
    asked: list[str] = field(default_factory=list[str])  # questions of tasks that the model has read (`polls`)
    told: list[str] = field(default_factory=list[str])  # tasks whose end the model has read: no notice tells it again
    steps: list[JSON] = field(default_factory=list[JSON])  # replies that were asked for: of whom, when, what they used
    calls: dict[str, list[float]] = field(default_factory=dict[str, list[float]])  # call id -> when it began, and ended


def spent_by(progress: Progress, usage: Usage, *, more_seconds: float = 0.0) -> Spending:
    """What a turn has used so far."""
    return Spending(
        model_calls=progress.model_calls,
        tool_calls=progress.tool_calls,
        input_tokens=usage.input_tokens,
        cached_tokens=usage.cached_tokens,
        output_tokens=usage.output_tokens,
        reasoning_tokens=usage.reasoning_tokens,
        seconds=progress.seconds + more_seconds,
        cost=usage.cost,
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """How a turn ended. ``ended`` says why in a word: steered, cancelled, limit, length,
    content_filter, model, function, output, held.
    """

    status: Ended
    ended: str = ""
    error: str | None = None  # safe to show
    limit: str = ""
    guardrail: str = ""  # that stopped it
    result: Any = None  # the text of its last message; of one with an output type, its JSON value
    requests: tuple[JSON, ...] = ()  # of a delegated run that waits for approvals: what it asks
    required: tuple[JSON, ...] = ()  # what the client is to send, in the API's form: outputs of its functions
    at: float = 0.0  # when, in seconds since 1970


def triggers_of(task_ids: Sequence[str]) -> str:
    """The tasks whose notices started a turn, comma separated, as far as metadata holds them."""
    text = ",".join(dict.fromkeys(task_ids))
    return text if len(text) <= METADATA_LENGTH else text[: METADATA_LENGTH + 1].rpartition(",")[0]


def response_body(about: About, outcome: Outcome | None, output: Sequence[JSON], usage: Usage) -> JSON:
    """The response as clients see it; ``outcome`` None: it is in progress."""
    request = about.request
    status = "in_progress" if outcome is None else outcome.status
    metadata: dict[str, Any] = dict(request.get("metadata") or {})
    if about.triggers:
        metadata["frontdesk:trigger"] = about.triggers
    if outcome is not None and outcome.limit:
        metadata["frontdesk:limit"] = outcome.limit
    if outcome is not None and outcome.guardrail:
        metadata["frontdesk:guardrail"] = outcome.guardrail
    return {
        "id": about.response_id,
        "object": "response",
        "created_at": int(about.created_at),
        "completed_at": int(outcome.at) if outcome is not None and status == "completed" else None,
        "status": status,
        "background": bool(request.get("background")),
        "error": _error(outcome),
        "incomplete_details": None if outcome is None else _incomplete(outcome),
        "instructions": request.get("instructions"),
        "max_output_tokens": request.get("max_output_tokens"),
        "metadata": metadata,
        "model": about.model,
        "output": output,
        "parallel_tool_calls": request.get("parallel_tool_calls") is not False,
        "previous_response_id": about.previous_id,
        "conversation": {"id": about.conversation_id},
        "prompt_cache_key": request.get("prompt_cache_key"),
        "reasoning": {"effort": None, "summary": None, **(request.get("reasoning") or {})},
        "safety_identifier": request.get("safety_identifier"),
        "store": request.get("store") is not False,
        "temperature": _or(request.get("temperature"), 1.0),
        "top_p": _or(request.get("top_p"), 1.0),
        "text": _text(request.get("text") or {}),
        "tool_choice": request.get("tool_choice") or "auto",
        "tools": [
            {"description": None, "parameters": None, "strict": False, **one} for one in request.get("tools") or ()
        ],
        "truncation": request.get("truncation") or "disabled",
        "usage": None if outcome is None else usage_body(usage),
        "user": request.get("user"),
        **UNSAID,
    }


def _or(given: Any, otherwise: float) -> Any:
    return otherwise if given is None else given


def _text(asked: JSON) -> JSON:
    return {**asked, "format": asked.get("format") or {"type": "text"}}


def _error(outcome: Outcome | None) -> JSON | None:
    if outcome is None or outcome.status != "failed":
        return None
    return {"code": "server_error", "message": outcome.error or "the turn failed"}


def _incomplete(outcome: Outcome) -> JSON | None:
    """The SDK's list of reasons is closed: every limit of ours is ``max_output_tokens`` there."""
    if outcome.status != "incomplete":
        return None
    return {"reason": outcome.ended if outcome.ended in ("steered", "content_filter") else "max_output_tokens"}
