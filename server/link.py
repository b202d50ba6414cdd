"""A client's WebSocket to a server, which comes back when it is lost. What is said over it is the dialog's business.

It works with websockets 15 to 17.
"""

from __future__ import annotations

import asyncio
import json
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from typing import Any, Final, Literal
from urllib.parse import urlsplit

import anyio
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed, InvalidHandshake, InvalidStatus, InvalidURI

from .auth import is_loopback
from .dialog import Dialog
from .errors import TOKEN_WANTED, AddressError
from .news import News, Remark

FIRST_DELAY: Final = 0.2
LONGEST_DELAY: Final = 5.0


class Link:
    """Keeps a dialog connected. ``show`` is called with everything that is news."""

    def __init__(
        self, address: str, dialog: Dialog, show: Callable[[News], None], *, token: str = "", patience: float = 60.0
    ) -> None:
        scheme, _, rest = address.rstrip("/").removesuffix("/v1").partition("://")
        self._url = f"{'wss' if scheme == 'https' else 'ws'}://{rest}/v1/responses"
        self._proxy: Literal[True] | None = None if is_loopback(_host(rest)) else True  # that of the environment
        self._address, self._dialog, self._show, self._token = address, dialog, show, token
        self._patience = patience
        self._outbox: deque[dict[str, Any]] = deque()
        self._wake = asyncio.Event()
        self._changed = asyncio.Event()
        self.has_met = False  # whether the server has ever let us in

    def look(self) -> None:
        """The dialog holds an input more: it is sent as soon as there is a connection, and again until the server is
        known to have it."""
        self._wake.set()

    def wake_waiters(self) -> None:
        """Has `until` make its tests again."""
        self._changed.set()

    def send(self, message: dict[str, Any]) -> None:
        """Sends another message as soon as there is a connection."""
        self._outbox.append(message)
        self._wake.set()

    async def until(self, test: Callable[[], bool]) -> None:
        """Returns when the dialog has come to fulfil the test."""
        while not test():
            self._changed.clear()
            await self._changed.wait()

    async def run(self) -> None:
        """Connects, and connects again when the connection is lost, until it is cancelled.

        Raises AddressError when nobody answers at first, when the server does not let us in, and when a lost connection
        has not come back for ``patience`` seconds. A server that stops, or is full, is asked again.
        """
        clock = asyncio.get_running_loop().time
        lost_at, delay = -1.0, FIRST_DELAY
        while True:
            problem = ""
            try:
                async with self._connect() as socket:
                    if lost_at > 0:
                        self._show(Remark("connected again"))
                    self.has_met = True
                    self.wake_waiters()
                    lost_at, delay = 0.0, FIRST_DELAY
                    await self._talk(socket)
            except InvalidStatus as error:
                problem = _reason(error)
                if error.response.status_code < 500 and error.response.status_code != 429:
                    raise AddressError(problem) from error
                lost_at = clock() if lost_at < 0 else lost_at  # it is there, and will let us in later
            except InvalidURI as error:
                raise AddressError(f"{self._address!r} is not an address; write http://HOST:PORT") from error
            except (OSError, InvalidHandshake) as error:
                problem = str(error)
            if lost_at < 0 or (lost_at > 0 and clock() - lost_at > self._patience):
                raise AddressError(
                    f"no Frontdesk answers at {self._address} ({problem}); start one with `frontdesk serve`"
                )
            if lost_at == 0:
                lost_at = clock()
                self._show(Remark("the connection is lost; trying again (nothing that was sent is lost)"))
            await anyio.sleep(delay)
            delay = min(delay * 2, LONGEST_DELAY)

    def _connect(self) -> connect:
        headers = {"Authorization": f"Bearer {self._token}"} if self._token else None
        url = self._url + self._dialog.connect()
        return connect(url, additional_headers=headers, max_size=None, proxy=self._proxy)

    async def _talk(self, socket: ClientConnection) -> None:
        async with anyio.create_task_group() as group:
            group.start_soon(self._send_all, socket)
            with suppress(ConnectionClosed):
                while True:
                    self._take(json.loads(await socket.recv()))
            group.cancel_scope.cancel()

    async def _send_all(self, socket: ClientConnection) -> None:
        sent: set[str] = set()  # over this connection
        with suppress(ConnectionClosed):
            while True:
                for input_id, message in self._dialog.ready:
                    if input_id not in sent:
                        sent.add(input_id)
                        await socket.send(json.dumps(message))
                while self._outbox:
                    await socket.send(json.dumps(self._outbox[0]))
                    self._outbox.popleft()
                self._wake.clear()
                await self._wake.wait()

    def _take(self, event: dict[str, Any]) -> None:
        for news in self._dialog.receive(event):
            if isinstance(news, dict):
                self.send(news)
            else:
                self._show(news)
        self._changed.set()
        self._wake.set()  # what waited for the conversation's name can go now


def _host(rest: str) -> str:
    try:
        return urlsplit(f"//{rest}").hostname or ""
    except ValueError:  # connecting says what is wrong with it
        return ""


def _reason(error: InvalidStatus) -> str:
    if error.response.status_code == 401:
        return TOKEN_WANTED
    try:
        return str(json.loads(error.response.body)["error"]["message"])
    except (ValueError, KeyError, TypeError):
        return f"the server answers {error.response.status_code}: is it a Frontdesk?"
