"""The same turn, with its one tool call, by other frameworks; what each needs is imported when it is measured.

Each is a function of the server's address and of the API, and makes two functions of a text: not streamed, streamed.
Tracing is off everywhere.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any, TypeAlias

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
    from openai import AsyncOpenAI

    import agents as sdk  # pyright: ignore[reportMissingImports]

    made: Any = sdk
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
    import pydantic_ai as sdk  # pyright: ignore[reportMissingImports]
    from openai import AsyncOpenAI
    from pydantic_ai.models import openai as models  # pyright: ignore[reportMissingImports]
    from pydantic_ai.providers import openai as providers  # pyright: ignore[reportMissingImports]

    made: Any = sdk
    kinds: Any = models
    provider: Any = providers
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
    import langchain.agents as sdk  # pyright: ignore[reportMissingImports]
    import langchain_openai as models  # pyright: ignore[reportMissingImports]
    from langchain_core import tools as declared  # pyright: ignore[reportMissingImports]

    made: Any = sdk
    kinds: Any = models
    tool: Any = declared.tool
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
