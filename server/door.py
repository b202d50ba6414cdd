"""Who is let in, and as whom: by FRONTDESK_TOKEN, by a token of the database, or by what the application says.

Where none of the three is there, everybody who reaches this machine's loopback is let in, as an operator.
"""

from __future__ import annotations

import hmac
import inspect
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Final, TypeAlias

import anyio.to_thread
from starlette.requests import HTTPConnection

from .auth import Principal, bearer, check_origin
from .errors import InvalidKey
from .keyring import Keyring, is_over

Authenticate: TypeAlias = Callable[[HTTPConnection], Principal | Awaitable[Principal | None] | None]

OPERATOR: Final = Principal(operator=True)


@dataclass(frozen=True, slots=True, kw_only=True)
class Door:
    """What is looked at: ``token`` (its bearer is an operator), listed ``origins`` (``https://desk.example``), and
    ``authenticate``.

    ``authenticate(request)`` is asked about requests whose token is not known otherwise, and says who they come from;
    None refuses. `auth.bearer` reads the token of a request. It may be asynchronous; otherwise it is called in a
    thread. It is asked again about open connections every few seconds (`Limits.recheck_seconds`). When it raises, the
    request fails and nobody is let in.
    """

    token: str = ""
    origins: tuple[str, ...] = ()
    authenticate: Authenticate | None = None

    @property
    def is_guarded(self) -> bool:
        """Whether nobody is let in unasked, whatever the database holds."""
        return bool(self.token) or self.authenticate is not None

    async def identify(self, request: HTTPConnection, keyring: Keyring) -> Principal:
        """Who this request comes from. Raises InvalidKey, ForbiddenOrigin, DatabaseError."""
        guarded = self.is_guarded or await keyring.is_used()
        check_origin(request.headers, self.origins, guarded=guarded)
        if not guarded:
            return OPERATOR
        given = bearer(request.headers, request.scope.get("subprotocols", ()))
        if self.token and hmac.compare_digest(_bytes(given), _bytes(self.token)):
            return OPERATOR
        found = await keyring.find(given) if given and await keyring.is_used() else None
        if found is None and self.authenticate is not None:
            found = await _asked(self.authenticate, request)
        if found is None or is_over(found):
            raise InvalidKey
        return found


def _bytes(text: str) -> bytes:
    return text.encode(errors="surrogatepass")


async def _asked(authenticate: Authenticate, request: HTTPConnection) -> Principal | None:
    called = authenticate if callable(authenticate) and inspect.isroutine(authenticate) else type(authenticate).__call__
    if inspect.iscoroutinefunction(called):
        found = authenticate(request)
    else:
        found = await anyio.to_thread.run_sync(authenticate, request)
    return await found if inspect.isawaitable(found) else found
