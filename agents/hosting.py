"""What a desk becomes when it is to be part of somebody's web application; how it does is the storey above's business.

This is the one place that refers upwards, and it does so by name: nothing of the server is imported, checked or needed
until a program asks for it. An entry point of the installation would say the same, and not work in a checkout.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, MutableMapping
from contextlib import AbstractAsyncContextManager
from pkgutil import resolve_name
from typing import Any, Protocol, TypeAlias, TypedDict, cast

from typing_extensions import Unpack

Scope: TypeAlias = MutableMapping[str, Any]
Message: TypeAlias = MutableMapping[str, Any]
Receive: TypeAlias = Callable[[], Awaitable[Message]]
Send: TypeAlias = Callable[[Message], Awaitable[None]]

SERVER = "server.mounting:mounted"  # beside this storey


class Hosting(TypedDict, total=False):
    """Options of `Desk.asgi`; what is not given is as the environment says, as for ``frontdesk serve``.

    The application starts when it is first asked for something, or with the one that is given its ``lifespan``.
    """

    database: str | None  # a URL
    token: str | None  # what clients have to send; without one only this machine is let in
    authenticate: Callable[[Any], Any] | None  # who a request comes from: see server/door.py
    worker: bool  # whether its turns and tasks run here


class Application(Protocol):
    """An ASGI application that can be mounted in another one, or served by itself."""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None: ...

    def lifespan(self, app: Any) -> AbstractAsyncContextManager[None]:
        """The desk works from the beginning of the block to its end. Give it to the application that it is mounted in,
        which does not run it by itself: ``FastAPI(lifespan=served.lifespan)``.
        """
        ...


def hosted(desk: Any, **options: Unpack[Hosting]) -> Application:
    """The desk as an application, made by the server storey."""
    package = __name__.split(".agents.")[0]
    return cast(Application, resolve_name(f"{package}.{SERVER}")(desk, **options))
