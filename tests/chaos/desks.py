"""Servers in processes of their own, on one database: they are told to end, and others start in their place.

Their desk answers without a gate: in words that come one after the other, now and then with a tool or a task.
"""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Callable
from functools import partial
from http.client import HTTPConnection
from multiprocessing.context import ForkServerProcess
from pathlib import Path
from typing import Any

from frontdesk.agents import Agent, Desk
from frontdesk.agents.model import Message, ModelRequest, TextDelta
from frontdesk.agents.models.scripted import Scripted, ScriptedModel, ScriptedReply, call, delay
from frontdesk.broker.database import Database
from frontdesk.tasks import TaskContext, task
from frontdesk.tests.chaos.waiting import until
from frontdesk.tests.playback.process import CONTEXT, free_port
from frontdesk.tests.served import Lines, look

WORDS = 12
PAUSE, LONG_PAUSE = 0.002, 0.1  # between two words


@task(idempotent=True)
async def errand(context: TaskContext[None], name: str) -> str:
    """Is done at once."""
    await context.progress(0.5, f"at {name}")
    return f"{name} is done"


def answer(text: str) -> str:
    """What the desk says to this."""
    return f"{text}: " + " ".join(f"word{number}" for number in range(WORDS))


def spoken(text: str) -> ScriptedReply:
    """It is said word by word, with a little time between."""
    words, pause = answer(text).split(" "), LONG_PAUSE if text.startswith("slow") else PAUSE
    parts: list[Any] = []
    for number, word in enumerate(words):
        parts += [TextDelta(word if number == 0 else f" {word}"), *delay(pause).parts]
    return ScriptedReply((*parts, Message(answer(text))))


class Talkative(Lines):
    """Answers whatever is asked; ``file …`` files a task, ``look …`` uses a tool, ``slow …`` is answered slowly."""

    def __call__(self, request: ModelRequest) -> Scripted:
        for item in request.items:
            if item.get("role") == "user":
                content = item["content"]
                text = content if isinstance(content, str) else "".join(part.get("text", "") for part in content)
                self[text] = self._replies_to(text)
        return super().__call__(request)

    def _replies_to(self, text: str) -> tuple[ScriptedReply, ...]:
        if text.startswith("file"):
            filed = {"task": {"name": "errand", "arguments": {"name": text}}, "title": None, "again": None}
            return (call("create_task", filed), spoken(text))
        if text.startswith("look"):
            return (call("look", {"word": text}), spoken(text))
        return (spoken(text),)


desk: Desk[Any] = Desk(
    Agent("triage", "Answers.", tools=[look], tasks=[errand]),
    name="house",
    model=ScriptedModel(Talkative()),
    max_unattended_turns=1_000,
)
Serve = Callable[[str, int], None]  # a server on the database of this URL, on this port


def serve(url: str, port: int) -> None:
    """The process's whole life: a server with a worker, until SIGTERM."""
    from frontdesk.server.service import Service
    from frontdesk.server.serving import Server, listen

    database = Database.open(url, durable=False, exclusive=False)
    try:
        worker = desk.worker(database, lease=2.0, turns=16)
        service = Service(desk, database, worker=worker, drain_seconds=0.2, grace_seconds=0.5)
        Server(service).run(sockets=[listen("127.0.0.1", port)])
    finally:
        database.close()


def commanded(folder: Path) -> Serve:
    """The command ``frontdesk serve`` instead, as it is but for its drain, which is short. What it says is appended to
    a file in the folder that is named after its port."""
    return partial(_command, str(folder))


def _command(folder: str, url: str, port: int) -> None:
    from frontdesk.server.cli import main

    with (Path(folder) / f"{port}.log").open("a") as said:
        os.dup2(said.fileno(), 1)
        os.dup2(said.fileno(), 2)
    os.environ.update(FRONTDESK_DRAIN_SECONDS="0.2", FRONTDESK_GRACE_SECONDS="0.5", FRONTDESK_TURNS="16")
    sys.argv = ["frontdesk", "serve", f"{__name__}:desk", "--port", str(port), "--database", url]
    main()


class Servers:
    """So many servers on one database, each on its port."""

    def __init__(self, url: str, count: int, serve: Serve = serve) -> None:
        self._url, self._serve = url, serve
        self.ports = [free_port() for _ in range(count)]
        self._processes: list[ForkServerProcess] = [self._start(port) for port in self.ports]
        for port in self.ports:
            until(lambda port=port: ready(port))  # type: ignore[misc]

    def _start(self, port: int) -> ForkServerProcess:
        process = CONTEXT.Process(target=self._serve, args=(self._url, port), daemon=True)
        process.start()
        return process

    def restart(self, number: int) -> None:
        """Ends one in order, as a deployment does, and starts another in its place; returns when that is ready."""
        old, port = self._processes[number], self.ports[number]
        old.terminate()
        old.join(30)
        assert old.exitcode == 0, f"the server has ended with {old.exitcode}"
        self._processes[number] = self._start(port)
        until(lambda: ready(port))

    def kill(self, number: int) -> None:
        """As ``kill -9`` does, and starts another in its place."""
        old, port = self._processes[number], self.ports[number]
        old.kill()
        old.join(30)
        assert old.exitcode == -signal.SIGKILL
        self._processes[number] = self._start(port)
        until(lambda: ready(port))

    def stop(self) -> None:
        for process in self._processes:
            process.terminate()
        for process in self._processes:
            process.join(30)


def ready(port: int) -> bool:
    """Whether a load balancer would send somebody there."""
    connection = HTTPConnection("127.0.0.1", port, timeout=5)
    try:
        connection.request("GET", "/readyz")
        return connection.getresponse().status == 200
    except OSError:
        return False
    finally:
        connection.close()
