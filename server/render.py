"""What is shown of a conversation, as lines of text: at a terminal in colours, at a pipe plain. Nothing is read."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, Final

from .news import Asked, Called, Ended, Moved, News, Refused, Remark, Said, TaskNews

if TYPE_CHECKING:
    from rich.console import Console

WIDTH: Final = 100  # characters of a call's arguments
STEP: Final = 0.25  # of a task's progress that is worth a line
CONTROL: Final = {code: None for code in (*range(32), *range(127, 160)) if chr(code) not in "\n\t"}


class Screen:
    """Writes news to a console. What an agent says is written as it comes."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self.is_speaking = False  # in the middle of a line
        self._progress: dict[str, float] = {}

    def show(self, news: News) -> None:
        match news:
            case Said(agent, text, begins):
                self._say(agent, text, begins=begins)
            case Called(_, tool, arguments, error):
                mark, colour = ("✗", "red") if error else ("✓", "green")
                said = f" {error}" if error else ""
                self.line((f"  {mark} ", colour), (f"{tool}({brief(arguments)}){said}", "dim"))
            case Moved(agent):
                self.line((f"  → {agent} takes over", "dim"))
            case TaskNews(what, task):
                self._task(what, task)
            case Ended(_, _, problem):
                self._end_line()
                if problem:
                    self.line((f"  {problem}", "yellow"))
            case Asked(agent, tool, arguments):
                who = f"{agent} wants to call " if agent else ""
                self.line((f"  ? {who}{tool}({brief(arguments)})", "magenta"), (": y, or n and why", "dim"))
            case Refused(_, message):
                self.line((f"  {message}", "red"))
            case Remark(text):
                self.line((f"  {text}", "dim"))

    def line(self, *pieces: tuple[str, str]) -> None:
        """A line of its own, of texts with their styles."""
        from rich.text import Text

        self._end_line()
        found = Text.assemble(*((_clean(text), style) for text, style in pieces))
        self._console.print(found, highlight=False, soft_wrap=True)

    def _say(self, agent: str, text: str, *, begins: bool) -> None:
        from rich.text import Text

        if begins:
            self._end_line()
            self._console.print(Text(f"{agent or 'desk'} · ", style="bold cyan"), end="")
        self._console.print(Text(_clean(text)), end="", highlight=False, soft_wrap=True)
        self.is_speaking = True

    def _end_line(self) -> None:
        if self.is_speaking:
            self._console.print()
        self.is_speaking = False

    def _task(self, what: str, task: dict[str, Any]) -> None:
        label = f"  {task['label']} {task['title'] or task['name']}"
        if task.get("question"):
            self.line((f"{label} asks: {task['question']} (answer with /answer {task['label']} …)", "magenta"))
        elif what == "finished":
            self.line((f"{label}: {task['status']}{', ' + task['error'] if task['error'] else ''}", "blue"))
        elif what == "created":
            self.line((f"{label}: filed, it runs in the background", "blue"))
        elif self._is_worth_a_line(task):
            self.line((f"{label}: {task['progress']:.0%} {task['message'] or ''}".rstrip(), "dim"))

    def _is_worth_a_line(self, task: dict[str, Any]) -> bool:
        progress = task["progress"]
        if task["status"] != "running" or progress is None or self.is_speaking:
            return False
        if progress - self._progress.get(task["id"], 0.0) < STEP:
            return False
        self._progress[task["id"]] = progress
        return True


def _clean(text: str) -> str:
    """Without what could steer the terminal."""
    return text.translate(CONTROL)


def brief(arguments: str) -> str:
    """A call's arguments in a few words."""
    try:
        found = json.loads(arguments)
        text = ", ".join(
            f"{name}={json.dumps(value, ensure_ascii=False)}" for name, value in found.items() if value is not None
        )
    except (ValueError, AttributeError):
        text = arguments
    return text if len(text) <= WIDTH else f"{text[: WIDTH - 1]}…"
