"""The Starlette application: routes, and a lifespan that runs the embedded worker. It can be mounted in another one."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager

import anyio
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.middleware.cors import CORSMiddleware

from .guard import guarded
from .headers import Headers
from .http import routes, unknown
from .service import Service


def application(service: Service) -> Starlette:
    """The ASGI application of a service. Its lifespan starts and stops the service's worker, not its database."""

    @asynccontextmanager
    async def lifespan(app: Starlette) -> AsyncGenerator[None]:
        if service.worker is not None:
            service.worker.start()
        try:
            async with anyio.create_task_group() as group:
                group.start_soon(service.watch)
                yield
                group.cancel_scope.cancel()
        finally:
            await service.stop()

    around = [Middleware(Headers, is_closing=lambda: service.draining)]
    if service.door.origins:  # pages of these may ask with fetch, too
        origins = list(service.door.origins)
        around.insert(0, Middleware(CORSMiddleware, allow_origins=origins, allow_methods=["*"], allow_headers=["*"]))
    app = Starlette(
        routes=guarded(service, routes(service)),
        middleware=around,
        lifespan=lifespan,
        exception_handlers={HTTPException: unknown},
    )
    app.state.service = service
    return app
