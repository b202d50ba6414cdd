"""What has happened so far, read from the items of a request: what was asked, what was called since, what the desk
announced.

It reads whatever it is given, also items that no desk would store, and never raises.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final, cast

from pydantic_core import from_json

from ...model import JSON, ModelRequest
from ...summary_item import is_summary
from .schema import as_list, as_object

NOTICE: Final = "check_task"
STILL_NEEDED: Final = "I still need"
"""How a question for a missing argument is recognised: every one of ours has it."""


@dataclass(frozen=True, slots=True)
class Made:
    """A call with its output, None while there is none."""

    call_id: str
    name: str
    arguments: JSON
    output: str | None
    data: object  # the output read as JSON; the text itself when it is none

    @property
    def failed(self) -> bool:
        """Whether the output is an error, as tools here word them."""
        if isinstance(self.data, dict):
            facts = as_object(cast(object, self.data))
            return facts.get("error") is not None and "status" not in facts
        return self.output is not None and _ERROR.match(self.output) is not None


_ERROR: Final = re.compile(
    r"(?:the (?:tool|task|handoff|arguments of) .{0,120}?"
    r"(?:failed|did not end|cannot be shown|do not fit|must be one|not valid|could not)"
    r"|error\b|there is no (?:tool|task|agent)|unknown (?:tool|task)|interrupted, outcome unknown"
    r"|not taken\b|refused\b|failed\b)",
    re.IGNORECASE | re.DOTALL,
)


@dataclass(frozen=True, slots=True)
class Turn:
    """The turn that a model is asked to go on with."""

    text: str  # what was said last; empty when nobody has said anything
    asked: tuple[
        str, ...
    ]  # what was said before it, when `text` answers a question of ours: the request, then earlier answers
    made: tuple[Made, ...]  # calls since the request or since the last answer to it
    answered: bool  # whether the request has had its answer: what came after it are notices
    rounds: int  # replies with calls since the request
    known: Mapping[str, str]  # labels of tasks → their names, the latest last
    before: Mapping[str, str]  # those of them that were there when the request was made: it may mean them
    call_ids: frozenset[str]


_SURROGATE: Final = re.compile("[\ud800-\udfff]")  # half a character, which no JSON can carry


def parsed(text: str) -> object:
    """``text`` as JSON, or the text itself."""
    if not text.lstrip()[:1] or text.lstrip()[0] not in '{["-0123456789tfn':
        return text
    try:
        return cast(object, from_json(text, allow_inf_nan=False))
    except ValueError:
        return text


def read(items: Sequence[JSON]) -> Turn:
    """The turn at the end of ``items``."""
    entries = [_Entry.of(item) for item in items]
    outputs: dict[str, str] = {}
    for entry in entries:
        if entry.kind == "output":
            outputs.setdefault(entry.call_id, entry.text)
    asked = _last_request(entries)
    after = entries[asked.stop :]
    last_said = max((at for at, entry in enumerate(after) if entry.kind == "assistant"), default=-1)
    made = [entry.made(outputs) for entry in after[last_said + 1 :] if entry.kind == "call"]
    between = [entry.made(outputs) for entry in entries[asked.start : asked.stop] if entry.kind == "call"]
    return Turn(
        text=_said(entries, asked),
        asked=_questioned(entries[: asked.start]),
        made=tuple(between + made),
        answered=last_said >= 0,
        rounds=sum(
            entry.kind == "call" and (at == 0 or after[at - 1].kind != "call") for at, entry in enumerate(after)
        ),
        known=_labels(entries, outputs),
        before=_labels(entries[: asked.stop], outputs),
        call_ids=frozenset(entry.call_id for entry in entries if entry.kind == "call"),
    )


@dataclass(frozen=True, slots=True)
class _Entry:
    """An item, reduced to what is read of it."""

    kind: str  # user, assistant, call, output, other
    text: str = ""
    call_id: str = ""
    name: str = ""
    arguments: str = ""

    @staticmethod
    def of(item: object) -> _Entry:
        body = as_object(item)
        kind, role = body.get("type", "message"), body.get("role")
        if kind == "message" and role in ("user", "assistant"):
            text = _text(body.get("content"))
            return _Entry("other" if role == "user" and is_summary(text) else str(role), text)
        if kind == "function_call":
            return _Entry(
                "call", "", str(body.get("call_id", "")), str(body.get("name", "")), str(body.get("arguments", ""))
            )
        if kind == "function_call_output":
            return _Entry("output", _text(body.get("output")), str(body.get("call_id", "")))
        return _Entry("other")

    def made(self, outputs: Mapping[str, str]) -> Made:
        output = outputs.get(self.call_id)
        return Made(self.call_id, self.name, as_object(parsed(self.arguments)), output, parsed(output or ""))


def _text(content: object) -> str:
    if isinstance(content, str):
        return _SURROGATE.sub("\ufffd", content)
    parts = [as_object(part).get("text") for part in as_list(content)]
    return "\n".join(_text(part) for part in parts if isinstance(part, str))


def text_of(request: ModelRequest) -> str:
    """The text of a request's messages."""
    return "\n".join(_text(as_object(item).get("content")) for item in request.items)


def _last_request(entries: list[_Entry]) -> range:
    """The last run of messages by the person; notices may lie between them. Empty, at the end, when there are none."""
    last = max((at for at, entry in enumerate(entries) if entry.kind == "user"), default=None)
    if last is None:
        return range(0)
    first = last
    for at in range(last - 1, -1, -1):
        entry = entries[at]
        if entry.kind == "user":
            first = at
        elif entry.kind == "assistant" or (entry.kind == "call" and entry.name != NOTICE):
            break
    return range(first, last + 1)


def _said(entries: list[_Entry], span: range) -> str:
    return "\n".join(entries[at].text for at in span if entries[at].kind == "user")


def _questioned(before: list[_Entry]) -> tuple[str, ...]:
    """The request that our last question was about, and the answers before this one; empty when we asked nothing."""
    said: list[str] = []
    rest = list(before)
    while len(said) < 8:
        while rest and (rest[-1].kind in ("other", "output") or (rest[-1].kind == "call" and rest[-1].name == NOTICE)):
            rest.pop()
        if not rest or rest[-1].kind != "assistant" or STILL_NEEDED not in rest[-1].text:
            break
        span = _last_request(rest)
        said.insert(0, _said(rest, span))
        rest = rest[: span.start]
    return tuple(text for text in said if text)


def _labels(entries: list[_Entry], outputs: Mapping[str, str]) -> dict[str, str]:
    known: dict[str, str] = {}
    for entry in entries:
        if entry.kind == "call" and entry.name in ("create_task", NOTICE):
            output = as_object(parsed(outputs.get(entry.call_id, "")))
            arguments = as_object(parsed(entry.arguments))
            task = as_object(arguments.get("task"))
            label = output.get("task", arguments.get("task"))
            name = task.get("name") or output.get("name") or known.get(str(label), "")
            if isinstance(label, str) and re.fullmatch(r"T\d+", label):
                known.pop(label, None)
                known[label] = str(name)
    return known
