"""``frontdesk tasks tail``: looks at a server's live tasks at an interval, until they have ended, and shows the news.

It asks over HTTP and is not subscribed to an event log: there is a log for each conversation, and none for tasks that
belong to no conversation, while one look finds all that are live by their index, and a server that was restarted in
between is simply asked again. A task that begins and ends between two looks is not seen.
"""

from __future__ import annotations

import json
import time
from collections.abc import Generator
from contextlib import contextmanager
from typing import Final, Protocol

from rich.console import Console
from rich.progress import BarColumn, Progress, TaskID, TaskProgressColumn, TextColumn

from ..tasks.errors import FrontdeskError
from .errors import AddressError
from .following import Following, Task, event_of
from .remote import Remote, RemoteError
from .task_lines import clean, news_line

PAGE: Final = 100
PAGES: Final = 10  # of live tasks that are followed at once: a thousand
AWAY_SECONDS: Final = 30.0  # how long a server that is being restarted is waited for


class StillLive(FrontdeskError):
    """The time is over, and not every task has ended."""

    def __init__(self, count: int, seconds: float) -> None:
        super().__init__(f"{count} {'task is' if count == 1 else 'tasks are'} still live after {seconds:g} s")


class Show(Protocol):
    """Where the news go."""

    def news(self, task: Task) -> None: ...

    def remark(self, text: str) -> None: ...


class Lines:
    """A line for each piece of news, in a pipe or for programs."""

    def __init__(self, console: Console, *, as_json: bool) -> None:
        self._console, self._as_json = console, as_json

    def news(self, task: Task) -> None:
        text = json.dumps(event_of(task), ensure_ascii=False) if self._as_json else news_line(task)
        self._console.file.write(f"{text}\n")
        self._console.file.flush()

    def remark(self, text: str) -> None:
        if not self._as_json:
            self._console.print(text, markup=False, highlight=False, soft_wrap=True)


class Bars:
    """A bar for each task that runs, under lines for those that have ended; as many as fit on the screen."""

    def __init__(self, progress: Progress) -> None:
        self._progress = progress
        self._bars: dict[str, TaskID] = {}

    def news(self, task: Task) -> None:
        if task["finished_at"] is not None:
            self._drop(task["id"])
            self._line(news_line(task))
        elif task["status"] == "running":
            self._bar(task)
        else:
            self._drop(task["id"])
            if task["question"]:
                self._line(news_line(task))

    def remark(self, text: str) -> None:
        self._line(text)

    def _bar(self, task: Task) -> None:
        bar = self._bars.get(task["id"])
        if bar is None:
            if len(self._bars) >= self._progress.console.height - 3:
                return  # its next news may find room
            bar = self._bars[task["id"]] = self._progress.add_task("", total=None, said="")
        done = task["progress"]
        text = f"{task['label'] or task['id']} {clean(task['title'] or task['name'])}"
        total = None if done is None else 1.0
        self._progress.update(bar, description=text, total=total, completed=done or 0.0, said=clean(task["message"]))

    def _drop(self, task_id: str) -> None:
        bar = self._bars.pop(task_id, None)
        if bar is not None:
            self._progress.remove_task(bar)

    def _line(self, text: str) -> None:
        self._progress.console.print(text, markup=False, highlight=False, soft_wrap=True)


@contextmanager
def screen(*, as_json: bool) -> Generator[Show]:
    """Where the news go: bars at a terminal, else lines."""
    console = Console()
    if as_json or not console.is_terminal:
        yield Lines(console, as_json=as_json)
        return
    columns = (
        TextColumn("{task.description}", markup=False),
        BarColumn(),
        TaskProgressColumn(),
        TextColumn("{task.fields[said]}", markup=False),
    )
    with Progress(*columns, console=console, transient=True) as progress:
        yield Bars(progress)


class Tail:
    """Follows one task of a server, or all that are live, until they have ended."""

    def __init__(self, remote: Remote, show: Show, task_id: str | None, *, every: float, timeout: float | None) -> None:
        self._remote, self._show, self._task_id = remote, show, task_id
        self._every, self._timeout = every, timeout
        self._following = Following()
        self._truncated = False

    def run(self) -> bool:
        """Whether all ended well. Raises AddressError, RemoteError, StillLive."""
        begun = last = time.monotonic()
        first = True
        while True:
            try:
                live = self._look()
            except (AddressError, RemoteError) as error:
                now = time.monotonic()
                if first or (isinstance(error, RemoteError) and error.status < 500) or now - last > AWAY_SECONDS:
                    raise
            else:
                first, last = False, time.monotonic()
                if not live:
                    return self._following.unsuccessful == 0
            if self._timeout is not None and time.monotonic() - begun >= self._timeout:
                raise StillLive(len(self._following.live), self._timeout)
            time.sleep(self._every)

    def _look(self) -> bool:
        """Shows what is news; whether any task is live."""
        if self._task_id is not None:
            found = [self._remote.get("tasks", self._task_id)]
        else:
            found = self._live()
            found += [task for one in self._following.missing(found) if (task := self._ended(one)) is not None]
        for task in self._following.seen(found):
            self._show.news(task)
        return bool(self._following.live)

    def _live(self) -> list[Task]:
        """The newest live tasks."""
        found: list[Task] = []
        after = None
        for _ in range(PAGES):
            page = self._remote.get("tasks", status="live", limit=PAGE, after=after)
            found += page["data"]
            if not page["has_more"]:
                return found
            after = page["last_id"]
        if not self._truncated:
            self._truncated = True
            self._show.remark(f"more than {len(found):,} tasks are live; the newest of them are followed")
        return found

    def _ended(self, task_id: str) -> Task | None:
        """A task that is live no longer; None when it is gone."""
        try:
            return self._remote.get("tasks", task_id)  # type: ignore[no-any-return]
        except RemoteError as error:
            if error.status != 404:
                raise
            self._following.forget(task_id)
            return None
