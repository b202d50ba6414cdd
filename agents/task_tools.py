"""The task tools that a model sees: what they are called, what they take. How they are carried out is in
``task_calls``.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

from pydantic_core import from_json, to_json

from ..tasks.limits import too_much
from ..tasks.registry import TaskFunction
from .agent import Agent
from .model import JSON, ToolSpec

LABEL: Final[JSON] = {"type": "string", "description": "Label of the task, such as T3"}


def _object(**properties: JSON) -> JSON:
    return {
        "type": "object", "properties": properties, "required": list(properties), "additionalProperties": False,
    }  # fmt: skip


def _spec(name: str, description: str, *keywords: str, **properties: JSON) -> ToolSpec:
    return ToolSpec(name=name, description=description, parameters=_object(**properties), keywords=keywords)


FOLLOW_UP: Final[tuple[ToolSpec, ...]] = (
    _spec(
        "check_task",
        "State, progress and result of a task. A finished task is announced by itself: do not poll.",
        "progress", "status", "doing",
        task=LABEL,
    ),
    _spec(
        "wait_for_tasks",
        "Waits for tasks when their results are needed before you can go on. Input of the person ends the wait.",
        "wait",
        tasks={"type": "array", "items": LABEL},
        until={"type": ["string", "null"], "enum": ["all", "any", None], "description": "all by default"},
        timeout_seconds={"type": ["number", "null"], "description": "no limit by default"},
    ),
    _spec("list_tasks", "All tasks of this conversation with their states.", "tasks", "jobs"),
    _spec("cancel_task", "Stops a task.", "cancel", "stop", "abort", task=LABEL),
    _spec(
        "answer_task",
        "Answers the question that a task waits with.",
        task=LABEL,
        answer={"type": "string"},
    ),
    _spec(
        "update_task",
        "Tells a delegated agent something while it works.",
        task=LABEL,
        message={"type": "string"},
    ),
    _spec(
        "read_task_result",
        "A piece of a long result.",
        task=LABEL,
        offset={"type": ["integer", "null"], "description": "character to begin with, 0 by default"},
    ),
)  # fmt: skip


def create_task_spec(functions: Sequence[TaskFunction[..., Any]], delegates: Sequence[Agent]) -> ToolSpec:
    """``create_task`` with one variant per task function and per agent that may be delegated to."""
    variants = [_variant(one.name, one.description or one.title, one.signature.schema) for one in functions] + [
        _variant(
            one.name,
            f"Agent: {one.description}" if one.description else "An agent",
            _object(input={"type": "string", "description": "What it is to do, with everything that it must know"}),
        )
        for one in delegates
    ]
    definitions: dict[str, Any] = {}
    for variant in variants:
        _move_definitions(variant, definitions)
    keywords = [f"{one.name}:{word}" for one in functions for word in one.keywords]
    keywords += [f"{one.name}:{word}" for one in delegates for word in one.keywords]
    parameters = _object(
        task={"anyOf": variants},
        title={"type": ["string", "null"], "description": "A few words for the person"},
        again={"type": ["boolean", "null"], "description": "true to run it although the same task is running"},
    )
    if definitions:
        parameters["$defs"] = definitions
    return ToolSpec(
        name="create_task",
        description="Files a long job that runs in the background. Returns its label at once; its end is announced.",
        parameters=parameters,
        strict=all(one.signature.strict for one in functions) and not too_much(parameters),
        keywords=tuple(keywords),
        kind="task",
    )


def _move_definitions(variant: JSON, definitions: dict[str, Any]) -> None:
    """References are looked up at the root: the variant's definitions move there, under names that mean one thing
    only.
    """
    properties = variant["properties"]
    own: dict[str, Any] = properties["arguments"].pop("$defs", {})
    others = {
        name: f"{properties['name']['enum'][0]}-{name}".replace(".", "-")
        for name, what in own.items()
        if definitions.get(name, what) != what
    }
    if others:
        text = to_json([properties["arguments"], own]).decode()
        for name, other in others.items():
            text = text.replace(f'"#/$defs/{name}"', f'"#/$defs/{other}"')
        properties["arguments"], own = from_json(text)
    definitions.update({others.get(name, name): what for name, what in own.items()})


def _variant(name: str, description: str, arguments: Mapping[str, Any]) -> JSON:
    return {
        "type": "object",
        "description": description,
        "properties": {"name": {"type": "string", "enum": [name]}, "arguments": dict(arguments)},
        "required": ["name", "arguments"],
        "additionalProperties": False,
    }
