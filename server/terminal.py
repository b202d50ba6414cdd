"""A person at a terminal: lines and commands in, news out, Ctrl-C. What is said to the server is in ``chat``."""

from __future__ import annotations

import asyncio
import signal
from typing import Final

from .chat import Chat
from .dialog import OVER, News, Remark
from .errors import AddressError
from .prompt import Prompt, terminal_kept
from .remote import RemoteError
from .render import Screen
from .task_commands import line_of

HELP: Final = """\
/tasks            what runs in the background
/cancel [T1]      cancel a task, or what is being answered
/answer T1 TEXT   answer the question of a task
/quit             leave; what runs goes on, and is there when you come back
Ctrl-C            cancel what is being answered; once more: leave"""


class Terminal:
    """Talks with a chat until the person leaves. Give `show` to the chat."""

    def __init__(self, screen: Screen) -> None:
        self._screen = screen
        self._typed: asyncio.Queue[str | None] = asyncio.Queue(1_000)
        self._prompt = Prompt(self._take)
        self._interrupted = False

    def show(self, news: News) -> None:
        with self._prompt.aside(stay_away=lambda: self._screen.is_speaking):
            self._screen.show(news)

    def remark(self, text: str) -> None:
        self.show(Remark(text))

    async def talk(self, chat: Chat) -> None:
        """Returns when the person leaves."""
        loop = asyncio.get_running_loop()
        loop.add_signal_handler(signal.SIGINT, self._interrupt, chat)
        try:
            with terminal_kept():
                self._prompt.start()
                while (line := await self._typed.get()) is not None:
                    self._interrupted = False
                    if line.strip() in ("/quit", "/exit"):
                        return
                    await self._obey(chat, line.strip())
        finally:
            self._prompt.leave()
            loop.remove_signal_handler(signal.SIGINT)

    def _take(self, line: str | None) -> None:
        if not self._typed.full():
            self._typed.put_nowait(line)

    def _interrupt(self, chat: Chat) -> None:
        """Ctrl-C: cancels what is being answered; the second one in a row leaves."""
        message = chat.dialog.cancel()
        if self._interrupted:
            self._take(None)
        elif message is not None:
            chat.link.send(message)
            self.remark("cancelling; Ctrl-C once more leaves")
        else:
            self.remark("Ctrl-C once more, or /quit, leaves")
        self._interrupted = True

    async def _obey(self, chat: Chat, line: str) -> None:
        command, _, rest = line.partition(" ")
        match command:
            case "":
                pass
            case "/help":
                for one in HELP.splitlines():
                    self.remark(one)
            case "/tasks":
                await self._tasks(chat)
            case "/cancel":
                self._cancel(chat, rest.strip())
            case "/answer":
                self._answer(chat, *rest.strip().partition(" ")[::2])
            case _ if command.startswith("/"):
                self.remark(f"there is no {command}; /help shows what there is")
            case _:
                chat.link.say(line)

    async def _tasks(self, chat: Chat) -> None:
        try:
            found = await chat.tasks()
        except (AddressError, RemoteError) as error:
            self.remark(str(error))
            return
        for task in found:
            self.remark(line_of(task))
        if not found:
            self.remark("no tasks in this conversation")

    def _cancel(self, chat: Chat, label: str) -> None:
        task = chat.dialog.task(label) if label else None
        message = {"type": "frontdesk:cancel", "task_id": task["id"]} if task else chat.dialog.cancel()
        if label and task is None:
            self.remark(f"there is no task {label} in this conversation; /tasks shows them")
        elif task is not None and task["status"] in OVER:
            self.remark(f"{label} is {task['status']} already")
        elif message is None:
            self.remark("nothing is being answered; /cancel T1 cancels a task")
        else:
            chat.link.send(message)

    def _answer(self, chat: Chat, label: str, text: str) -> None:
        task = chat.dialog.task(label)
        if task is None or not text:
            self.remark("/answer T1 TEXT answers the question of a task; /tasks shows them")
        else:
            chat.link.send({"type": "frontdesk:answer", "task_id": task["id"], "answer": text})
