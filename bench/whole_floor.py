"""The turn by hand, not streamed: ask, run the calls side by side, send their outputs, ask again. A floor of
``peers``.
"""

from __future__ import annotations

from typing import Any

from openai import AsyncOpenAI

from .turns_floor import CHAT_TOOLS, INSTRUCTIONS, RESPONSES_TOOLS, outputs


async def chat(client: AsyncOpenAI, text: str) -> str:
    """A turn over Chat Completions."""
    messages: list[Any] = [{"role": "system", "content": INSTRUCTIONS}, {"role": "user", "content": text}]
    while True:
        reply: Any = await client.chat.completions.create(model="fake", messages=messages, tools=CHAT_TOOLS)
        message = reply.choices[0].message
        if not message.tool_calls:
            return str(message.content)
        calls = [(call.id, call.function.name, call.function.arguments) for call in message.tool_calls]
        wanted = [
            {"id": call_id, "type": "function", "function": {"name": name, "arguments": arguments}}
            for call_id, name, arguments in calls
        ]
        messages.append({"role": "assistant", "tool_calls": wanted})
        for call_id, output in await outputs(calls):
            messages.append({"role": "tool", "tool_call_id": call_id, "content": output})


async def responses(client: AsyncOpenAI, text: str) -> str:
    """A turn over the Responses API."""
    items: list[Any] = [{"role": "user", "content": text}]
    while True:
        reply: Any = await client.responses.create(
            model="fake", instructions=INSTRUCTIONS, input=items, tools=RESPONSES_TOOLS, store=False
        )
        calls = [(one.call_id, one.name, one.arguments) for one in reply.output if one.type == "function_call"]
        if not calls:
            return str(reply.output_text)
        for call_id, name, arguments in calls:
            items.append({"type": "function_call", "call_id": call_id, "name": name, "arguments": arguments})
        for call_id, output in await outputs(calls):
            items.append({"type": "function_call_output", "call_id": call_id, "output": output})
