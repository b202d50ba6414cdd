"""A client for Python programs: one conversation with a desk, kept through lost connections and restarts.

    async with Client("http://127.0.0.1:8765") as desk:
        reply = await desk.ask("Make the refund report for month 2026-10, please.")
        async for news in desk.news():
            ...

What is asked is sent again until the server is known to have it, and is accepted once. After a lost connection it
resumes behind the last event that it has seen; what it has seen before is dropped by its cursor. Leaving cancels
nothing: come back with ``Client(address, conversation=desk.conversation, after=desk.cursor)``.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncGenerator, Callable
from dataclasses import dataclass, field
from typing import Any, Final, Self, cast

import anyio
import anyio.to_thread

from ..tasks.errors import FrontdeskError
from .dialog import OVER, Dialog, input_id_of
from .errors import AddressError
from .link import Link
from .news import JSON, Asked, Called, Ended, Moved, News, Refused, Remark, Said, TaskNews
from .remote import Remote, RemoteError

__all__ = [
    "AddressError", "Asked", "Called", "Client", "Ended", "Moved", "News", "NotAccepted", "Refused", "Remark",
    "RemoteError", "Reply", "Said", "TaskNews",
]  # fmt: skip

NEWS: Final = 10_000  # that wait for a reader; beyond: the oldest are dropped


class NotAccepted(FrontdeskError):
    """The server has refused what was asked; ``code`` is the protocol's."""

    def __init__(self, message: str, code: str) -> None:
        super().__init__(message)
        self.code = code


@dataclass(frozen=True, slots=True)
class Reply:
    """How a response ended: ``status`` is completed, incomplete, failed or cancelled, and ``problem`` says why."""

    response_id: str
    status: str
    text: str
    problem: str = ""
    response: JSON = field(default_factory=dict[str, Any], repr=False)  # all of it, as the API has it


class Client:
    """One conversation with the desk of a running server. Use it in ``async with``.

    Args:
        address: ``http://HOST:PORT``, with or without ``/v1``.
        token: What the server wants as a bearer, when it wants one.
        conversation: One to go on with, by its id; else a new one begins with the first input.
        after: The `cursor` of an earlier client: what came after it is news. Without it, news begin now.
        model: The agent that takes what is asked here; the desk decides when it is not given.
        patience: Seconds for which a lost connection may stay away.
        dialog: What an earlier client knew, instead of ``conversation`` and ``after``.
        show: Called with all news as they come.
    """

    def __init__(
        self,
        address: str,
        *,
        token: str = "",
        conversation: str | None = None,
        after: str | None = None,
        model: str | None = None,
        patience: float = 60.0,
        dialog: Dialog | None = None,
        show: Callable[[News], None] | None = None,
    ) -> None:
        self.dialog = dialog or Dialog(conversation, None if after is None else int(after))
        self._link = Link(address, self.dialog, self._take, token=token, patience=patience)
        self._remote, self._model, self._show = Remote(address, token), model, show
        self._replies: dict[str, Reply | Refused] = {}  # by input id
        self._wanted: set[str] = set()  # input ids that somebody waits for
        self._readers: list[deque[News]] = []
        self._lost: Exception | None = None
        self._running: asyncio.Task[None] | None = None

    async def __aenter__(self) -> Self:
        """Connects in the background; what is asked meanwhile waits."""
        # Not a task group: a client may be opened in one task and closed in another (fixtures, an application's state).
        self._running = asyncio.create_task(self._stay_connected(), name="frontdesk-client")
        return self

    async def __aexit__(self, *reason: object) -> None:
        assert self._running is not None
        self._running.cancel()
        with anyio.CancelScope(shield=True):
            await asyncio.wait([self._running])

    async def _stay_connected(self) -> None:
        try:
            await self._link.run()
        except Exception as error:  # whoever waits raises it
            self._lost = error
            self._link.wake_waiters()

    # --- where it is

    @property
    def conversation(self) -> str | None:
        """The conversation's id, as soon as there is one."""
        return self.dialog.conversation

    @property
    def cursor(self) -> str | None:
        """Everything up to it has been seen: an opaque text to resume after."""
        return None if self.dialog.cursor is None else str(self.dialog.cursor)

    # --- asking

    async def ask(self, given: str | list[JSON], **fields: Any) -> Reply:
        """Says something and waits for the end of the answer; it is cancelled here, not there, by the caller's scope.

        ``given``: a text, or input items as the API has them; ``fields``: further ones of ``response.create``. Raises
        NotAccepted, and AddressError when the connection is lost for good.
        """
        extra = fields if self._model is None else {"model": self._model, **fields}
        return await self._answer_to(self.dialog.say(given, **extra))

    async def steer(self, text: str) -> Reply:
        """Says something to what is being answered: that ends at its next boundary, and the reply is of what follows.
        When nothing is being answered, it is asked like anything else. Raises as `ask`.
        """
        return await self._answer_to(self.dialog.steer(text))

    async def approve(self, request_id: str, *, approve: bool = True, reason: str = "") -> Reply:
        """Answers an `Asked`, whoever asked for it and however long ago; the reply is what follows. Raises as `ask`."""
        return await self._answer_to(self.dialog.approve(request_id, approve=approve, reason=reason))

    async def _answer_to(self, message: JSON) -> Reply:
        input_id = input_id_of(message)
        self._wanted.add(input_id)
        self._link.look()
        try:
            await self.until(lambda: input_id in self._replies)
        finally:
            self._wanted.discard(input_id)
        found = self._replies.pop(input_id)
        if isinstance(found, Refused):
            raise NotAccepted(found.message, found.code)
        return found

    def say(self, text: str) -> None:
        """Says something without waiting: what comes of it is news."""
        self.dialog.say(text)
        self._link.look()

    def decide(self, request_id: str, *, approve: bool, reason: str = "") -> None:
        """As `approve`, without waiting for what follows."""
        self.dialog.approve(request_id, approve=approve, reason=reason)
        self._link.look()

    # --- acting

    def cancel(self, task: str | None = None) -> bool:
        """Cancels a task, by its label or id, or what is being answered; whether there was one."""
        found = self.dialog.task(task) if task is not None else None
        message = self.dialog.cancel() if task is None else None
        if found is not None and found["status"] not in OVER:
            message = {"type": "frontdesk:cancel", "task_id": found["id"]}
        if message is not None:
            self._link.send(message)
        return message is not None

    def answer(self, task: str, answer: Any) -> bool:
        """Answers the question of a task, by its label or id; whether there is such a task."""
        found = self.dialog.task(task)
        if found is not None:
            self._link.send({"type": "frontdesk:answer", "task_id": found["id"], "answer": answer})
        return found is not None

    def send(self, message: JSON) -> None:
        """Any other message of the protocol, once, as soon as there is a connection."""
        self._link.send(message)

    # --- hearing

    async def news(self) -> AsyncGenerator[News]:
        """Everything that happens in the conversation from now on, whoever caused it. Raises AddressError when the
        connection is lost for good. Of more than ten thousand that nobody reads, the oldest are dropped.
        """
        waiting: deque[News] = deque(maxlen=NEWS)
        self._readers.append(waiting)
        try:
            while True:
                while waiting:
                    yield waiting.popleft()
                await self.until(lambda: bool(waiting))
        finally:
            self._readers.remove(waiting)

    async def until(self, test: Callable[[], bool]) -> None:
        """Returns when the test is fulfilled; it is made after each event. Raises AddressError when the connection is
        lost for good."""
        await self._link.until(lambda: test() or self._lost is not None)
        if self._lost is not None and not test():
            raise self._lost

    async def connected(self) -> None:
        """Returns when the server has let us in for the first time. Raises AddressError when it does not."""
        await self.until(lambda: self._link.has_met)

    async def tasks(self) -> list[JSON]:
        """The conversation's tasks, as the server knows them, oldest first; they can be named by their labels from
        then on. Raises AddressError, RemoteError.
        """
        if self.dialog.conversation is None:
            return []
        found = await anyio.to_thread.run_sync(
            lambda: self._remote.get("tasks", conversation=self.dialog.conversation, limit=100)
        )
        tasks = cast("list[JSON]", list(reversed(found["data"])))
        for task in tasks:
            self.dialog.tasks.setdefault(task["id"], task)
        return tasks

    def _take(self, news: News) -> None:
        match news:
            case Ended(response_id, status, problem, response, inputs):
                for input_id in self._wanted.intersection(inputs):
                    self._replies[input_id] = Reply(response_id, status, text_of(response), problem, response)
            case Refused(input_id) if input_id in self._wanted:
                self._replies[input_id] = news
            case _:
                pass
        for waiting in self._readers:
            waiting.append(news)
        if self._show is not None:
            self._show(news)


def text_of(response: JSON) -> str:
    """What a response says, without its calls, and without what was begun and then said anew: when a turn is handed to
    another worker in the middle of a message, or a model's stream breaks."""
    said = [item for item in response.get("output", ()) if item["type"] == "message"]
    messages = [item for item in said if item is said[-1] or item.get("status") != "incomplete"]
    return "\n\n".join("".join(part.get("text", "") for part in item["content"]) for item in messages)
