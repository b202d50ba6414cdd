"""Running the calls of one reply: in parallel or in order, each with a time-out, each with exactly one output.

Whatever a tool does (raises, hangs, returns nonsense, is called with nonsense) becomes text for the model here.
What the outputs mean for the turn is decided in ``step``; this file knows neither items nor the database.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from difflib import get_close_matches
from typing import Any, Final, Literal, TypeAlias, cast

import anyio

from ..tasks.errors import ArgumentsError, ResultError, ResultTooLarge, ToolError
from .context import Context
from .places import Places
from .threads import Place
from .tool import Tool

log = logging.getLogger("frontdesk.calls")

_MOST_NAMES: Final = 20


@dataclass(frozen=True, slots=True)
class Call:
    """One call of a reply. ``name`` is the name on the model's wire; ``arguments`` is the model's own text."""

    call_id: str
    name: str
    arguments: str


Kind: TypeAlias = Literal["result", "error", "timeout", "interrupted", "unknown_tool"]


@dataclass(frozen=True, slots=True)
class CallOutput:
    """What became of a call, as text for the model. ``value`` is what the tool returned, before it was made text."""

    call_id: str
    output: str
    error: bool = False
    kind: Kind = "result"
    value: Any = field(default=None, repr=False, compare=False)
    kept: str | None = field(default=None, repr=False, compare=False)  # the whole of it, when ``output`` is a part


RunOne: TypeAlias = Callable[[Call], Awaitable[CallOutput]]
Done: TypeAlias = Callable[[CallOutput], Awaitable[None]]


def one_by_one(call: Call) -> bool:
    """For ``alone``: no call runs beside another."""
    return True


async def run_calls(
    calls: Sequence[Call], run_one: RunOne, *, parallel: bool, alone: Callable[[Call], bool], done: Done
) -> list[CallOutput]:
    """Run ``calls`` and return their outputs in the order of the calls.

    Neighbours run in parallel; a call for which ``alone`` is true runs by itself, after those before it and before
    those behind it. With ``parallel=False`` all do. ``done`` is awaited for each output as soon as it is there
    (several at once, when several end at once): a finished call is safe before its siblings end.

    When ``run_one`` or ``done`` raises, the siblings are cancelled and that exception is raised as it is. A
    cancellation of the caller cancels every call.
    """

    async def one(call: Call) -> CallOutput:
        output = await run_one(call)
        await done(output)
        return output

    outputs: list[CallOutput] = []
    for group in _groups(calls, one_by_one if not parallel else alone):
        outputs += [await one(group[0])] if len(group) == 1 else await _together(group, one)
    return outputs


def _groups(calls: Iterable[Call], alone: Callable[[Call], bool]) -> Iterator[list[Call]]:
    """The calls in their order, those that may run side by side in one list."""
    group: list[Call] = []
    for call in calls:
        if not alone(call):
            group.append(call)
            continue
        if group:
            yield group
        yield [call]
        group = []
    if group:
        yield group


async def _together(calls: Sequence[Call], one: RunOne) -> list[CallOutput]:
    outputs: dict[int, CallOutput] = {}
    failures: list[Exception] = []

    async def keep(position: int, call: Call) -> None:
        try:
            outputs[position] = await one(call)
        except Exception as error:  # raised below, without the group that a task group would wrap it in
            failures.append(error)
            tasks.cancel_scope.cancel()

    async with anyio.create_task_group() as tasks:
        for position in range(1, len(calls)):
            tasks.start_soon(keep, position, calls[position])
        await keep(0, calls[0])  # here: a task less
    if failures:
        raise failures[0]
    return [outputs[position] for position in range(len(calls))]


async def run_tool(
    tool: Tool,
    call: Call,
    context: Context[Any],
    *,
    limiter: anyio.CapacityLimiter | None = None,
    places: Places | None = None,
    text: Callable[[Any], str] | None = None,
) -> CallOutput:
    """Run one call and say in text what became of it. Raises nothing but the caller's own cancellation.

    ``limiter`` bounds the threads of tools that are not async: one per desk. ``places`` are those of tools with a
    limit of their own (they do not count for ``limiter``); waiting for one is no part of a call's time. ``text`` makes
    text of what the tool returned (`Tool.text` by default); that value itself is in the output's ``value``.
    """
    if tool.concurrency_limit is None or places is None:
        return await _run(tool, call, context, limiter, None, text)
    place = await places.take(tool)
    if place is None:
        return _busy(tool, call, context)
    try:
        return await _run(tool, call, context, limiter, place, text)
    finally:
        if not place.lent:  # else its thread gives it back, which may still run
            place.give_back()


async def _run(
    tool: Tool,
    call: Call,
    context: Context[Any],
    limiter: anyio.CapacityLimiter | None,
    place: Place | None,
    text: Callable[[Any], str] | None,
) -> CallOutput:
    task = asyncio.current_task()
    cancels = task.cancelling() if task else 0
    try:
        with anyio.move_on_after(tool.timeout) as scope:
            value = await tool.call(call.arguments, context, limiter=limiter, place=place)
            return CallOutput(call.call_id, (text or tool.text)(value), value=value)
    except asyncio.CancelledError as error:
        if task is None or task.cancelling() > cancels:
            raise
        return _failed(tool, call, context, error)  # something that the tool awaited was cancelled, not this call
    except (Exception, SystemExit, BaseExceptionGroup) as error:
        return _failed(tool, call, context, error)
    except KeyboardInterrupt as error:
        if tool.signature.is_async:
            raise  # perhaps somebody's Ctrl-C
        return _failed(tool, call, context, error)  # no thread gets one: the tool has raised it
    assert scope.cancelled_caught
    return _timed_out(tool, call, context)


def _busy(tool: Tool, call: Call, context: Context[Any]) -> CallOutput:
    log.warning("tool %s had no place for a call in time (%s)", call.name, _where(call, context))
    text = f"The tool {call.name} is busy with other calls, and this one was not begun. Try again later."
    return CallOutput(call.call_id, text, True, "timeout")


def _timed_out(tool: Tool, call: Call, context: Context[Any]) -> CallOutput:
    thread = "" if tool.signature.is_async else "; its thread cannot be stopped and is left to end by itself"
    log.warning("tool %s timed out after %g s%s (%s)", call.name, tool.timeout, thread, _where(call, context))
    advice = (
        "It is safe to call it again."
        if tool.idempotent
        else "Its outcome is unknown: it may have taken effect. Find out before you call it again."
    )
    return CallOutput(
        call.call_id,
        f"The tool {call.name} did not end within {tool.timeout:g} s and was given up. {advice}",
        True,
        "timeout",
    )


def _failed(tool: Tool, call: Call, context: Context[Any], error: BaseException) -> CallOutput:
    cause = _cause(error)
    match cause:
        case ResultTooLarge():
            log.error("tool %s: %s (%s)", call.name, cause, _where(call, context))
            text = f"The tool {call.name} ran, but its result is too large, {cause.size:,} bytes. Ask it for less."
        case ArgumentsError() | ToolError():
            text = str(cause) or f"The tool {call.name} failed."
        case ResultError():
            log.error("tool %s: %s (%s)", call.name, cause, _where(call, context))
            text = (
                f"The tool {call.name} ran, but what it returned cannot be shown: internal error. Do not call it again."
            )
        case _:
            log.error("tool %s failed (%s)", call.name, _where(call, context), exc_info=cause)
            text = (
                f"The tool {call.name} failed: internal error ({type(cause).__name__}). "
                "The same call is likely to fail again: try another way, or say that it did not work."
            )
    return CallOutput(call.call_id, text, True, "error")


def _cause(error: Any) -> BaseException:
    """The exception inside groups that hold only one: what a task group in a tool makes of it."""
    while isinstance(error, BaseExceptionGroup) and len(cast(Any, error).exceptions) == 1:
        error = cast(Any, error).exceptions[0]
    return cast(BaseException, error)


def _where(call: Call, context: Context[Any]) -> str:
    return f"call {call.call_id}, conversation {context.conversation_id}"


def unknown_tool(name: str, known: Iterable[str]) -> str:
    """The text for a call of a tool that does not exist, with the names that the model may have meant."""
    names = sorted(set(known))
    if not names:
        return f"There is no tool {name!r}, and no other tool either. Answer without one."
    folded = {one.casefold(): one for one in names}
    if near := get_close_matches(name.casefold(), folded, n=3, cutoff=0.5):
        return f"There is no tool {name!r}. Did you mean {' or '.join(folded[one] for one in near)}?"
    more = ", …" if len(names) > _MOST_NAMES else ""
    return f"There is no tool {name!r}. There are: {', '.join(names[:_MOST_NAMES])}{more}."
