"""One desk being served: who may come in, who is connected, whether it still takes input. No request is answered."""

from __future__ import annotations

import logging
import time
from collections import Counter
from collections.abc import Callable, Generator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Final, Protocol

import anyio
from starlette.requests import HTTPConnection

from ..broker.connection import Connection as Storage
from ..broker.database import Database
from ..broker.errors import DatabaseError
from .auth import Principal
from .door import Door
from .errors import InvalidKey, RateLimited, WireError
from .keyring import Keyring, is_over
from .limits import Limits
from .rates import Bucket, check_rate
from .session import Served, Session
from .shared import Latest

log = logging.getLogger("frontdesk.server")

RATES: Final = 10_000  # tenants whose requests are counted
READY_SECONDS: Final = 2.0  # for the database to answer a readiness check


class Worker(Protocol):
    """What the server asks of the worker that it carries with it."""

    def start(self) -> None: ...

    async def stop(self, grace: float) -> None:
        """Ends after what runs has come to a boundary, or after ``grace`` seconds."""
        ...


class Connected(Protocol):
    """A client that is being answered: over a WebSocket, or as the answer of a request that takes its time."""

    def drain(self, seconds: float) -> None:
        """Takes nothing new from now on, and ends after so many seconds. Never waits."""
        ...


@dataclass(frozen=True, slots=True, eq=False)
class Visit:
    """Somebody who was let in and is still here; ``end`` shows them out."""

    request: HTTPConnection
    principal: Principal
    end: Callable[[], None]


class Service:
    """What the routes share. Give it a database that is open; close that after the server has ended."""

    def __init__(
        self,
        desk: Served,
        database: Database,
        *,
        worker: Worker | None = None,
        door: Door | None = None,
        limits: Limits | None = None,
        drain_seconds: float = 1.0,
        grace_seconds: float = 10.0,
    ) -> None:
        self.desk, self.database, self.worker = desk, database, worker
        self.door, self.limits = door or Door(), limits or Limits()
        self.drain_seconds, self.grace_seconds = drain_seconds, grace_seconds
        self.draining = False
        self.keyring = Keyring(database)
        self._connections: dict[Connected, str] = {}
        self._visits: set[Visit] = set()
        self._latest = Latest()
        self._rates: dict[str, Bucket] = {}
        self._of_tenant: Counter[str] = Counter()
        self.compacting: Counter[str] = Counter()  # dialogs that a model makes shorter just now, by tenant
        self.left = anyio.Event()  # set, and made anew, each time a connection ends

    def session(self, principal: Principal) -> Session:
        """A client's dealings with the desk."""
        rate = self.rate_of(principal.tenant)
        return Session(
            database=self.database,
            desk=self.desk,
            tenant=principal.tenant,
            limits=self.limits,
            rate=rate,
            latest=self._latest,
        )

    def rate_of(self, tenant: str) -> Bucket | None:
        """The bucket of a tenant's requests, in this process; None when there is no limit."""
        if not self.limits.requests_per_minute:
            return None
        found = self._rates.get(tenant)
        if found is None:
            if len(self._rates) >= RATES:  # whoever has asked for nothing lately has a full one, as a new one is
                self._rates = {one: of for one, of in self._rates.items() if not of.is_full(time.monotonic())}
            found = self._rates[tenant] = Bucket(self.limits.requests_per_minute, time.monotonic())
        return found

    def admit(self, tenant: str) -> None:
        """Counts a request. Raises RateLimited when the tenant asks too often."""
        check_rate(self.rate_of(tenant), self.limits)

    @property
    def connections(self) -> int:
        """How many WebSockets and waiting requests are open."""
        return len(self._connections)

    def check_room(self, tenant: str) -> None:
        """Raises RateLimited when the tenant has all the connections that it may have."""
        if self._of_tenant[tenant] >= self.limits.connections:
            raise RateLimited(f"{self.limits.connections:,} connections are open already; close some, or use lanes")

    @contextmanager
    def room(self, tenant: str) -> Generator[None]:
        """Somebody counts among the tenant's connections for as long as the block runs. Raises RateLimited."""
        self.check_room(tenant)
        self._of_tenant[tenant] += 1
        try:
            yield
        finally:
            self._of_tenant[tenant] -= 1

    def enter(self, connection: Connected, tenant: str) -> None:
        """A connection begins; call ``leave`` when it has ended."""
        self._connections[connection] = tenant
        self._of_tenant[tenant] += 1
        if self.draining:
            connection.drain(self.drain_seconds)

    def leave(self, connection: Connected) -> None:
        self._of_tenant.subtract([self._connections.pop(connection)])
        self.left.set()
        self.left = anyio.Event()

    @contextmanager
    def visit(self, request: HTTPConnection, principal: Principal, end: Callable[[], None]) -> Generator[None]:
        """Somebody is here for as long as the block runs; ``end`` is called when they may not be here any more."""
        visit = Visit(request, principal, end)
        self._visits.add(visit)
        try:
            yield
        finally:
            self._visits.discard(visit)

    async def watch(self) -> None:
        """Shows everybody out whose token has expired or was revoked. Runs for as long as the server does."""
        while True:
            await anyio.sleep(self.limits.recheck_seconds)
            self.keyring.forget()
            for visit in list(self._visits):
                if visit in self._visits and not await self._may_stay(visit):
                    log.info("a client is shown out: its token is not valid any more")
                    visit.end()

    async def _may_stay(self, visit: Visit) -> bool:
        try:
            found = await self.door.identify(visit.request, self.keyring)
        except InvalidKey:
            return False
        except WireError:
            return True  # an origin does not change
        except Exception as error:
            log.warning("who is connected cannot be checked: %s", error)
            return not is_over(visit.principal)
        return found.tenant == visit.principal.tenant

    async def problem(self) -> str | None:
        """Why no input should be sent here now; None when all is well."""
        if self.draining:
            return "draining"
        try:
            with anyio.fail_after(READY_SECONDS):
                await self.database.read(_touch)
        except TimeoutError:
            return f"the database has not answered within {READY_SECONDS:g} s"
        except DatabaseError as error:
            return str(error)
        return None

    async def drain(self) -> None:
        """Takes no new input, tells every client, and gives them a moment to go. Runs go on."""
        self.draining = True
        for connection in list(self._connections):
            connection.drain(self.drain_seconds)
        with anyio.move_on_after(self.drain_seconds):
            while self._connections:
                await self.left.wait()

    async def stop(self) -> None:
        """Ends the worker that runs here. What it did not finish is gone on with by the next one."""
        self.draining = True
        if self.worker is not None:
            await self.worker.stop(self.grace_seconds)
        await self.desk.aclose()


def _touch(conn: Storage) -> None:
    conn.script("SELECT 1")
