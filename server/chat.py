"""`frontdesk chat` without its terminal: a client, what it remembers, and how a script at a pipe talks."""

from __future__ import annotations

import json
import sys
from collections.abc import Awaitable, Callable
from contextlib import suppress
from pathlib import Path
from typing import Any, Final, TextIO

import anyio
import anyio.to_thread
from anyio import CancelScope

from ..agents.approvals import decision
from .client import Client
from .commands import Exit
from .dialog import OVER, Dialog
from .errors import AddressError
from .news import Ended, News, Refused, Remark, TaskNews
from .remote import RemoteError

NOTICE_SECONDS: Final = 10.0  # for the desk to say that a task has ended


class Chat:
    """One conversation with a server. ``memory`` is the file that says where the last one was left."""

    def __init__(
        self, address: str, dialog: Dialog, show: Callable[[News], None], *, memory: Path, token: str = ""
    ) -> None:
        self.dialog, self.failed = dialog, False
        self.client = Client(address, token=token, dialog=dialog, show=self._news)
        self._memory, self._show = memory, show
        self._problem: AddressError | None = None

    async def run(self, talk: Callable[[], Awaitable[None]]) -> Exit:
        """Stays connected while ``talk`` runs. Raises AddressError when there is no server, or no more."""
        async with self.client, anyio.create_task_group() as group:
            group.start_soon(self._watch, group.cancel_scope)
            try:
                await self.client.connected()  # before anything is read: to whom else could it be said?
                with suppress(RemoteError):
                    await self.client.tasks()  # what was running when the conversation was left; its news come later
                await talk()
            except AddressError as error:  # it waited for the server itself
                self._problem = error
            group.cancel_scope.cancel()
        self._remember()
        if self._problem is not None:
            raise self._problem
        return Exit.FAILED if self.failed else Exit.OK

    def say(self, line: str) -> None:
        """Sends what a person says; a yes or a no is the answer to what waits for an approval, if anything does."""
        decided = decision(line) if self.dialog.approvals else None
        if decided is None:
            self.client.say(line)
            return
        oldest = next(iter(self.dialog.approvals))
        self.client.decide(oldest, approve=decided["approve"], reason=decided["reason"] or "")
        for one in self.dialog.asked()[:1]:  # the next one
            self._show(one)

    async def _watch(self, chat: CancelScope) -> None:
        try:
            await self.client.until(lambda: False)
        except AddressError as error:
            self._problem = error
            chat.cancel()

    def _news(self, news: News) -> None:
        match news:
            case Ended(_, "failed") | Refused():
                self.failed = True
            case TaskNews("finished", task) if task["status"] in OVER - {"succeeded", "cancelled"}:
                self.failed = True
            case _:
                pass
        self._show(news)
        if isinstance(news, Ended):
            self._remember()

    def _remember(self) -> None:
        """Writes down where the conversation is, so that it can be gone on with."""
        if self.dialog.conversation is None:
            return
        dialog, new = self.dialog, self._memory.with_suffix(".new")
        left: dict[str, Any] = {"conversation": dialog.conversation, "cursor": dialog.cursor}
        left |= {"ahead": sorted(dialog.ahead), "approvals": list(dialog.approvals.values())}
        new.write_text(json.dumps(left), "utf-8")
        new.replace(self._memory)

    async def pipe(self, lines: TextIO) -> None:
        """One message per line, each answered before the next is sent; then waits for the tasks that still run."""
        while line := await anyio.to_thread.run_sync(lines.readline, abandon_on_cancel=True):
            if line.strip():
                self.say(line.strip())
                await self.client.until(lambda: not self.dialog.is_waiting)
        await self._wait_for_tasks()

    async def _wait_for_tasks(self) -> None:
        """Until nothing of the conversation runs any more, and the desk has said what became of it."""
        known: list[str] = []
        while (filed := await self._settled()) != known:  # the answer to a notice may have filed more
            known = filed
        asking = [
            task["label"] for task in self.dialog.tasks.values() if task.get("question") and task["status"] not in OVER
        ]
        if waiting := [one.tool for one in self.dialog.asked()]:
            self._show(Remark(f"{', '.join(waiting)} waits for your approval; come back with frontdesk chat"))
        if asking:
            self._show(Remark(f"{', '.join(asking)} waits for an answer; come back with frontdesk chat"))

    async def _settled(self) -> list[str]:
        """Waits until the tasks that there are now have ended; their ids."""
        filed = [task["id"] for task in await self.client.tasks()]
        await self.client.until(lambda: all(map(self._is_over, filed)))
        with anyio.move_on_after(NOTICE_SECONDS):
            await self.client.until(lambda: not self.dialog.untold)
        self.dialog.untold.clear()
        await self.client.until(lambda: not self.dialog.running)
        return filed

    def _is_over(self, task_id: str) -> bool:
        """Whether the news has come that a task has ended, or waits for a person."""
        task = self.dialog.tasks.get(task_id)
        return task is not None and (task["status"] in OVER or bool(task.get("question")))


def recall(memory: Path, wanted: str) -> Dialog:
    """The dialog to go on with: ``last``, ``new``, or a conversation's id."""
    if wanted == "new":
        return Dialog()
    try:
        left = json.loads(memory.read_text("utf-8"))
        found = Dialog(str(left["conversation"]), int(left["cursor"]), ahead=set(left["ahead"]))
        found.approvals = {str(one["id"]): one for one in left.get("approvals", ())}
    except (OSError, ValueError, KeyError, TypeError):
        found = Dialog()
    return found if wanted in ("last", found.conversation) else Dialog(conversation=wanted)


def stdin_lines() -> TextIO:
    """Standard input; what is not UTF-8 is replaced, not fatal."""
    reconfigure = getattr(sys.stdin, "reconfigure", None)  # what tests and embedders put there may lack it
    if reconfigure is not None:
        reconfigure(errors="replace")
    return sys.stdin
