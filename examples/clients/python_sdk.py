"""The official Python SDK, with a desk in place of a model. First ``frontdesk serve``, then run this.

``FRONTDESK_URL`` names another server, ``FRONTDESK_TOKEN`` a token, where the server asks for one.
"""

from __future__ import annotations

import asyncio
import os
from typing import Any

from openai import AsyncOpenAI

URL = os.environ.get("FRONTDESK_URL", "http://127.0.0.1:8765")
TOKEN = os.environ.get("FRONTDESK_TOKEN", "none needed on loopback")


async def main() -> None:
    async with AsyncOpenAI(base_url=f"{URL}/v1", api_key=TOKEN) as client:
        model = (await client.models.list()).data[0].id  # the desk; its agents follow
        await ask(client, model)
        await leave_and_come_back(client, model)
        await chat(client, model)
        await socket(client, model)


async def ask(client: AsyncOpenAI, model: str) -> None:
    """A question, the next one in the same conversation, and one whose answer is streamed."""
    first = await client.responses.create(model=model, input="hello")
    print("answer:", first.output_text)
    second = await client.responses.create(model=model, input="thanks", previous_response_id=first.id)
    print("same conversation:", second.conversation == first.conversation)
    async with client.responses.stream(model=model, input="hello again") as stream:
        async for event in stream:
            if event.type == "response.output_text.delta":
                print(event.delta, end="", flush=True)
    print()


async def leave_and_come_back(client: AsyncOpenAI, model: str) -> None:
    """A response in the background goes on without its client, who takes it up where it left it."""
    event: Any = None
    events: Any = await client.responses.create(model=model, input="in the background", background=True, stream=True)
    async for event in events:
        if event.type == "response.in_progress":
            break  # this client goes away; the response goes on
    rest = await client.responses.retrieve(event.response.id, stream=True, starting_after=event.sequence_number)
    kinds = [one.type async for one in rest]
    print("resumed:", kinds[-1], (await client.responses.retrieve(event.response.id)).status)


async def chat(client: AsyncOpenAI, model: str) -> None:
    """Chat Completions: the dialog that is sent again names its conversation, so tasks and agents stay."""
    create: Any = client.chat.completions.create
    messages: list[Any] = [{"role": "user", "content": "hello"}]
    first = await create(model=model, messages=messages)
    messages += [first.choices[0].message.to_dict(), {"role": "user", "content": "and again"}]
    second = await create(model=model, messages=messages)
    print("chat:", second.conversation == first.conversation)


async def socket(client: AsyncOpenAI, model: str) -> None:
    """The WebSocket: one connection for everything."""
    async with client.responses.connect() as connection:
        await connection.response.create(model=model, input="over the socket")
        async for event in connection:
            if event.type == "response.completed":
                print("socket:", event.response.status)
                break


if __name__ == "__main__":
    asyncio.run(main())
