"""A call: one function that waits for the writer, who is to be told, and how they are told. No transaction is here."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import Future
from functools import partial
from typing import Any, Generic, TypeVar

from .connection import Connection
from .posts import post

T = TypeVar("T")


class Call(Generic[T]):
    """One function that waits for the writer, and who is to be told: an event loop's future, a thread's, or nobody."""

    __slots__ = (
        "args", "error", "first", "frees", "function", "future", "give_back", "kwargs", "loop", "result", "waiting",
    )  # fmt: skip

    def __init__(
        self,
        function: Callable[..., T],
        args: Sequence[Any] = (),
        kwargs: Mapping[str, Any] | None = None,
        *,
        first: bool = False,
        give_back: Callable[[Connection, T], object] | None = None,
        frees: object = None,
    ) -> None:
        self.function, self.args, self.kwargs = function, args, kwargs or {}
        self.first, self.give_back, self.frees = first, give_back, frees
        self.future: asyncio.Future[T] | None = None
        self.loop: asyncio.AbstractEventLoop | None = None
        self.waiting: Future[T] | None = None
        self.result: Any = None
        self.error: BaseException | None = None

    @property
    def name(self) -> str:
        """The function's name, which failpoints know it by."""
        return getattr(self.function, "__name__", "")

    def failed(self, error: BaseException, cause: BaseException | None = None) -> None:
        """Notes the error that the caller gets. A future does not take a StopIteration."""
        self.result = None
        self.error = RuntimeError(repr(error)) if isinstance(error, StopIteration) else error
        if cause is not None and cause is not error:
            self.error.__cause__ = cause

    def abandoned(self) -> bool:
        """Whether the caller has gone before the function began."""
        return self.future is not None and self.future.cancelled()


def deliver(calls: Iterable[Call[Any]], undo: Callable[[Call[Any]], None]) -> None:
    """Tells every caller its result or error; a result that nobody receives is given to ``undo``."""
    by_loop: dict[asyncio.AbstractEventLoop, list[Call[Any]]] = {}
    for call in calls:
        if call.waiting is not None:
            if call.error is not None:
                call.waiting.set_exception(call.error)
            else:
                call.waiting.set_result(call.result)
        elif call.loop is not None:
            by_loop.setdefault(call.loop, []).append(call)
    for loop, of_loop in by_loop.items():
        post(loop, partial(_resume, of_loop, undo), partial(_undo_all, of_loop, undo))


def _undo_all(calls: Sequence[Call[Any]], undo: Callable[[Call[Any]], None]) -> None:
    for call in calls:
        undo(call)


def _resume(calls: Sequence[Call[Any]], undo: Callable[[Call[Any]], None]) -> None:
    for call in calls:
        future = call.future
        if future is None or future.done():
            undo(call)
        elif call.error is not None:
            future.set_exception(call.error)
        else:
            future.set_result(call.result)
