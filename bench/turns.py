"""Processor time of a turn with one tool call (two requests to a model), without any database: ours and by hand.

    python -m frontdesk.bench.turns frontdesk|openai|openai-aiohttp|aiohttp [--quick]

The model is ``fake_model`` in another process, which takes no time; both stream. ``cpu_1`` and ``cpu_100`` are
milliseconds of this process for each turn, with 1 and with 100 conversations at once; ``wall_1`` is the median of one
turn alone.
"""

from __future__ import annotations

import argparse
import asyncio
import tempfile
import time
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Protocol, TypeAlias

import aiohttp
from openai import AsyncOpenAI, DefaultAioHttpClient

from frontdesk.agents import Agent, Desk
from frontdesk.agents.entries import user_message
from frontdesk.agents.history import StoredItem
from frontdesk.agents.journal import Journal
from frontdesk.agents.loop import TurnLoop
from frontdesk.agents.model import Model
from frontdesk.agents.models.chat import ChatModel
from frontdesk.agents.models.responses import ResponsesModel
from frontdesk.agents.response import About, Progress
from frontdesk.agents.stores import MemoryStore

from . import turns_floor
from .desk import ANSWER, INSTRUCTIONS, add, slow
from .figures import Column, Figures, Goal, Table, quantile
from .rounds import Benchmark, Subject, show
from .server_process import serving

Turn: TypeAlias = Callable[[], Awaitable[str]]


class ByLoop(Protocol):
    """A turn about a text, the usual one by default."""

    async def __call__(self, text: str = ...) -> str: ...


CONVERSATIONS = 100
SECONDS = 2.5
QUESTION = "add 1 and 2"
FRONTDESK, OPENAI, AIOHTTP, BARE = "Frontdesk", "AsyncOpenAI by hand", "the same on aiohttp", "aiohttp alone"
APIS = {"chat": "Chat Completions", "responses": "Responses"}


def _columns(api: str) -> tuple[Column, ...]:
    return (
        Column(f"{api}_cpu_100", "CPU ms/turn at 100"),
        Column(f"{api}_cpu_100", f"× {OPENAI}", OPENAI),
        Column(f"{api}_cpu_100", f"× {AIOHTTP}", AIOHTTP),
        Column(f"{api}_cpu_1", "CPU ms/turn at 1"),
        Column(f"{api}_cpu_1", f"× {AIOHTTP}", AIOHTTP),
        Column(f"{api}_wall_1", "wall ms/turn at 1"),
        Column(f"{api}_rate_100", "turns/s at 100"),
    )


MODULE = "frontdesk.bench.turns"

BENCHMARK = Benchmark(
    "turns",
    (
        Subject(OPENAI, MODULE, ("openai",)),
        Subject(AIOHTTP, MODULE, ("openai-aiohttp",)),
        Subject(BARE, MODULE, ("aiohttp",)),
        Subject(FRONTDESK, MODULE, ("frontdesk",)),
    ),
    tuple(
        Table(
            f"A turn with one tool call, the loop alone, {name}, streamed",
            (OPENAI, AIOHTTP, BARE, FRONTDESK),
            _columns(api),
        )
        for api, name in APIS.items()
    ),
    tuple(
        Goal(f"{name}, CPU per turn at 100, beside {floor}", FRONTDESK, floor, f"{api}_cpu_100", 1.25)
        for api, name in APIS.items()
        for floor in (OPENAI, AIOHTTP)
    ),
    "By hand: `bench/turns_floor.py`; with aiohttp alone nothing is checked and nothing is tried again. Frontdesk: its "
    "loop with journal, history and the wire's events, kept in memory; its models use the client's connection on "
    "aiohttp and parse the stream themselves.",
)


def by_loop(desk: Desk[None]) -> ByLoop:
    """A turn of Frontdesk's loop that keeps nothing."""
    team, agent = desk.team(), desk.entry.name

    async def turn(text: str = QUESTION) -> str:
        asked = StoredItem("msg_1", "resp_1", -1, "completed", "", user_message(text))
        about = About(response_id="resp_1", conversation_id="conv_1", tenant="", created_at=time.time(), request={})
        journal = Journal(about, MemoryStore(), [asked], progress=Progress(path=[agent]))
        await TurnLoop(team, journal).run()
        return "".join(part["text"] for part in journal.items[-1].body["content"])

    return turn


def desk_of(model: Model) -> Desk[None]:
    """The one agent, with its one tool."""
    return Desk(Agent("triage", INSTRUCTIONS, tools=[add, slow]), model=model)


@asynccontextmanager
async def turns_of(kind: str, url: str) -> AsyncGenerator[dict[str, Turn]]:
    """A turn of this subject, by API."""
    if kind == "frontdesk":
        chat = ChatModel("fake", base_url=url, api_key="none")
        responses = ResponsesModel("fake", base_url=url, api_key="none")
        try:
            yield {"chat": by_loop(desk_of(chat)), "responses": by_loop(desk_of(responses))}
        finally:
            await chat.aclose()
            await responses.aclose()
    elif kind == "aiohttp":
        async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=200)) as session:
            yield {
                "chat": lambda: turns_floor.bare_chat(session, url, QUESTION),
                "responses": lambda: turns_floor.bare_responses(session, url, QUESTION),
            }
    else:
        http = DefaultAioHttpClient() if kind == "openai-aiohttp" else None
        async with AsyncOpenAI(base_url=url, api_key="none", http_client=http) as client:
            yield {
                "chat": lambda: turns_floor.chat(client, QUESTION),
                "responses": lambda: turns_floor.responses(client, QUESTION),
            }


async def at_once(turn: Turn, conversations: int, seconds: float) -> tuple[float, float, list[float]]:
    """Turns one after the other in each conversation: CPU ms per turn, turns per second, the times of each in ms."""
    times: list[float] = []
    until = time.perf_counter() + seconds

    async def converse() -> None:
        while (began := time.perf_counter()) < until or not times:
            said = await turn()
            if said != ANSWER:
                raise RuntimeError(f"the turn said {said!r}")
            times.append((time.perf_counter() - began) * 1e3)

    began, used = time.perf_counter(), time.process_time()
    await asyncio.gather(*(converse() for _ in range(conversations)))
    used, took = time.process_time() - used, time.perf_counter() - began
    return used / len(times) * 1e3, len(times) / took, times


async def measured(kind: str, url: str, *, quick: bool) -> Figures:
    found: dict[str, float] = {}
    conversations, seconds = (3, 0.02) if quick else (CONVERSATIONS, SECONDS)
    async with turns_of(kind, url) as turns:
        for api, turn in turns.items():
            await at_once(turn, conversations, seconds / 5)  # warms up
            found[f"{api}_cpu_1"], _, times = await at_once(turn, 1, seconds)
            found[f"{api}_wall_1"] = quantile(times, 0.5)
            found[f"{api}_cpu_100"], found[f"{api}_rate_100"], _ = await at_once(turn, conversations, seconds)
    return found


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("kind", choices=["frontdesk", "openai", "openai-aiohttp", "aiohttp"])
    parser.add_argument("--quick", action="store_true")
    given = parser.parse_args()
    with (
        tempfile.TemporaryDirectory(prefix="frontdesk-bench-") as folder,
        serving(["-m", "frontdesk.bench.fake_model"], Path(folder)) as model,
    ):
        show(asyncio.run(measured(given.kind, f"http://{model.address}/v1", quick=given.quick)))


if __name__ == "__main__":
    main()
