"""A desk inside somebody's ASGI application: under a path of it, on its port, in its event loop.

Applications do not run the lifespan of what is mounted in them. So it is offered as ``lifespan``, to be given to the
application; without that, the desk starts when it is first asked for something, and ends with the event loop.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from dataclasses import replace
from typing import Any

from starlette.applications import Starlette
from starlette.types import ASGIApp, Receive, Scope, Send

from ..agents.desk import Desk
from ..broker.database import Database
from ..broker.opening import open_patiently
from .app import application
from .assembly import DATABASE, door_of, service_of
from .door import Authenticate, Door
from .settings import Settings

log = logging.getLogger("frontdesk.server")


def mounted(
    desk: Desk[Any],
    *,
    database: str | None = None,
    token: str | None = None,
    authenticate: Authenticate | None = None,
    worker: bool = True,
) -> Mounted:
    """The desk as an ASGI application. What is not given is as the environment says, as for ``frontdesk serve``."""
    given = {"database": database, "token": token}
    settings = Settings(**{name: value for name, value in given.items() if value is not None})  # type: ignore[arg-type]
    door = door_of(settings)
    return Mounted(
        desk, settings, door if authenticate is None else replace(door, authenticate=authenticate), working=worker
    )


class Mounted:
    """An ASGI application that opens its database when it starts, and closes it last."""

    def __init__(self, desk: Desk[Any], settings: Settings, door: Door, *, working: bool = True) -> None:
        self._desk, self._settings, self._door, self._working = desk, settings, door, working
        self._itself = Starlette(lifespan=self.lifespan)  # when it is not mounted at all
        self._running: asyncio.Task[None] | None = None
        self._started: asyncio.Future[ASGIApp] | None = None
        self._over = asyncio.Event()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            await self._itself(scope, receive, send)
        else:
            app = await self._start()
            await app(scope, receive, send)

    @asynccontextmanager
    async def lifespan(self, app: Any) -> AsyncGenerator[None]:
        """The desk works from the beginning of the block to its end; then clients are told, and work is given back."""
        await self._start()
        try:
            yield
        finally:
            await self._stop()

    async def _start(self) -> ASGIApp:
        """Starts unless that has been done; raises, to everybody who asks, what keeps it from starting."""
        if self._started is None:
            self._started = asyncio.get_running_loop().create_future()
            # A task of its own, because whoever asks first is a request, and the desk outlives that.
            self._running = asyncio.create_task(self._run(self._started), name="frontdesk")
        return await asyncio.shield(self._started)

    async def _run(self, started: asyncio.Future[ASGIApp]) -> None:
        """The desk's whole life. It ends when it is told to, or when the event loop cancels what it is left with."""
        try:
            database = await asyncio.to_thread(self._open)
        except Exception as error:
            started.set_exception(error)
            self._started = None  # the next one tries again
            return
        try:
            service = service_of(self._desk, database, self._settings, working=self._working, door=self._door)
            app = application(service)
            async with app.router.lifespan_context(app):
                started.set_result(app)
                await self._over.wait()
                await service.drain()
        except Exception as error:
            if started.done():
                raise
            started.set_exception(error)
            self._started = None
        finally:
            database.close()

    def _open(self) -> Database:
        settings = self._settings
        return open_patiently(
            settings.database or DATABASE, seconds=settings.database_wait_seconds, told=lambda what: log.warning(what)
        )

    async def _stop(self) -> None:
        self._over.set()
        if self._running is not None:
            await self._running
        self._running = self._started = None
        self._over = asyncio.Event()
