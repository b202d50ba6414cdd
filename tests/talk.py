"""What a test says to a served desk through the official asynchronous client, and what it waits for.

Events are the client's own objects.
"""

from __future__ import annotations

import json
from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager
from typing import Any

from openai.resources.responses.responses import AsyncResponsesConnection

from frontdesk.tests.served import House
from frontdesk.tests.wire_record import TERMINAL


@asynccontextmanager
async def connected(house: House, **options: Any) -> AsyncGenerator[AsyncResponsesConnection]:
    """A connection of the official client, with these further options of ``responses.connect``."""
    async with (
        house.client() as client,
        client.responses.connect(websocket_connection_options=house.record.options(), **options) as found,
    ):
        yield found


def anything(event: Any) -> bool:
    return True


async def until(connection: AsyncResponsesConnection, kind: str, test: Callable[[Any], bool] = anything) -> Any:
    """The next event of this type that passes the test; the record fails after a time without any message."""
    while True:
        event = await connection.recv()
        if event.type == kind and test(event):
            return event


async def final(connection: AsyncResponsesConnection, lane: str | None = None) -> Any:
    """The response of the next terminal event on this lane."""
    while True:
        event: Any = await connection.recv()
        assert event.type != "error", event
        if event.type in TERMINAL and event.stream_id == lane:
            return event.response


async def ask(connection: AsyncResponsesConnection, given: Any, **fields: Any) -> Any:
    """Creates a response on the default lane and waits for its end."""
    await connection.response.create(model="house", input=given, **fields)
    return await final(connection)


async def send(connection: AsyncResponsesConnection, kind: str, **fields: Any) -> None:
    """A message that the client has no method for."""
    await connection.send_raw(json.dumps({"type": kind, **fields}))


async def all_of(connection: AsyncResponsesConnection, conversation: str, last: int, after: int = 0) -> list[Any]:
    """Everything of a conversation after a cursor, up to the cursor ``last``: by subscribing once more."""
    await send(connection, "frontdesk:subscribe", conversation=conversation, after=str(after))
    await until(connection, "frontdesk:subscribed", lambda event: event.cursor == str(after))
    found: list[Any] = []
    cursor = after
    while cursor < last:
        event = (await connection.recv()).to_dict()
        if event.get("stream_id") == f"frontdesk.{conversation}":
            found.append(event)
            cursor = int(str(event["cursor"]))
    return found


def text_of(response: Any) -> str:
    text: str = response.output_text
    return text


def agent_of(item: Any) -> str:
    """The agent that made an item, as the API's multi-agent beta has it."""
    name: str = item.agent["agent_name"]
    return name


def input_of(request: Any) -> list[str]:
    """What people said, as a model saw it."""
    found = [item["content"] for item in request.items if item.get("role") == "user"]
    return [one if isinstance(one, str) else "".join(part["text"] for part in one) for one in found]
