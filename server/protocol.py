"""What a client may say: a decoded object in, a frozen message out, or an error that names the field. Pure.

Every field of the API is kept, not supported, or ignored because it changes nothing that a client could notice.
What a message leads to is decided in ``session``.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final, TypeAlias, cast

from ..agents.dialogs import Dialog
from . import answer_form, checks, choices, items
from .checks import JSON, Check, optional, require
from .errors import InvalidRequest, SteerFailed, UnsupportedParameter, WireError

Lane: TypeAlias = str | None  # None: the default lane

OURS: Final = "frontdesk."  # lanes that begin so are the server's
KEPT: Final[Mapping[str, Check]] = {
    "model": checks.string(256),
    "instructions": checks.string(),
    "metadata": checks.metadata,
    "tools": checks.listing,
    "tool_choice": lambda value: None if isinstance(value, str | dict) else "a string or an object",
    "parallel_tool_calls": checks.boolean,
    "temperature": checks.number(0, 2),
    "top_p": checks.number(0, 1),
    "max_output_tokens": checks.integer(1, 2**31 - 1),
    "stream_id": checks.lane,
    "previous_response_id": checks.identifier,
    "background": checks.boolean,
    "store": checks.boolean,
    "reasoning": checks.mapping,
    "text": checks.mapping,
    "truncation": checks.one_of("disabled", "auto"),
    "user": checks.string(512),
    "safety_identifier": checks.string(512),
    "prompt_cache_key": checks.string(512),
}
PASSED_OVER: Final[Mapping[str, Check]] = {  # they change nothing here, and are of these types all the same
    "service_tier": checks.string(64),
    "stream_options": checks.mapping,
    "prompt_cache_retention": checks.string(64),
    "prompt_cache_options": checks.mapping,
}
# Fields that are not supported, and the values of them that change nothing.
NEUTRAL: Final[Mapping[str, tuple[Any, ...]]] = {
    "generate": (True,),
    "max_tool_calls": (),
    "prompt": (),
    "moderation": (),
    "context_management": ([],),
    "modalities": (["text"],),
    "audio": (),
    "top_logprobs": (0,),
}
OUR_METADATA: Final[Mapping[str, Check]] = {
    "frontdesk:input_id": checks.identifier,
    "frontdesk:when_busy": checks.one_of("enqueue", "interrupt", "reject"),
    "frontdesk:conversation": checks.identifier,
}
# What a repeat with the same input id may change: how the answer is delivered, not what was asked.
NOT_CONTENT: Final = frozenset({"type", "stream", "stream_id", "stream_options", "event_id"})


@dataclass(frozen=True, slots=True, kw_only=True)
class Create:
    """A valid ``response.create``. ``request`` holds the fields that are kept with the response."""

    input: tuple[JSON, ...]
    request: JSON
    model: str | None = None
    conversation: str | None = None
    previous_response_id: str | None = None
    lane: Lane = None
    input_id: str | None = None
    when_busy: str = "enqueue"
    stored: bool = True
    metadata: dict[str, str]
    digest: str = ""
    dialog: Dialog | None = None  # of a client that resends everything and names no conversation


@dataclass(frozen=True, slots=True, kw_only=True)
class Steer:
    """A valid ``response.steer``; ``given`` is its input as the client wrote it."""

    previous_response_id: str
    input: tuple[JSON, ...]
    given: Any
    input_id: str | None = None
    digest: str = ""


@dataclass(frozen=True, slots=True)
class Cancel:
    """``frontdesk:cancel`` of a response or of a task: exactly one of them is given."""

    response_id: str | None = None
    task_id: str | None = None


@dataclass(frozen=True, slots=True)
class Subscribe:
    """``frontdesk:subscribe``; without ``after``: from now."""

    conversation: str
    after: int | None = None


@dataclass(frozen=True, slots=True)
class Unsubscribe:
    conversation: str


@dataclass(frozen=True, slots=True)
class Answer:
    """``frontdesk:answer`` to the question that a task waits with; any JSON value."""

    task_id: str
    answer: Any


Message: TypeAlias = Create | Steer | Cancel | Subscribe | Unsubscribe | Answer


def read(message: JSON) -> Message:
    """The message that the object is. Raises InvalidRequest, UnsupportedParameter, SteerFailed."""
    kind = message.get("type")
    if not isinstance(kind, str):
        raise InvalidRequest('a message needs a "type"', "type")
    reader = READERS.get(kind)
    if reader is None:
        raise InvalidRequest(f"unknown type {kind[:64]!r}; known are {', '.join(READERS)}", "type")
    return reader(message)


def create(message: JSON, *, input_id: str | None = None) -> Create:
    """A ``response.create``, or the body of ``POST /v1/responses`` (whose input id is a header).

    Raises InvalidRequest, UnsupportedParameter.
    """
    kept = {field: optional(message, field, check) for field, check in KEPT.items() if field in message}
    for field, neutral in NEUTRAL.items():
        if message.get(field) is not None and message[field] not in neutral:
            raise UnsupportedParameter(field)
    for field, check in PASSED_OVER.items():
        if field in message:
            optional(message, field, check)
    answer_form.check(message)
    _check_tools(kept.get("tools"), kept.get("tool_choice"))
    metadata = cast(dict[str, str], kept.get("metadata") or {})
    ours = {name: optional(metadata, name, check, f"metadata.{name}") for name, check in OUR_METADATA.items()}
    lane = kept.get("stream_id")
    if lane is not None and lane.startswith(OURS):
        raise InvalidRequest(f"stream_id: lanes that begin with {OURS!r} are the server's own", "stream_id")
    if kept.get("background") and kept.get("store") is False:
        raise InvalidRequest("background needs store: what nobody keeps cannot be read later", "background")
    conversation = _conversation(message.get("conversation"))
    if conversation is not None and kept.get("previous_response_id") is not None:
        raise InvalidRequest("give conversation or previous_response_id, not both", "previous_response_id")
    if conversation is None and kept.get("previous_response_id") is None:
        conversation = ours["frontdesk:conversation"]
    goes_on = conversation is not None or kept.get("previous_response_id") is not None
    found = _input(message.get("input"), may_be_missing=goes_on)
    input_id = input_id or ours["frontdesk:input_id"]
    return Create(
        input=found,
        request={field: value for field, value in kept.items() if value is not None},
        model=kept.get("model"),
        conversation=conversation,
        previous_response_id=kept.get("previous_response_id"),
        lane=lane,
        input_id=input_id,
        when_busy=ours["frontdesk:when_busy"] or "enqueue",
        stored=kept.get("store") is not False,
        metadata=metadata,
        digest=_digest({**message, "input": found}) if input_id is not None else "",
    )


def _input(value: Any, *, may_be_missing: bool) -> tuple[JSON, ...]:
    """The items of an input. What a conversation holds already can be answered without more."""
    if (value is None or value == []) and may_be_missing:
        return ()
    if value is None:
        raise InvalidRequest("input is missing: a string, an array of items, or a conversation that has some", "input")
    return items.normal(value)


def _conversation(value: Any) -> str | None:
    """``conversation`` is an id, or an object with one."""
    if value is None:
        return None
    if isinstance(value, dict):
        return str(require(cast(JSON, value).get("id"), checks.identifier, "conversation.id"))
    return str(require(value, checks.identifier, "conversation"))


def _check_tools(tools: list[Any] | None, choice: Any) -> None:
    """Only functions, which the client runs itself: hosted tools belong to OpenAI's servers."""
    names: set[str] = set()
    for index, tool in enumerate(tools or ()):
        place = f"tools[{index}]"
        found = cast(JSON, require(tool, checks.mapping, place))
        kind = require(found.get("type"), checks.string(64), f"{place}.type")
        if kind != "function":
            raise UnsupportedParameter(f"{place}.type", f"{kind!r} runs on OpenAI's servers; functions can be given")
        require(found.get("name"), checks.matching(checks.NAME, "1 to 64 letters, digits, _ or -"), f"{place}.name")
        optional(found, "description", checks.string(), f"{place}.description")
        optional(found, "parameters", checks.mapping, f"{place}.parameters")
        optional(found, "strict", checks.boolean, f"{place}.strict")
        if found["name"] in names:
            raise InvalidRequest(f"{place}.name: two tools are named {found['name']!r}", f"{place}.name")
        names.add(found["name"])
    choices.check(choice)


def _digest(content: Mapping[str, Any]) -> str:
    """Names the content of a message, so that a repeat is told from another message under the same input id."""
    compared = {field: value for field, value in content.items() if field not in NOT_CONTENT and value is not None}
    text = json.dumps(compared, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    return hashlib.sha256(text.encode()).hexdigest()


def steer(message: JSON) -> Steer:
    """A ``response.steer``. Raises InvalidRequest, or SteerFailed when there is an input to be returned."""
    target = str(require(message.get("previous_response_id"), checks.identifier, "previous_response_id"))
    given = message.get("input")
    try:
        if given is None:
            raise InvalidRequest("input is missing: a string or an array of messages", "input")
        found = items.normal(given)
        items.only_from_user(found)
        input_id = optional(message, "frontdesk:input_id", checks.identifier)
    except WireError as error:
        raise SteerFailed("invalid_input", str(error), previous_response_id=target, input=given) from None
    digest = _digest({"steers": target, "input": found}) if input_id is not None else ""
    return Steer(previous_response_id=target, input=found, given=given, input_id=input_id, digest=digest)


def _cancel(message: JSON) -> Cancel:
    response = optional(message, "response_id", checks.identifier)
    task = optional(message, "task_id", checks.identifier)
    if (response is None) == (task is None):
        raise InvalidRequest("give response_id or task_id, one of them", "response_id")
    return Cancel(response, task)


def subscribe(message: JSON) -> Subscribe:
    """A ``frontdesk:subscribe``, or the query of an upgrade. Raises InvalidRequest."""
    after = message.get("after")
    return Subscribe(
        str(require(message.get("conversation"), checks.identifier, "conversation")),
        None if after is None else _cursor(after),
    )


def _cursor(value: Any) -> int:
    text = str(value) if isinstance(value, int) and not isinstance(value, bool) else value
    if not isinstance(text, str) or not text.isascii() or not text.isdigit() or len(text) > 18:
        raise InvalidRequest("after must be a cursor, as events carry it", "after")
    return int(text)


def _unsubscribe(message: JSON) -> Unsubscribe:
    return Unsubscribe(str(require(message.get("conversation"), checks.identifier, "conversation")))


def _answer(message: JSON) -> Answer:
    task = str(require(message.get("task_id"), checks.identifier, "task_id"))
    if "answer" not in message:
        raise InvalidRequest("answer is missing: any JSON value", "answer")
    return Answer(task, message["answer"])


READERS: Final[Mapping[str, Callable[[JSON], Message]]] = {
    "response.create": create,
    "response.steer": steer,
    "frontdesk:cancel": _cancel,
    "frontdesk:subscribe": subscribe,
    "frontdesk:unsubscribe": _unsubscribe,
    "frontdesk:answer": _answer,
}
