"""A desk served in this process for the official clients: a real port, its worker embedded, its database a file.

What the model says is written by the test, by the text of the person's message. Tests of the server alone move their
worker by hand (``fakes``).
"""

from __future__ import annotations

import threading
from collections import defaultdict
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from openai import AsyncOpenAI, OpenAI

from frontdesk.agents import Agent, Context, Desk, tool
from frontdesk.agents.model import FunctionCall, Message, ModelRequest, TextDelta
from frontdesk.agents.models.scripted import Gate, Scripted, ScriptedModel, ScriptedReply, call, say, wait
from frontdesk.broker.database import Database
from frontdesk.server.door import Door
from frontdesk.server.limits import Limits
from frontdesk.server.service import Service
from frontdesk.server.serving import Server, address_of, listen
from frontdesk.tasks import TaskContext, task
from frontdesk.tests.wire_record import Record


class Gates:
    """Places where tools, tasks and replies stop until the test opens them, by name."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._gates: defaultdict[str, Gate] = defaultdict(Gate)

    def __getitem__(self, name: str) -> Gate:
        with self._lock:
            return self._gates[name]


@tool
async def look(word: str) -> str:
    """Looks a word up."""
    return f"{word} is a word"


@tool(idempotent=True)
async def hold(name: str, context: Context[Gates]) -> str:
    """Stops at the gate of that name."""
    await context.dependencies[name].wait()
    return f"held at {name}"


@tool(namespace="till", needs_approval=True)
async def pay(amount: int) -> str:
    """Pays, once somebody has agreed."""
    return f"paid {amount}"


@task(idempotent=True)
async def errand(context: TaskContext[Gates], name: str) -> str:
    """Stops at the gate of that name, and is done."""
    await context.progress(0.5, f"at {name}")
    await context.dependencies[name].wait()
    return f"{name} is done"


@task
async def choose(context: TaskContext[Gates], what: str) -> Any:
    """Asks the person."""
    return await context.ask(f"Which {what}?")


def file_errand(name: str) -> ScriptedReply:
    """A call that files the task `errand`."""
    return call("create_task", {"task": {"name": "errand", "arguments": {"name": name}}, "title": None, "again": None})


def said_around(before: str, gate: Gate, after: str) -> ScriptedReply:
    """One message with a stop in it."""
    return ScriptedReply((TextDelta(before), *wait(gate).parts, TextDelta(after), Message(before + after)))


class Lines:
    """Answers each message of a person with the replies that were written for its text, else by repeating it.

    A notice that starts a turn is answered with how many notices there are.
    """

    def __init__(self) -> None:
        self._replies: dict[str, tuple[ScriptedReply, ...]] = {}

    def __setitem__(self, text: str, replies: Scripted | tuple[Scripted, ...]) -> None:
        """Replies to this text, one after the other, each after the outputs of the calls before it."""
        given = replies if isinstance(replies, tuple) else (replies,)
        self._replies[text] = tuple(say(one) if isinstance(one, str) else one for one in given)

    def __call__(self, request: ModelRequest) -> Scripted:
        asked = max(number for number, item in enumerate(request.items) if item.get("role") == "user")
        since = request.items[asked + 1 :]
        answered = max((number for number, item in enumerate(since) if item.get("role") == "assistant"), default=-1)
        notices = [one for one in since[answered + 1 :] if str(one.get("call_id")).startswith("notice_")]
        if notices and answered >= 0:
            return f"heard of {len(notices) // 2}"
        text = _text(request.items[asked])
        calls = [one for one in since if one.get("type") == "function_call"]
        number = sum(not str(one["call_id"]).startswith("notice_") for one in calls)
        for reply in self._replies.get(text, (say(f"You said: {text}"),)):
            if number == 0:
                return reply
            number -= sum(isinstance(part, FunctionCall) for part in reply.parts)
        return "done"


def _text(item: dict[str, Any]) -> str:
    content = item["content"]
    return content if isinstance(content, str) else "".join(part.get("text", "") for part in content)


class House:
    """One desk on one port: ``lines`` and ``gates`` move it, ``record`` holds all that clients received from it."""

    def __init__(self, folder: Path, *, limits: Limits | None = None, token: str = "") -> None:
        self.lines, self.gates, self.record = Lines(), Gates(), Record()
        self.model = ScriptedModel(self.lines)
        self._database = f"sqlite:///{folder / 'desk.db'}"
        self._limits, self._token = limits or Limits(), token
        self._port = 0
        self._running: tuple[Database, Server, threading.Thread] | None = None

    @property
    def base_url(self) -> str:
        return f"http://127.0.0.1:{self._port}/v1"

    @property
    def database(self) -> Database:
        """What it is being served from."""
        assert self._running is not None
        return self._running[0]

    def start(self) -> None:
        """Serves; on the same port and the same database as before, if there was a before."""
        helper = Agent("helper", "Helps.", tools=[look, hold])
        desk = Desk(
            Agent("triage", "Answers.", tools=[look, hold, pay], tasks=[errand, choose], handoffs=[helper]),
            name="house",
            model=self.model,
            dependencies=self.gates,
        )
        database = Database.open(self._database, durable=False)
        listening = listen("127.0.0.1", self._port)
        self._port = int(address_of(listening).rpartition(":")[2])
        self.service = service = Service(
            desk,
            database,
            worker=desk.worker(database),
            limits=self._limits,
            door=Door(token=self._token),
            drain_seconds=0.05,
            grace_seconds=0.05,
        )
        server = Server(service, embedded=True)
        thread = threading.Thread(target=server.run, kwargs={"sockets": [listening]}, name="house")
        thread.start()
        self._running = database, server, thread

    def stop(self) -> None:
        """Ends as after SIGTERM; what runs is given back."""
        assert self._running is not None
        database, server, thread = self._running
        server.stop()
        thread.join(30)
        assert not thread.is_alive(), "the server does not end"
        database.close()
        self._running = None

    def restart(self) -> None:
        self.stop()
        self.start()

    def client(self) -> AsyncOpenAI:
        return AsyncOpenAI(base_url=self.base_url, api_key="any", max_retries=0)

    def sync_client(self) -> OpenAI:
        return OpenAI(base_url=self.base_url, api_key="any", max_retries=0)


@contextmanager
def open_house(folder: Path, *, limits: Limits | None = None, token: str = "") -> Generator[House]:
    """A house that is being served; at the end, everything that was received is checked."""
    house = House(folder, limits=limits, token=token)
    house.start()
    try:
        yield house
    finally:
        house.stop()
    house.record.check()
