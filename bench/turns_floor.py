"""A turn with one tool call, written by hand: stream, gather the call, run it, send its output, stream again.

No desk, no history, no events for anybody, nothing is kept: what everyone writes first. The floor of ``turns``.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncGenerator, Sequence
from typing import Any

import aiohttp
from openai import AsyncOpenAI

INSTRUCTIONS = "You are a triage agent. Use tools."
PARAMETERS: dict[str, Any] = {
    "type": "object",
    "properties": {"a": {"type": "integer"}, "b": {"type": "integer"}},
    "required": ["a", "b"],
    "additionalProperties": False,
}
SLOW_PARAMETERS: dict[str, Any] = {
    "type": "object",
    "properties": {"i": {"type": "integer"}},
    "required": ["i"],
    "additionalProperties": False,
}
FUNCTIONS: list[dict[str, Any]] = [
    {"name": "add", "description": "Add two numbers.", "parameters": PARAMETERS, "strict": True},
    {"name": "slow", "description": "Sleep.", "parameters": SLOW_PARAMETERS, "strict": True},
]
CHAT_TOOLS: Any = [{"type": "function", "function": one} for one in FUNCTIONS]
RESPONSES_TOOLS: Any = [{"type": "function", **one} for one in FUNCTIONS]


async def add(a: int, b: int) -> int:
    """Add two numbers."""
    return a + b


async def slow(i: int) -> int:
    """Sleep."""
    await asyncio.sleep(0.2)
    return i


TOOLS: dict[str, Any] = {"add": add, "slow": slow}


async def outputs(calls: Sequence[tuple[str, str, str]]) -> list[tuple[str, str]]:
    """Runs calls (id, name, arguments) side by side."""

    async def one(call_id: str, name: str, arguments: str) -> tuple[str, str]:
        return call_id, str(await TOOLS[name](**json.loads(arguments)))

    return await asyncio.gather(*(one(*call) for call in calls))


async def chat(client: AsyncOpenAI, text: str) -> str:
    """A turn over Chat Completions."""
    messages: list[Any] = [{"role": "system", "content": INSTRUCTIONS}, {"role": "user", "content": text}]
    while True:
        said: list[str] = []
        calls: dict[int, list[str]] = {}
        stream = await client.chat.completions.create(
            model="fake", messages=messages, tools=CHAT_TOOLS, stream=True, stream_options={"include_usage": True}
        )
        async for event in stream:
            for choice in event.choices:
                if choice.delta.content:
                    said.append(choice.delta.content)
                for part in choice.delta.tool_calls or ():
                    call = calls.setdefault(part.index, ["", "", ""])
                    call[0] += part.id or ""
                    if part.function is not None:
                        call[1] += part.function.name or ""
                        call[2] += part.function.arguments or ""
        if not calls:
            return "".join(said)
        wanted = [
            {"id": call_id, "type": "function", "function": {"name": name, "arguments": arguments}}
            for call_id, name, arguments in calls.values()
        ]
        messages.append({"role": "assistant", "tool_calls": wanted})
        wanted_calls = [(call_id, name, arguments) for call_id, name, arguments in calls.values()]
        for call_id, output in await outputs(wanted_calls):
            messages.append({"role": "tool", "tool_call_id": call_id, "content": output})


async def responses(client: AsyncOpenAI, text: str) -> str:
    """A turn over the Responses API."""
    items: list[Any] = [{"role": "user", "content": text}]
    while True:
        said: list[str] = []
        calls: list[tuple[str, str, str]] = []
        stream = await client.responses.create(
            model="fake", instructions=INSTRUCTIONS, input=items, tools=RESPONSES_TOOLS, stream=True, store=False
        )
        async for event in stream:
            if event.type == "response.output_text.delta":
                said.append(event.delta)
            elif event.type == "response.output_item.done" and event.item.type == "function_call":
                calls.append((event.item.call_id, event.item.name, event.item.arguments))
        if not calls:
            return "".join(said)
        for call_id, name, arguments in calls:
            items.append({"type": "function_call", "call_id": call_id, "name": name, "arguments": arguments})
        for call_id, output in await outputs(calls):
            items.append({"type": "function_call_output", "call_id": call_id, "output": output})


async def bare_chat(session: aiohttp.ClientSession, url: str, text: str) -> str:
    """The same without the official client: nothing is checked, nothing is tried again."""
    messages: list[Any] = [{"role": "system", "content": INSTRUCTIONS}, {"role": "user", "content": text}]
    while True:
        said: list[str] = []
        calls: dict[int, list[str]] = {}
        body = {"model": "fake", "messages": messages, "tools": CHAT_TOOLS, "stream": True}
        async for event in _events(session, f"{url}/chat/completions", body):
            for choice in event["choices"]:
                delta = choice["delta"]
                said.append(delta.get("content") or "")
                for part in delta.get("tool_calls") or ():
                    call = calls.setdefault(part["index"], ["", "", ""])
                    call[0] += part.get("id") or ""
                    call[1] += part["function"].get("name") or ""
                    call[2] += part["function"].get("arguments") or ""
        if not calls:
            return "".join(said)
        wanted = [
            {"id": call_id, "type": "function", "function": {"name": name, "arguments": arguments}}
            for call_id, name, arguments in calls.values()
        ]
        messages.append({"role": "assistant", "tool_calls": wanted})
        for call_id, _, arguments in calls.values():
            output = str(await add(**json.loads(arguments)))
            messages.append({"role": "tool", "tool_call_id": call_id, "content": output})


async def bare_responses(session: aiohttp.ClientSession, url: str, text: str) -> str:
    """The same over the Responses API."""
    items: list[Any] = [{"role": "user", "content": text}]
    while True:
        said: list[str] = []
        calls: list[Any] = []
        body = {"model": "fake", "instructions": INSTRUCTIONS, "input": items, "tools": RESPONSES_TOOLS, "stream": True}
        async for event in _events(session, f"{url}/responses", body):
            if event["type"] == "response.output_text.delta":
                said.append(event["delta"])
            elif event["type"] == "response.output_item.done" and event["item"]["type"] == "function_call":
                calls.append(event["item"])
        if not calls:
            return "".join(said)
        for call in calls:
            items.append({key: call[key] for key in ("type", "call_id", "name", "arguments")})
            output = str(await add(**json.loads(call["arguments"])))
            items.append({"type": "function_call_output", "call_id": call["call_id"], "output": output})


async def _events(session: aiohttp.ClientSession, url: str, body: dict[str, Any]) -> AsyncGenerator[Any, None]:
    async with session.post(url, json=body) as answer:
        async for line in answer.content:
            if line.startswith(b"data: {"):
                yield json.loads(line[6:])
