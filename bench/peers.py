"""A turn with one tool call beside other frameworks: processor time, turns per second, three tools at once.

    python -m frontdesk.bench.peers openai|openai-aiohttp|frontdesk|frontdesk-httpx|durable|openai-agents|… [--quick]

The model is ``fake_model`` in another process. ``chat`` and ``responses`` are streamed, ``chat_whole`` and
``responses_whole`` are not: Frontdesk always streams, so its figures there are the same. ``durable`` is Frontdesk as it
ships, accepted, claimed and written to a database on disk; all others keep nothing.
"""

from __future__ import annotations

import argparse
import asyncio
import tempfile
import time
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import TypeAlias

from openai import AsyncOpenAI, DefaultAioHttpClient

from frontdesk.agents import Agent, Desk
from frontdesk.agents.models.chat import ChatModel
from frontdesk.agents.models.responses import ResponsesModel
from frontdesk.broker.database import Database

from . import peer_loops, turns_floor, whole_floor
from .desk import ANSWER, INSTRUCTIONS, add, slow
from .figures import Column, Figures, Goal, Table, quantile
from .kept import Asking
from .peer_loops import PEERS, Ask
from .rounds import Benchmark, Subject, show, unavailable
from .server_process import serving
from .turns import CONVERSATIONS, QUESTION, at_once, by_loop, desk_of
from .wal import written

SECONDS = 1.5
THREE = "three at once"
MODES = {"chat": "Chat Completions, streamed", "chat_whole": "Chat Completions, not streamed",
         "responses": "Responses, streamed", "responses_whole": "Responses, not streamed"}  # fmt: skip
HAND, AIOHTTP, FRONTDESK = "AsyncOpenAI by hand", "the same on aiohttp", "Frontdesk"
HTTPX, DURABLE = "Frontdesk on httpx", "Frontdesk, durable"
MODULE = "frontdesk.bench.peers"

Turns: TypeAlias = dict[str, Ask]

BENCHMARK = Benchmark(
    "peers",
    (
        Subject(HAND, MODULE, ("openai",)),
        Subject(AIOHTTP, MODULE, ("openai-aiohttp",)),
        *(Subject(name, MODULE, (name,)) for name in PEERS),
        Subject(HTTPX, MODULE, ("frontdesk-httpx",)),
        Subject(FRONTDESK, MODULE, ("frontdesk",)),
        Subject(DURABLE, MODULE, ("durable",)),
    ),
    (
        *(
            Table(
                f"A turn with one tool call, the loop alone, 100 at once: {name}",
                (HAND, AIOHTTP, *PEERS, HTTPX, FRONTDESK),
                (
                    Column(f"{mode}_cpu", "CPU ms/turn"),
                    Column(f"{mode}_cpu", f"× {HAND}", HAND),
                    Column(f"{mode}_rate", "turns/s"),
                ),
            )
            for mode, name in MODES.items()
        ),
        Table(
            "As it ships: every turn kept, 100 conversations at once (Responses, streamed; the others keep nothing)",
            (*PEERS, DURABLE),
            (
                Column("responses_rate", "turns/s"),
                Column("responses_cpu", "CPU ms/turn"),
                Column("alone", "ms/turn, alone"),
                Column("commits", "commits/turn"),
            ),
        ),
        Table(
            "Three calls of a tool that sleeps 0.2 s, in one turn",
            (HAND, *PEERS, HTTPX, FRONTDESK),
            (Column("three", "ms"), Column("three", f"× {HAND}", HAND)),
        ),
    ),
    (
        *(Goal(f"{name}, on httpx", HTTPX, HAND, f"{mode}_cpu", 1.1) for mode, name in MODES.items()),
        *(Goal(f"{name}, on aiohttp", FRONTDESK, HAND, f"{mode}_cpu", 0.6) for mode, name in MODES.items()),
        *(Goal(f"durable, turns/s beside {one}", DURABLE, one, "responses_rate", 1.0, at_least=True) for one in PEERS),
        Goal("three tools at once", FRONTDESK, HAND, "three", 1.05),
    ),
    "`bench/peer_loops.py` holds the other frameworks' turns, `bench/turns_floor.py` and `bench/whole_floor.py` those "
    "by hand. The three tools are asked for over Chat Completions, not streamed where that can be chosen.",
)


def by_hand(client: AsyncOpenAI) -> Turns:
    async def chat(text: str) -> str:
        return await turns_floor.chat(client, text)

    async def responses(text: str) -> str:
        return await turns_floor.responses(client, text)

    async def chat_whole(text: str) -> str:
        return await whole_floor.chat(client, text)

    async def responses_whole(text: str) -> str:
        return await whole_floor.responses(client, text)

    return {"chat": chat, "chat_whole": chat_whole, "responses": responses, "responses_whole": responses_whole}


@asynccontextmanager
async def frontdesk(url: str, client: AsyncOpenAI | None) -> AsyncGenerator[Turns]:
    """Its loop without a database; without a client, on the transport that it chooses."""
    chat = ChatModel("fake", base_url=url, api_key="none", client=client)
    responses = ResponsesModel("fake", base_url=url, api_key="none", client=client)
    try:
        yield {"chat": by_loop(desk_of(chat)), "responses": by_loop(desk_of(responses))}
    finally:
        await chat.aclose()
        await responses.aclose()


@asynccontextmanager
async def turns_of(kind: str, url: str) -> AsyncGenerator[Turns]:
    if kind in PEERS:
        peer_loops.prepare()
        loops = {api: PEERS[kind](url, api) for api in ("chat", "responses")}
        yield {
            "chat": loops["chat"][1], "chat_whole": loops["chat"][0],
            "responses": loops["responses"][1], "responses_whole": loops["responses"][0],
        }  # fmt: skip
    elif kind == "frontdesk":
        async with frontdesk(url, None) as turns:
            yield turns
    else:
        http = DefaultAioHttpClient() if kind == "openai-aiohttp" else None
        async with AsyncOpenAI(base_url=url, api_key="none", http_client=http) as client:
            if kind == "openai" or http is not None:
                yield by_hand(client)
            else:
                async with frontdesk(url, client) as turns:
                    yield turns


async def measured(kind: str, url: str, *, quick: bool) -> Figures:
    found: dict[str, float] = {}
    conversations, seconds = (3, 0.02) if quick else (CONVERSATIONS, SECONDS)
    async with turns_of(kind, url) as turns:
        for mode, ask in turns.items():

            async def turn(ask: Ask = ask) -> str:
                return await ask(QUESTION)

            await at_once(turn, conversations, seconds / 5)  # warms up, opens the connections
            found[f"{mode}_cpu"], found[f"{mode}_rate"], _ = await at_once(turn, conversations, seconds)
        times: list[float] = []
        for _ in range(2 if quick else 5):
            began = time.perf_counter()
            said = await (turns.get("chat_whole") or turns["chat"])(THREE)
            times.append((time.perf_counter() - began) * 1e3)
            if said != ANSWER:
                raise RuntimeError(f"the turn said {said!r}")
        found["three"] = quantile(times[1:], 0.5)
    if kind.startswith("frontdesk"):  # it always streams
        for figure in ("cpu", "rate"):
            found |= {f"{api}_whole_{figure}": found[f"{api}_{figure}"] for api in ("chat", "responses")}
    return found


async def durable(url: str, folder: Path, *, quick: bool) -> Figures:
    """Turns that are accepted, claimed, run and written, from the input to the event that ends the response."""
    conversations, seconds = (3, 0.02) if quick else (CONVERSATIONS, SECONDS)
    model = ResponsesModel("fake", base_url=url, api_key="none")
    desk: Desk[None] = Desk(Agent("triage", INSTRUCTIONS, tools=[add, slow]), name="adding", model=model)
    path = folder / "kept.db"
    database = Database.open(f"sqlite:///{path}")
    worker = desk.worker(database, turns=conversations)
    worker.start()
    found: dict[str, float] = {}
    try:
        turn = Asking(database).turn
        await turn()
        before, turns = written(path), 3 if quick else 10
        for _ in range(turns):  # before there is so much in the log that it is begun anew
            await turn()
        found["commits"] = (written(path) - before).commits / turns
        await at_once(turn, conversations, seconds / 5)
        _, _, times = await at_once(turn, 1, seconds)
        found["alone"] = quantile(times, 0.5)
        found["responses_cpu"], found["responses_rate"], _ = await at_once(turn, conversations, seconds)
    finally:
        await worker.stop(1.0)
        database.close()
    return found


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("kind")
    parser.add_argument("--quick", action="store_true")
    given = parser.parse_args()
    with (
        tempfile.TemporaryDirectory(prefix="frontdesk-bench-") as folder,
        serving(["-m", "frontdesk.bench.fake_model"], Path(folder)) as model,
    ):
        url = f"http://{model.address}/v1"
        try:
            if given.kind == "durable":
                show(asyncio.run(durable(url, Path(folder), quick=given.quick)))
            else:
                show(asyncio.run(measured(given.kind, url, quick=given.quick)))
        except ImportError as error:
            unavailable(f"not installed: {error.name}")


if __name__ == "__main__":
    main()
