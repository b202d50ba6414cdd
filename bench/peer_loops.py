"""The same turn, with its one tool call, by other frameworks; what each needs is imported when it is measured.

Each is a function of the server's address and of the API, and makes two functions of a text: not streamed, streamed.
Tracing is off everywhere.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Awaitable, Callable
from importlib import import_module
from pathlib import Path
from typing import Any, TypeAlias

from openai import AsyncOpenAI

from .turns_floor import INSTRUCTIONS, add, slow

Ask: TypeAlias = Callable[[str], Awaitable[str]]
Loops: TypeAlias = tuple[Ask, Ask]

OFF = {
    "OPENAI_API_KEY": "none", "OPENAI_AGENTS_DISABLE_TRACING": "1", "LANGSMITH_TRACING": "false",
    "LANGCHAIN_TRACING_V2": "false", "LANGCHAIN_CALLBACKS_BACKGROUND": "false",
}  # fmt: skip


def prepare() -> None:
    """Before anything is imported: no tracing, and the package ``agents`` is theirs, not this repository's folder."""
    os.environ.update(OFF)
    root = Path(__file__).resolve().parent.parent
    sys.path[:] = [one for one in sys.path if Path(one or ".").resolve() != root]


def openai_agents(url: str, api: str) -> Loops:
    """https://pypi.org/project/openai-agents"""
    made: Any = import_module("agents")
    made.set_tracing_disabled(True)
    client = AsyncOpenAI(base_url=url, api_key="none")
    kind = made.OpenAIChatCompletionsModel if api == "chat" else made.OpenAIResponsesModel
    tools = [made.function_tool(add), made.function_tool(slow)]
    agent = made.Agent(name="triage", instructions=INSTRUCTIONS, tools=tools, model=kind("fake", openai_client=client))

    async def whole(text: str) -> str:
        return str((await made.Runner.run(agent, text)).final_output)

    async def streamed(text: str) -> str:
        run = made.Runner.run_streamed(agent, text)
        async for _ in run.stream_events():
            pass
        return str(run.final_output)

    return whole, streamed


def pydantic_ai(url: str, api: str) -> Loops:
    """https://pypi.org/project/pydantic-ai-slim"""
    made: Any = import_module("pydantic_ai")
    kinds: Any = import_module("pydantic_ai.models.openai")
    provider: Any = import_module("pydantic_ai.providers.openai")
    client = AsyncOpenAI(base_url=url, api_key="none")
    kind = kinds.OpenAIChatModel if api == "chat" else kinds.OpenAIResponsesModel
    model = kind("fake", provider=provider.OpenAIProvider(openai_client=client))
    agent = made.Agent(model, instructions=INSTRUCTIONS, tools=[add, slow])

    async def whole(text: str) -> str:
        return str((await agent.run(text)).output)

    async def streamed(text: str) -> str:
        async def seen(context: Any, events: Any) -> None:
            async for _ in events:
                pass

        return str((await agent.run(text, event_stream_handler=seen)).output)

    return whole, streamed


def langgraph(url: str, api: str) -> Loops:
    """https://pypi.org/project/langgraph, by way of ``langchain.agents.create_agent``"""
    made: Any = import_module("langchain.agents")
    kinds: Any = import_module("langchain_openai")
    tool: Any = import_module("langchain_core.tools").tool
    model = kinds.ChatOpenAI(model="fake", base_url=url, api_key="none", use_responses_api=api == "responses")
    graph = made.create_agent(model, [tool(add), tool(slow)], system_prompt=INSTRUCTIONS)

    def asked(text: str) -> dict[str, Any]:
        return {"messages": [{"role": "user", "content": text}]}

    async def whole(text: str) -> str:
        return str((await graph.ainvoke(asked(text)))["messages"][-1].text)

    async def streamed(text: str) -> str:
        said: list[str] = []
        async for message, _ in graph.astream(asked(text), stream_mode="messages"):
            said.append(str(message.text) if message.type in ("ai", "AIMessageChunk") else "")
        return "".join(said)

    return whole, streamed


PEERS: dict[str, Callable[[str, str], Loops]] = {
    "openai-agents": openai_agents,
    "pydantic-ai": pydantic_ai,
    "langgraph": langgraph,
}
