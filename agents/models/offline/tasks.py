"""What people say about tasks: how is T1, cancel it, wait for both, answer T2 with yes. Calls of the task tools,
nothing else.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any, Final

from ...model import JSON, ToolSpec
from .clause import READ
from .schema import fits, parameters_of
from .words import WEAK, fold, stems, tokens

TASK_TOOLS: Final = frozenset(
    {
        "create_task",
        "check_task",
        "wait_for_tasks",
        "list_tasks",
        "cancel_task",
        "answer_task",
        "update_task",
        "read_task_result",
    }
)

_LABEL: Final = re.compile(r"(?<![\w/.-])[Tt](\d+)(?![\w/-]|\.\w)", re.ASCII)
_VERBS: Final[tuple[tuple[str, re.Pattern[str]], ...]] = tuple(
    (tool, re.compile(pattern))
    for tool, pattern in (
        (
            "cancel_task",
            r"\b(?:cancel|stop|abort|kill|terminate|abbrechen|brich|stoppe?|storniere)\b|취소|중단|멈춰|그만",
        ),
        ("wait_for_tasks", r"\b(?:wait|await|warte|warten)\b|기다"),
        ("answer_task", r"\b(?:answer|reply|respond|antworte|beantworte)\b|답해|대답"),
        ("update_task", r"\b(?:tell|update|steer|inform|instruct|sag|sage)\b|전해"),
        ("read_task_result", r"\b(?:results?|outputs?|report|ergebnis|ergebnisse)\b|결과"),
        (
            "check_task",
            r"\b(?:how|status|progress|doing|going|done|finished|ready|check|state|wie|stand|fertig|weit)\b|상태|진행|어때|어떻게|끝났|됐",
        ),
    )
)
_LIST: Final = re.compile(
    r"\b(?:my|all|list|show|which|what|running|open|current|meine|alle|welche|zeige?)\b"
    r".*\b(?:tasks|background jobs|aufgaben)\b"
    r"|(?:작업|태스크)\s?(?:목록|들|보여|알려)|내 작업"
)
_ALL: Final = re.compile(r"\b(?:all|everything|every|both|them|alle|alles)\b|모두|전부|다 ")
_IT: Final = re.compile(
    r"\b(?:it|that|this|the (?:task|job)|es|sie|die aufgabe|der auftrag)\b|그거|그것|작업", re.IGNORECASE
)
_TELL_IT: Final = re.compile(r"\b(?:tell|inform|instruct|update|answer|sag|sage) (?:it|that task|the task|ihm|ihr)\b")
_ANY: Final = re.compile(r"\b(?:any|either|one of|first)\b")
_LINK: Final = re.compile(r"\s*(?:\b(?:with|mit|that|by saying|to|dass)\b)?[\s:,=-]*")
_SAYING: Final = re.compile(r"\b(?:answer|reply|respond|say|antworte)\b[\s:]*", re.IGNORECASE)
_FACING: Final = re.compile(r"\b(?:to|for|auf|an)$", re.IGNORECASE)
_QUOTES: Final = " \t\r\n\"'“”"


def task_calls(text: str, tools: Mapping[str, ToolSpec], known: Mapping[str, str]) -> list[tuple[str, JSON]]:
    """The calls of task tools that ``text`` asks for; empty when it is about something else. ``known``: labels and
    names of tasks.
    """
    said = fold(text[:READ])
    labels = list(dict.fromkeys(f"T{match[1]}" for match in _LABEL.finditer(text[:READ])))
    verb = _verb(said)
    if not labels and _LIST.search(said) and verb in ("", "check_task", "read_task_result"):
        return _calls("list_tasks", [], text, tools)
    if not labels and verb:
        labels = _meant(said, known)
        verb = _verb(_beside(said, known[labels[0]])) if labels else ""  # "make the refund report" asks for no result
        labels = labels if verb else []
    if not labels:
        return []
    if not verb:
        verb = "answer_task" if re.match(r"\s*[Tt]\d+\s*:\s*\S", text) else "check_task"
    return _calls(verb, labels, text, tools) or _calls("check_task", labels, text, tools)


def _verb(said: str) -> str:
    return next((tool for tool, pattern in _VERBS if pattern.search(said)), "")


def _beside(said: str, name: str) -> str:
    """What is said beside the words of a name."""
    return " ".join(token.text for token in tokens(said) if not stems(token.text) & (stems(name) - WEAK))


def _meant(said: str, known: Mapping[str, str]) -> list[str]:
    """The tasks that are meant without a label: all, the one that is named, or the latest."""
    words = stems(said) - WEAK
    named = [label for label, name in known.items() if name and stems(name) - WEAK and stems(name) - WEAK <= words]
    if named:
        return named[-1:]
    if _ALL.search(said) and not words - stems("cancel stop abort wait task job all everything both finish done"):
        return list(known)
    plain = words <= stems(
        "cancel stop abort wait task job result status progress finish done ready going state result report"
    )
    return list(known)[-1:] if (_IT.search(said) and plain) or _TELL_IT.search(said) else []


def _calls(name: str, labels: list[str], text: str, tools: Mapping[str, ToolSpec]) -> list[tuple[str, JSON]]:
    tool = tools.get(name)
    if tool is None:
        return []
    together = any(one.name == "tasks" for one in parameters_of(tool.parameters, tool.parameters))
    groups = [labels] if together or not labels else [[label] for label in labels]
    built = [_arguments(tool, group, text) for group in groups]
    return [(name, arguments) for arguments in built if fits(arguments, tool.parameters, tool.parameters)]


def _arguments(tool: ToolSpec, labels: list[str], text: str) -> JSON:
    arguments: JSON = {}
    for one in parameters_of(tool.parameters, tool.parameters):
        value = next((value for value in _candidates(one.name, labels, text) if one.takes(value)), None)
        if value is not None:
            arguments[one.name] = value
        elif one.nullable and one.required:
            arguments[one.name] = None
    return arguments


def _candidates(name: str, labels: list[str], text: str) -> Iterator[Any]:
    match name:
        case "task":
            yield from labels
        case "tasks":
            yield labels
        case "until":
            yield "any" if _ANY.search(fold(text)) else "all"
        case "answer" | "message":
            yield _said_to(text)
        case "offset":
            yield 0
        case _:
            found = re.search(r"(\d+) ?(?:s\b|sec|second)", text)
            yield int(found[1][:9]) if found and "second" in name else None


def _said_to(text: str) -> str | None:
    """What a task is to be told: what follows its label, or what stands between the verb and the label."""
    label = _LABEL.search(text[:READ]) or _IT.search(text[:READ])
    if label is None:
        return None
    after = text[label.end() :]
    link = _LINK.match(after)
    if re.search(r"\w", said := after[link.end() if link else 0 :].strip(_QUOTES)):
        return said
    before = _FACING.sub("", text[: label.start()].strip()).strip()
    saying = _SAYING.search(before)
    return before[saying.end() :].strip(_QUOTES) or None if saying else None
