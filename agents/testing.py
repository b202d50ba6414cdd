"""For tests of desks: scripted models, a desk at work in memory, and what it has called. Needs no network and no key.

    async def test_the_clerk_looks_the_order_up() -> None:
        script = [call("order_status", {"order_id": 7}), say("It is on its way.")]
        async with rehearsal(desk, script) as at_work:
            answer = await at_work.ask("Where is order 7?")
        assert answer.text == "It is on its way."
        assert_calls(answer, ("order_status", {"order_id": 7}))

Tools and task functions are the desk's own and really run; only its models are replaced.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, Iterable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any, TypeAlias

import anyio
from pydantic_core import from_json
from typing_extensions import Unpack

from ..broker.database import Database
from .answer import Answer
from .caller import RunOptions, caller_of
from .desk import Desk
from .model import JSON, Model
from .models.scripted import Gate as Gate
from .models.scripted import ReplyFunction, Scripted, ScriptedModel
from .models.scripted import ScriptedReply as ScriptedReply
from .models.scripted import call as call
from .models.scripted import calls as calls
from .models.scripted import delay as delay
from .models.scripted import done as done
from .models.scripted import fail as fail
from .models.scripted import say as say
from .models.scripted import think as think
from .models.scripted import wait as wait
from .single_run import Place, ask_at, throw_away_folder

Expected: TypeAlias = str | tuple[str, Mapping[str, Any]]  # the name of a tool, or its name and arguments


@dataclass(frozen=True, slots=True)
class Called:
    """A call that the desk has run: its name as models know it, the arguments, and what came of it."""

    name: str
    arguments: Any
    output: str | None
    error: str | None


class Rehearsal:
    """A desk at work: one conversation with it. ``model`` is what its agents are played by."""

    def __init__(self, desk: Desk[Any], database: Database, model: Model) -> None:
        self.desk, self.model = desk, model
        self._database, self._place = database, Place()

    async def ask(self, text: str, **options: Unpack[RunOptions]) -> Answer[Any]:
        """Says something, and waits until the desk has answered and every task that it filed has ended.

        The next call goes on with the same conversation. ``options`` are those of `Desk.run`: ``timeout=`` (60 seconds
        by default), ``approve=``, ``calls=``. Raises TurnFailed, NobodyAnswers, TimeoutError.
        """
        with anyio.fail_after(options.get("timeout", 60.0)):
            caller = caller_of(options)
            answer, self._place = await ask_at(self.desk, self._database, text, self._place, caller)
        return answer


@asynccontextmanager
async def rehearsal(
    desk: Desk[Any],
    script: Model | Iterable[Scripted | ReplyFunction] | ReplyFunction = (),
    **options: Any,
) -> AsyncGenerator[Rehearsal]:
    """A desk at work in memory, with its own tools and tasks, and ``script`` in place of every model.

    ``script``: the replies of one `ScriptedModel` (say, call …), or any model, such as ``OfflineModel()``. ``options``
    are those of ``Desk.worker``, such as ``tasks=4``. Everything is thrown away at the end.
    """
    model = ScriptedModel(script) if callable(script) or isinstance(script, Iterable) else script
    played = desk.played_by(model)
    with throw_away_folder() as folder:
        database = Database.open(f"sqlite:///{folder}/desk.db", durable=False)
        try:
            chosen: dict[str, Any] = {"schedules": False, **options}
            worker = played.worker(database, **chosen)
            worker.start()
            try:
                yield Rehearsal(played, database, model)
            finally:
                with anyio.CancelScope(shield=True):
                    await worker.stop(0.0)
        finally:
            database.close()


def calls_of(answer: Answer[Any]) -> list[Called]:
    """The calls that the desk has run for an answer, in their order; those of its task tools and handoffs too."""
    return [
        Called(_name(item), from_json(item["arguments"] or "{}"), item.get("output"), _said(item.get("error")))
        for response in answer.responses
        for item in response["output"]
        if item["type"] == "mcp_call"
    ]


def assert_calls(answer: Answer[Any], *expected: Expected) -> None:
    """Exactly these calls were run, in this order. A name alone stands for any arguments.

    Raises AssertionError, which shows what was called instead.
    """
    found = calls_of(answer)
    fits = len(found) == len(expected) and all(
        one.name == wanted if isinstance(wanted, str) else (one.name, one.arguments) == wanted
        for one, wanted in zip(found, expected, strict=True)
    )
    if not fits:
        called = "\n".join(f"  {one.name}({one.arguments})" for one in found) or "  nothing"
        wanted = "\n".join(f"  {one if isinstance(one, str) else f'{one[0]}({one[1]})'}" for one in expected)
        raise AssertionError(f"expected these calls:\n{wanted or '  none'}\nbut the desk called:\n{called}")


def _name(item: JSON) -> str:
    label = item["server_label"]
    return str(item["name"] if label in ("desk", "tasks", "handoff") else f"{label}-{item['name']}")


def _said(error: Any) -> str | None:
    if error is None or isinstance(error, str):
        return error
    shown: JSON = error
    return str(shown.get("message") or shown.get("content") or shown)
