"""A worker in a process of its own that tells webhooks, and is killed at a commit: ``python -m
frontdesk.tests.fakes.hook_worker URL FAILPOINT``. It ends when its standard input is closed."""

from __future__ import annotations

import sys

from frontdesk.broker.database import Database
from frontdesk.broker.functions import FunctionRuns
from frontdesk.broker.webhooks import Sender
from frontdesk.broker.worker import Worker
from frontdesk.tasks.registry import task
from frontdesk.tests.fakes.receiver import SECRET


@task(idempotent=True)
def quick() -> str:
    """Ends at once."""
    return "done"


def main() -> None:
    database = Database.open(sys.argv[1], durable=False, exclusive=False, failpoint=sys.argv[2] or None)
    sender = Sender(database, SECRET, lease=1.0, poll=0.02)
    runs = FunctionRuns({"quick": quick}, lambda: None)
    worker = Worker(database, {}, {"quick": runs}, lease=1.0, poll=0.02, webhooks=sender)
    worker.start()
    sys.stdin.read()
    worker.stop_blocking(0.0)
    database.close()


if __name__ == "__main__":
    main()
