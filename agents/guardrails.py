"""Guardrails: functions of the application that read what a person asks or what an agent would say, and may stop it.

Whether one is asked, and what follows, is in ``loop`` and ``asking``.
"""

from __future__ import annotations

import inspect
import logging
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, Final, TypeAlias

import anyio
from anyio import CapacityLimiter

from .context import Context
from .errors import FunctionFailed
from .hooks import name_of
from .threads import in_thread

log = logging.getLogger("frontdesk.guardrails")

TIMEOUT: Final = 30.0

Guardrail: TypeAlias = Callable[[str, Context[Any]], Awaitable[str | None] | str | None]


@dataclass(frozen=True, slots=True)
class Tripped:
    """Which guardrail has stopped it, and what the person is told instead."""

    guardrail: str
    text: str


async def tripped_by(
    guardrails: Sequence[Guardrail], text: str, context: Context[Any], limiter: CapacityLimiter | None
) -> Tripped | None:
    """Asks all of them side by side; the first that stops it, or None. The others are cancelled then.

    Raises FunctionFailed when one fails or takes longer than `TIMEOUT` seconds: what nobody has checked does not pass.
    """
    found: list[Tripped] = []
    failures: list[FunctionFailed] = []

    async def ask(guardrail: Guardrail) -> None:
        try:
            told = await _asked(guardrail, text, context, limiter)
        except FunctionFailed as error:
            failures.append(error)
            group.cancel_scope.cancel()
        else:
            if told is not None:
                found.append(Tripped(name_of(guardrail), told))
                group.cancel_scope.cancel()

    async with anyio.create_task_group() as group:
        for one in guardrails:
            group.start_soon(ask, one)
    if found:
        return found[0]
    if failures:
        raise failures[0]
    return None


async def _asked(guardrail: Guardrail, text: str, context: Context[Any], limiter: CapacityLimiter | None) -> str | None:
    name = name_of(guardrail)
    try:
        with anyio.fail_after(TIMEOUT):
            if inspect.iscoroutinefunction(guardrail):
                told: Any = await guardrail(text, context)
            else:
                told = await in_thread(partial(guardrail, text, context), limiter)
                told = await told if inspect.isawaitable(told) else told
    except TimeoutError as error:
        log.error("the guardrail %s did not end within %g s", name, TIMEOUT)
        raise FunctionFailed(f"the guardrail {name}", "it did not end in time") from error
    except Exception as error:
        log.exception("the guardrail %s failed", name)
        raise FunctionFailed(f"the guardrail {name}", f"internal error ({type(error).__name__})") from error
    if told is None or isinstance(told, str):
        return told
    log.error("the guardrail %s returned %r, neither None nor a text", name, told)
    raise FunctionFailed(f"the guardrail {name}", "it returned neither None nor a text")
