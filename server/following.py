"""Following tasks by looking at them again and again: what is news of a look. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final, TypeAlias

Task: TypeAlias = Mapping[str, Any]

SHOWN: Final = ("status", "progress", "message", "question", "attempt", "cancel_requested")  # a change of these is news


@dataclass(slots=True)
class Following:
    """Some tasks as they were when they were last seen."""

    live: dict[str, Task] = field(default_factory=dict[str, Task])
    unsuccessful: int = 0  # that ended otherwise than well

    def seen(self, tasks: Iterable[Task]) -> list[Task]:
        """The tasks of a look that are new or have changed; those that have ended are followed no longer."""
        return [task for task in tasks if self._is_news(task)]

    def missing(self, tasks: Iterable[Task]) -> list[str]:
        """The ids of followed tasks that are not among the live ones of a look: they have ended, or are gone."""
        found = {task["id"] for task in tasks}
        return [one for one in self.live if one not in found]

    def forget(self, task_id: str) -> None:
        """The task is there no longer."""
        self.live.pop(task_id, None)

    def _is_news(self, task: Task) -> bool:
        before = self.live.get(task["id"])
        if task["finished_at"] is not None:
            self.live.pop(task["id"], None)
            self.unsuccessful += task["status"] != "succeeded"
            return True
        self.live[task["id"]] = task
        return before is None or any(before[name] != task[name] for name in SHOWN)


def event_of(task: Task) -> dict[str, Any]:
    """News of a task as the event of the wire that says the same."""
    what = "updated" if task["finished_at"] is None else "finished"
    return {"type": f"frontdesk:task.{what}", "conversation": task["conversation"], "task": task}
