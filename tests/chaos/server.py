"""A PostgreSQL server that belongs to one test, which may kill it. What it has acknowledged it keeps through that."""

from __future__ import annotations

import os
import signal

from frontdesk.tests.chaos.waiting import until
from frontdesk.tests.databases import Server


class OwnServer(Server):
    """Killed by its own process id, and nothing else is touched."""

    def __init__(self) -> None:
        super().__init__()
        with (
            self.connect() as raw
        ):  # what was committed must survive; the machine itself goes on, so files need no sync
            raw.execute("ALTER SYSTEM SET synchronous_commit = on")
            raw.execute("SELECT pg_reload_conf()")

    def stop_immediately(self) -> None:
        """As ``pg_ctl stop -m immediate``: every backend ends where it stands."""
        info = self._server.get_postmaster_info()
        os.kill(info.pid, signal.SIGQUIT)
        until(lambda: not self._is_there(info.pid), seconds=30)

    def start(self) -> None:
        self._server.ensure_postgres_running()

    def terminate(self, name: str, which: float) -> bool:
        """Ends one connection of a database, chosen by a number from 0 to 1; whether there was one."""
        with self.connect() as raw:
            pids = raw.execute(
                "SELECT pid FROM pg_stat_activity WHERE datname = %s AND application_name = 'frontdesk' ORDER BY pid",
                (name,),
            ).fetchall()
            if pids:
                raw.execute("SELECT pg_terminate_backend(%s)", pids[int(which * len(pids))])
        return bool(pids)

    @staticmethod
    def _is_there(pid: int) -> bool:
        try:
            os.kill(pid, 0)
        except ProcessLookupError:
            return False
        return True
