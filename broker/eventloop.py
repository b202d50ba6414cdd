"""The worker's event loop: what a task function does must not end it."""

from __future__ import annotations

import asyncio
import logging

log = logging.getLogger("frontdesk.eventloop")


class StubbornLoop(asyncio.SelectorEventLoop):
    """Goes on after ``sys.exit()`` in a task that somebody's code started.

    asyncio stores SystemExit as the task's result, then raises it through the loop as well; every run would end with
    it.
    """

    def run_forever(self) -> None:
        while True:
            try:
                super().run_forever()
            except SystemExit as error:
                log.error("a task called sys.exit(%s); the worker goes on", error.code)
            else:
                return
