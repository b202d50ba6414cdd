"""What a person types: a message, or a command that begins with a slash. How it is typed is in ``terminal``."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from .chat import Chat
from .dialog import OVER
from .errors import AddressError
from .remote import RemoteError
from .task_lines import line_of

HELP: Final = """\
/tasks            what runs in the background
/cancel [T1]      cancel a task, or what is being answered
/answer T1 TEXT   answer the question of a task
y, or n and WHY   answer what waits for your approval
/quit             leave; what runs goes on, and is there when you come back
Ctrl-C            cancel what is being answered; once more: leave"""


class Typed:
    """Carries out what is typed; ``remark`` shows a line of the program itself."""

    def __init__(self, chat: Chat, remark: Callable[[str], None]) -> None:
        self._chat, self._remark = chat, remark

    async def obey(self, line: str) -> bool:
        """Whether the person stays."""
        command, _, rest = line.strip().partition(" ")
        match command:
            case "/quit" | "/exit":
                return False
            case "":
                pass
            case "/help":
                for one in HELP.splitlines():
                    self._remark(one)
            case "/tasks":
                await self._tasks()
            case "/cancel":
                self._cancel(rest.strip())
            case "/answer":
                self._answer(*rest.strip().partition(" ")[::2])
            case _ if command.startswith("/"):
                self._remark(f"there is no {command}; /help shows what there is")
            case _:
                self._chat.say(line.strip())
        return True

    async def _tasks(self) -> None:
        try:
            found = await self._chat.client.tasks()
        except (AddressError, RemoteError) as error:
            self._remark(str(error))
            return
        for task in found:
            self._remark(line_of(task))
        if not found:
            self._remark("no tasks in this conversation")

    def _cancel(self, label: str) -> None:
        chat = self._chat
        task = chat.dialog.task(label) if label else None
        message = {"type": "frontdesk:cancel", "task_id": task["id"]} if task else chat.dialog.cancel()
        if label and task is None:
            self._remark(f"there is no task {label} in this conversation; /tasks shows them")
        elif task is not None and task["status"] in OVER:
            self._remark(f"{label} is {task['status']} already")
        elif message is None:
            self._remark("nothing is being answered; /cancel T1 cancels a task")
        else:
            chat.client.send(message)

    def _answer(self, label: str, text: str) -> None:
        task = self._chat.dialog.task(label)
        if task is None or not text:
            self._remark("/answer T1 TEXT answers the question of a task; /tasks shows them")
        else:
            self._chat.client.send({"type": "frontdesk:answer", "task_id": task["id"], "answer": text})
