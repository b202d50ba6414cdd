"""How calls are written in plain text, by models that have no tool calls of their own. Pure.

A format says how tools are described to the model, how a call and an output look in its history, and by which marks a
call is known in what it says. Three are here; another one is a class like them (a dozen lines), given to
``PromptedModel``. How marks are found in a stream is in ``call_scanner``.
"""

from __future__ import annotations

import ast
import json
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Final, Protocol, TypeAlias, cast

from ..model import JSON, ToolSpec

NAMES: Final = ("name", "function", "tool", "tool_name", "function_name")
ARGUMENTS: Final = ("arguments", "parameters", "args", "input")
_NAME_IN_TEXT: Final = re.compile(r"""["'](?:name|function|tool)["']\s*:\s*["']([A-Za-z0-9_.-]{1,64})["']""")


@dataclass(frozen=True, slots=True)
class Written:
    """A call as it was written: the name of a tool and the text of its arguments, which need not be valid."""

    name: str
    arguments: str


@dataclass(frozen=True, slots=True)
class Mark:
    """What a call stands between.

    Without ``end`` it goes on to the end of its JSON value, which begins behind ``after`` where that stands. ``sure``:
    what is between such marks is a call, or the model's mistake; else it may be prose, and is shown as it stands.
    """

    start: str
    end: str = ""
    after: str = ""
    sure: bool = True


Calls: TypeAlias = Sequence[Written]


class CallFormat(Protocol):
    """A way to write calls as text."""

    @property
    def marks(self) -> Sequence[Mark]:
        """What calls stand between."""
        ...

    def describe(self, tools: Sequence[ToolSpec]) -> str:
        """What the model is told of its tools, and of how to call them."""
        ...

    def called(self, calls: Calls) -> str:
        """Calls of one reply, as the model would have written them."""
        ...

    def answered(self, name: str, call_id: str, output: str) -> str:
        """The output of a call, as it is told."""
        ...

    def read(self, text: str) -> Calls:
        """The calls in what stood between marks; none when it is something else."""
        ...


class Hermes:
    """``<tool_call>{"name": …, "arguments": …}</tool_call>``, as Hermes, Qwen and many others were trained."""

    marks = (Mark("<tool_call>", "</tool_call>"),)

    def describe(self, tools: Sequence[ToolSpec]) -> str:
        listed = "\n".join(
            json.dumps({"type": "function", "function": shape(one)}, ensure_ascii=False) for one in tools
        )
        return (
            "# Tools\n\nYou may call one or more of these functions, whose signatures are within <tools></tools>:\n"
            f"<tools>\n{listed}\n</tools>\n\n"
            "For each call, write a JSON object with its name and arguments within <tool_call></tool_call>:\n"
            '<tool_call>\n{"name": <function-name>, "arguments": <arguments-object>}\n</tool_call>\n'
            "Then stop; the results come within <tool_response></tool_response>."
        )

    def called(self, calls: Calls) -> str:
        return "\n".join(f"<tool_call>\n{as_text(one)}\n</tool_call>" for one in calls)

    def answered(self, name: str, call_id: str, output: str) -> str:
        return f"<tool_response>\n{json.dumps({'name': name, 'content': output}, ensure_ascii=False)}\n</tool_response>"

    def read(self, text: str) -> Calls:
        return written_in(text)


class Mistral:
    """``[TOOL_CALLS] [{"name": …, "arguments": …}]``, and the newer ``[TOOL_CALLS]name[ARGS]{…}``."""

    marks = (Mark("[TOOL_CALLS]", after="[ARGS]"),)

    def describe(self, tools: Sequence[ToolSpec]) -> str:
        listed = json.dumps([{"type": "function", "function": shape(one)} for one in tools], ensure_ascii=False)
        return (
            f"[AVAILABLE_TOOLS] {listed} [/AVAILABLE_TOOLS]\n"
            "To call tools, write [TOOL_CALLS] and a JSON list of objects with name and arguments, and no more:\n"
            '[TOOL_CALLS] [{"name": "...", "arguments": {...}}]\n'
            "The results come within [TOOL_RESULTS][/TOOL_RESULTS]."
        )

    def called(self, calls: Calls) -> str:
        return f"[TOOL_CALLS] [{', '.join(map(as_text, calls))}]"

    def answered(self, name: str, call_id: str, output: str) -> str:
        result = json.dumps({"name": name, "content": output, "call_id": call_id}, ensure_ascii=False)
        return f"[TOOL_RESULTS] {result} [/TOOL_RESULTS]"

    def read(self, text: str) -> Calls:
        name, mark, arguments = text.partition("[ARGS]")
        if mark:
            return [Written(name.partition("[CALL_ID]")[0].strip(), arguments.strip() or "{}")]
        named = re.fullmatch(r"\s*([A-Za-z0-9_.-]{1,64})\s*(\{.*)", text, re.DOTALL)
        return [Written(named[1], named[2].strip())] if named else written_in(text)


class Fenced:
    """A fenced block of JSON: what models that were trained on nothing of the kind write most reliably."""

    marks = (Mark("```", "\n```", sure=False),)

    def describe(self, tools: Sequence[ToolSpec]) -> str:
        listed = "\n".join(json.dumps(shape(one), ensure_ascii=False) for one in tools)
        return (
            f"You have these tools, one JSON object per line:\n{listed}\n\n"
            "To call a tool, end your message with a block like this, one for each call, and write nothing after it:\n"
            '```json\n{"name": "<name>", "arguments": {<arguments>}}\n```\n'
            "You are then told the result, and go on."
        )

    def called(self, calls: Calls) -> str:
        return "\n".join(f"```json\n{as_text(one)}\n```" for one in calls)

    def answered(self, name: str, call_id: str, output: str) -> str:
        return f"Result of {name}:\n{output}"

    def read(self, text: str) -> Calls:
        language = re.match(r"[A-Za-z_]*", text)
        assert language is not None
        if language[0].lower() not in ("", "json", "tool_call", "tool"):
            return ()
        return written_in(text[language.end() :].strip().removesuffix("```"), guess=False)


FORMATS: Final[dict[str, type[Hermes] | type[Mistral] | type[Fenced]]] = {
    "hermes": Hermes,
    "mistral": Mistral,
    "fenced": Fenced,
}


def shape(tool: ToolSpec) -> JSON:
    """A tool as formats describe it."""
    return {"name": tool.name, "description": tool.description, "parameters": tool.parameters}


def as_text(call: Written) -> str:
    """A call as a JSON object; arguments that are no JSON stay a string."""
    return json.dumps({"name": call.name, "arguments": value_of(call.arguments, call.arguments)}, ensure_ascii=False)


def written_in(text: str, *, guess: bool = True) -> Calls:
    """The calls in a JSON value: an object, or a list of them, with a name and arguments under one of their usual keys.

    ``guess``: from JSON that cannot be read the name is taken all the same, so that the model can be told what is wrong
    with it. Empty when there is no call in it.
    """
    found = value_of(text.strip(), None)
    if found is None and guess and (name := _NAME_IN_TEXT.search(text)):
        return [Written(name[1], text.strip())]
    whole: Any = found
    listed: list[Any] = whole if isinstance(found, list) else [found]
    calls = [_call(one) for one in listed]
    return [one for one in calls if one is not None] if all(calls) else ()


def value_of(text: str, default: Any) -> Any:
    """A JSON value, or what a model wrote that takes Python's notation for it."""
    try:
        return json.loads(text, strict=False)  # line breaks inside strings are common
    except ValueError:
        pass
    try:
        return ast.literal_eval(text) if text[:1] in "{[" and text else default
    except (ValueError, SyntaxError, MemoryError, RecursionError):
        return default


def _call(one: Any) -> Written | None:
    if not isinstance(one, dict):
        return None
    call = cast(JSON, one)
    if isinstance(inner := call.get("function"), dict):
        return _call(inner)
    name = _first(call, NAMES)
    if not isinstance(name, str) or not name:
        return None
    arguments = _first(call, ARGUMENTS)
    if isinstance(arguments, str):
        return Written(name, arguments or "{}")
    return Written(name, json.dumps({} if arguments is None else arguments, ensure_ascii=False))


def _first(call: JSON, keys: Iterable[str]) -> Any:
    return next((call[key] for key in keys if key in call), None)
