"""A load on a PostgreSQL server that something happens to: a process files tasks, others run them."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Any

import psycopg

from frontdesk.broker.database import Database
from frontdesk.tests.chaos import works
from frontdesk.tests.chaos.history import History
from frontdesk.tests.chaos.processes import Fleet, Process
from frontdesk.tests.chaos.scale import SEED
from frontdesk.tests.chaos.waiting import until
from frontdesk.tests.databases import Server
from frontdesk.tests.invariants import broken
from frontdesk.tests.store import Store


class Load:
    """So many tasks, in a database of their own. Start ``workers``; call ``stop`` at the end."""

    def __init__(self, server: Server, folder: Path, count: int) -> None:
        self.folder = folder
        self.url = server.create()
        self.name = self.url.split("/")[3].split("?")[0]
        self.database = Database.open(self.url)
        self.store, self.history = Store(self.database), History(self.url)
        self.history.begin()
        self.fleet = Fleet(self.url, folder)
        conversations = [self.store.conversation(unattended_limit=0) for _ in range(1 + count // 100)]
        self.workers: list[Process] = []
        self.filing = self.fleet.filing("again", conversations, count, SEED)
        self.count = count

    def begun(self) -> int:
        return works.noted(self.folder, works.STARTS)

    def goes_on(self) -> float:
        """Seconds until another task has begun, all of whose database work is still to come."""
        before = self.begun() + 2  # one per worker may have been between its claim and its first line
        return until(lambda: self.begun() > before or self.is_over(), self.fleet.logs)

    def is_over(self) -> bool:
        """Whether everything has been filed and has ended."""
        if self.filing.exit_code not in (None, 0):
            self.filing.again()  # it gives up when the server is away for too long; the next one goes on
        try:
            return self.filing.exit_code == 0 and self.history.live() == 0
        except psycopg.Error:
            return False

    def check(self) -> None:
        until(self.is_over, self.fleet.logs)
        for one in self.workers:
            assert one.end() == 0, self.fleet.logs()
        rows = self.store.tasks()
        assert Counter(row["status"] for row in rows) == {"succeeded": len(rows)}, f"seed {SEED}"
        assert sum(row["parent_id"] is None for row in rows) == self.count, f"seed {SEED}"
        steps = self.history.steps()
        assert {row["id"]: row["result"] for row in rows if row["name"] == "again"} == steps, f"seed {SEED}"
        assert self.history.twice() == [], f"seed {SEED}"
        assert broken(self.store) == [], f"seed {SEED}"

    def work(self, url: str | None = None, **options: Any) -> None:
        """Starts a worker."""
        self.workers.append(self.fleet.worker(url, **options))

    def stop(self) -> None:
        self.fleet.stop()
        self.history.close()
        self.database.close()
