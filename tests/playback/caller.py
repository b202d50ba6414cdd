"""A client that survives its server: it reconnects, resumes after its cursor, sends again with the same input id, and
drops repeats."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from typing import Any, Self

import anyio
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed, InvalidHandshake

from .process import ServerProcess

Event = dict[str, Any]
TERMINAL = ("response.completed", "response.failed", "response.incomplete")


class Caller:
    """One person's client. ``events`` holds every event once, by conversation and cursor."""

    def __init__(self, server: ServerProcess) -> None:
        self._server = server
        self._socket: ClientConnection | None = None
        self.conversation: str | None = None
        self.cursor: str | None = None
        self.events: dict[tuple[str, str], Event] = {}
        self.others: list[Event] = []
        self.connections = 0

    async def connected(self) -> ClientConnection:
        """The connection; a new one, subscribed after the last cursor, when there is none."""
        while self._socket is None:
            self._server.revive()
            try:
                self._socket = await connect(self._server.url, max_size=None, proxy=None)
            except (OSError, InvalidHandshake, ConnectionClosed):
                await asyncio.sleep(0.01)
                continue
            self.connections += 1
            if self.conversation is not None:
                await self._subscribe()
        return self._socket

    async def _subscribe(self) -> None:
        assert self._socket is not None
        message = {"type": "frontdesk:subscribe", "conversation": self.conversation, "after": self.cursor or "0"}
        try:
            await self._socket.send(json.dumps(message))
        except ConnectionClosed:
            self._socket = None

    async def until(self, found: Callable[[], Any], again: Event | None = None) -> Any:
        """Receives until ``found()`` is true; ``again`` is sent first, and once more on every new connection."""
        sent_on: ClientConnection | None = None
        with anyio.fail_after(60):
            while not (value := found()):
                socket = await self.connected()
                try:
                    if again is not None and sent_on is not socket:
                        await socket.send(json.dumps(again))
                        sent_on = socket
                    with anyio.move_on_after(0.1):  # what is waited for may be in the database, without an event
                        self._take(json.loads(await socket.recv()))
                except ConnectionClosed:
                    self._socket = None
        return value

    def _take(self, event: Event) -> None:
        if "cursor" not in event or event["type"] == "frontdesk:subscribed":
            self.others.append(event)
            return
        event.pop("stream_id", None)
        known = self.events.setdefault((event["conversation"], event["cursor"]), event)
        assert known == event, "an event changed under its cursor"
        if event["conversation"] == self.conversation and int(event["cursor"]) > int(self.cursor or 0):
            self.cursor = event["cursor"]

    def terminal(self, input_id: str) -> Event | None:
        """The terminal event of the response to this input."""
        for event in self.events.values():
            if event["type"] in TERMINAL and event["response"]["metadata"].get("frontdesk:input_id") == input_id:
                return event
        return None

    async def say(self, input_id: str, script: Any, **fields: Any) -> Event:
        """Sends an input and waits for the end of its response; the response."""
        message = self.create(input_id, script, **fields)
        event: Event = await self.until(lambda: self.terminal(input_id), message)
        response: Event = event["response"]
        if self.conversation is None:
            self.conversation = response["conversation"]["id"]
            await self._subscribe()
        return response

    def create(self, input_id: str, script: Any, **fields: Any) -> Event:
        text = script if isinstance(script, str) else json.dumps(script)
        message: Event = {"type": "response.create", "model": self._server.desk, "input": text, **fields}
        message["metadata"] = {"frontdesk:input_id": input_id, **fields.get("metadata", {})}
        if self.conversation is not None:
            message["conversation"] = self.conversation
        return message

    def tasks(self) -> dict[str, Event]:
        """The newest view of every task, by label."""
        found: dict[str, Event] = {}
        for event in sorted(self.events.values(), key=lambda one: int(one["cursor"])):
            if event["type"].startswith("frontdesk:task.") and event["conversation"] == self.conversation:
                task = event["task"]
                if task["label"] not in found or event["type"] != "frontdesk:task.created":
                    found[task["label"]] = task
        return found

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        if self._socket is not None:
            await self._socket.close()
            self._socket = None
