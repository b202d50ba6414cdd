"""Writes docs/protocol.md: the events from the types, and one exchange of each flow, recorded from a real server.

    python -m frontdesk.tests.protocol_page        # writes the page anew

Ids and times are replaced, so that the page changes only when the protocol does. Texts come in pieces whose number
depends on the moment: they are left out where a conversation is replayed.
"""

from __future__ import annotations

import asyncio
import json
import re
import tempfile
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, TypeAlias, get_args

import anyio
import httpx2
from pydantic import BaseModel

from frontdesk.agents import Agent, Desk, tool
from frontdesk.agents.models.scripted import ScriptedModel, call
from frontdesk.broker.database import Database
from frontdesk.broker.retention import Keep, shorten_log
from frontdesk.server import wire
from frontdesk.server.http import ENDPOINTS
from frontdesk.tests.fakes.served import PATIENCE, Client, client, served_desk
from frontdesk.tests.served import Gates, Lines, errand, file_errand, hold

PAGE = Path(__file__).resolve().parent.parent / "docs" / "protocol.md"
TERMINAL = ("response.completed", "response.incomplete", "response.failed")
ID = re.compile(r"\b(resp|conv|msg|mcp|mcpr|fc|fco|task|steer|rs|item|chatcmpl)([_-])[0-9a-f]{16,}\b")
TIME = re.compile(r'("(?:created|started|finished)(?:_at)?"): ?1[0-9]{9}(?:\.\d+)?')
QUIET = {"response.in_progress", "frontdesk:task.updated", "response.mcp_call.in_progress"}
WEATHER: Any = {"type": "function", "name": "weather", "parameters": {"type": "object", "properties": {}}}

INTRODUCTION = """\
# The protocol

The protocol is OpenAI's **Responses API**, over WebSocket (`GET /v1/responses` with an upgrade) and over HTTP, and a
few events of our own whose types begin with `frontdesk:`. The API's events and items are described by the types of the
`openai` package; HTTP is described by `GET /v1/openapi.json`.

This page is written by `python -m frontdesk.tests.protocol_page`, from the types and from exchanges with a real server.
In the exchanges `→` is said by the client and `←` by the server; ids are short, times are left out, and of responses
inside events only what matters here is shown.

## What holds everywhere

- Every durable event carries `conversation` and `cursor`, a string unique in its conversation. Everything after a
  cursor can be had again: `?conversation=…&after=…` on the upgrade, or `frontdesk:subscribe`. Drop repeats by cursor.
  Deltas of an item may be missing from a replay once its `done` event holds their content.
- A connection gets, unasked, only what its own creates cause. The rest of a conversation comes to a subscription, on
  the lane `frontdesk.<conversation>`.
- Disconnecting cancels nothing. An input id (`metadata["frontdesk:input_id"]`, `Idempotency-Key` over HTTP) makes a
  repeat get the first one's outcome.
- Over HTTP, `GET /v1/responses/{id}?stream=true&starting_after=N` goes on after the event with that sequence number. A
  stream ends after a whole event when the server stops: go on there or on another server. A client that waits for a
  whole response then gets 503 when it gave an idempotency key, and else the response as it is, `in_progress`: sent
  again, its input would enter twice.
- A cancelled response ends with `response.incomplete` whose response has `status: "cancelled"`. Limits end a response
  as `incomplete`, with `metadata["frontdesk:limit"]`.
- A response that waits for its turn is `cancelled` as soon as that is asked; its input enters the conversation all the
  same, when its turn comes.
- `store: false`: nobody else can read the response or go on from it. What is said in a `conversation` that is named is
  kept there, as in the API; what goes on from a stored response with `previous_response_id` is kept out of its
  conversation, in a fork that is removed.
- Deleting a response forgets it and its events; its items stay in the conversation, as in the API. Deleting a
  conversation removes everything in it. What is live is not deleted: `409 conversation_busy`. With `?cancel=true` the
  conversation is gone at once, its tasks and responses are cancelled, their ends are told to nobody, and what is left
  of them is removed when the last has stopped; until then `GET /v1/tasks/{id}` shows them.
- Chat completions name their conversation by the dialog that they send again, or by
  `metadata["frontdesk:conversation"]`; the answer's header `frontdesk-conversation` says which it was.
- Errors: over WebSocket `{"type": "error", "status", "error": {type, code, message, param}}`; over HTTP the status and
  `{"error": {…}}`; in a stream of server-sent events flat, with a `sequence_number`. `retry-after` says when to come
  back, `x-should-retry: false` that it would be refused again.
"""

GIVEN = """\
## Creating a response

Over the WebSocket (`response.create`) and over HTTP:"""
OURS = """\
## Events and messages of ours

Messages are what a client may send over the WebSocket besides `response.create` and `response.steer`."""

Flow: TypeAlias = Callable[["Talk"], Awaitable[None]]


@tool(needs_approval=True)
async def refund(order: int) -> str:
    """Refunds an order."""
    return f"order {order} is refunded"


class Talk:
    """One exchange, being recorded. ``socket`` is a connection whose messages are written down."""

    def __init__(self, address: str, database: Database, lines: Lines, gates: Gates) -> None:
        self.address, self.database, self.lines, self.gates = address, database, lines, gates
        self.written: list[str] = []
        self.replayed = False  # pieces of text are left out

    @asynccontextmanager
    async def socket(self, query: str = "") -> AsyncGenerator[Client]:
        if query:
            self.written.append(f"→ GET /v1/responses{query}, upgrade")
        async with client(self.address, query) as found:
            yield found

    async def send(self, socket: Client, kind: str, **fields: Any) -> None:
        self.written.append(f"→ {json.dumps({'type': kind, **fields}, ensure_ascii=False)}")
        await socket.send(kind, **fields)

    async def until(self, socket: Client, kind: str, **wanted: Any) -> dict[str, Any]:
        """Writes down what comes, up to an event of this type with these fields."""
        while True:
            with anyio.fail_after(PATIENCE):
                event: dict[str, Any] = json.loads(await socket.socket.recv())
            socket.events.append(event)
            self.hear(event)
            if event["type"] == kind and all(event.get(name) == value for name, value in wanted.items()):
                return event

    def hear(self, event: dict[str, Any]) -> None:
        left_out = QUIET | ({"response.output_text.delta"} if self.replayed else set[str]())
        if event["type"] not in left_out:
            self.written.append(f"← {json.dumps(shown(event), ensure_ascii=False)}")

    async def http(self, method: str, path: str, body: Any = None) -> Any:
        given = "" if body is None else f" {json.dumps(body, ensure_ascii=False)}"
        self.written.append(f"→ {method} {path}{given}")
        async with httpx2.AsyncClient() as http, http.stream(method, self.address + path, json=body) as answer:
            if answer.headers["content-type"].startswith("text/event-stream"):
                async for line in answer.aiter_lines():
                    if line.startswith("data: "):
                        self.hear(json.loads(line[6:]))
                return None
            found = json.loads(await answer.aread())
        told = response(found)
        if told.get("status") == "in_progress":  # or it has begun already: that is chance
            told |= {"status": "queued", "output": []}
        self.written.append(f"← {answer.status_code} {json.dumps(told, ensure_ascii=False)}")
        return found

    def text(self) -> str:
        """What was written, with short ids and without times."""
        names: dict[str, str] = {}
        counts: dict[str, int] = {}

        def short(found: re.Match[str]) -> str:
            if found[0] not in names:
                counts[found[1]] = counts.get(found[1], 0) + 1
                names[found[0]] = f"{found[1]}{found[2]}{counts[found[1]]}"
            return names[found[0]]

        return TIME.sub(r"\1: 0", ID.sub(short, "\n".join(self.written)))


def shown(event: dict[str, Any]) -> dict[str, Any]:
    """An event with only what matters of the response inside it."""
    found = {key: value for key, value in event.items() if key not in ("logprobs",)}
    if "response" in found:
        found["response"] = response(found["response"])
    return found


def response(body: dict[str, Any]) -> dict[str, Any]:
    if body.get("object") != "response":
        return body
    kept = ("id", "status", "background", "previous_response_id", "incomplete_details", "conversation", "metadata")
    found = {key: body[key] for key in kept if body.get(key)}
    return {**found, "output": [one["type"] for one in body["output"]]}


# --- the flows


async def create(talk: Talk) -> None:
    """A response is created, and its answer comes in pieces."""
    talk.lines["Where is order 7?"] = "On its way."
    async with talk.socket() as socket:
        await talk.send(socket, "response.create", model="desk", input="Where is order 7?")
        await talk.until(socket, "response.completed")


async def go_on(talk: Talk) -> None:
    """The next question goes on from a response; `conversation` would do as well."""
    async with talk.socket() as socket:
        await talk.send(socket, "response.create", input="Hello.")
        first = await talk.until(socket, "response.completed")
        await talk.send(socket, "response.create", input="And now?", previous_response_id=first["response_id"])
        await talk.until(socket, "response.completed")


async def steer(talk: Talk) -> None:
    """Input for a response that is running: it ends at its next safe boundary, and a successor answers."""
    talk.lines["Look long."] = (call("hold", {"name": "page"}), "never said")
    async with talk.socket() as socket:
        await talk.send(socket, "response.create", input="Look long.")
        running = await talk.until(socket, "response.mcp_call_arguments.done")
        await talk.send(
            socket, "response.steer", previous_response_id=running["response_id"], input="Only the first one."
        )
        await talk.until(socket, "response.steer.accepted")
        talk.gates["page"].open()
        await talk.until(socket, "response.completed")


async def lanes(talk: Talk) -> None:
    """Two lanes of one connection: each in order, both at once. Shown one lane after the other."""
    async with talk.socket() as socket:
        for lane in ("a", "b"):
            await talk.send(socket, "response.create", input=f"On lane {lane}.", stream_id=lane)
        heard = Talk(talk.address, talk.database, talk.lines, talk.gates)
        for _ in range(2):
            await heard.until(socket, "response.completed")
        for lane in ("a", "b"):
            talk.written += [line for line in heard.written if f'"stream_id": "{lane}"' in line]


async def background(talk: Talk) -> None:
    """Over HTTP, in the background: answered at once, and its events are read when somebody wants them."""
    talk.replayed = True
    talk.lines["Take your time."] = (call("hold", {"name": "background"}), "There it is.")
    found = await talk.http("POST", "/v1/responses", {"input": "Take your time.", "background": True})
    talk.gates["background"].open()
    await talk.http("GET", f"/v1/responses/{found['id']}?stream=true&starting_after=1")
    await talk.http("GET", f"/v1/responses/{found['id']}")


async def client_tools(talk: Talk) -> None:
    """A function that the client runs ends the response; its output goes on with it."""
    talk.lines["Weather?"] = (call("weather", {}, call_id="call_1"), "It is cold.")
    async with talk.socket() as socket:
        await talk.send(socket, "response.create", input="Weather?", tools=[WEATHER])
        first = await talk.until(socket, "response.completed")
        output = {"type": "function_call_output", "call_id": "call_1", "output": "-3"}
        await talk.send(
            socket, "response.create", previous_response_id=first["response_id"], input=[output], tools=[WEATHER]
        )
        await talk.until(socket, "response.completed")


async def approval(talk: Talk) -> None:
    """A call that a person must approve ends the response; the answer finishes the same call."""
    talk.lines["Refund order 7."] = (call("refund", {"order": 7}), "Done.")
    async with talk.socket() as socket:
        await talk.send(socket, "response.create", input="Refund order 7.")
        await talk.until(socket, "response.completed")
        asked = next(one["item"] for one in socket.events if one.get("item", {}).get("type") == "mcp_approval_request")
        answer = {"type": "mcp_approval_response", "approval_request_id": asked["id"], "approve": True}
        last = socket.events[-1]["response_id"]
        await talk.send(socket, "response.create", previous_response_id=last, input=[answer])
        await talk.until(socket, "response.completed")


async def tasks(talk: Talk) -> None:
    """A task outlives its turn. Who subscribes hears of it, and of the turn that its end starts."""
    talk.replayed = True
    talk.lines["Make the report."] = (file_errand("report"), "T1 is under way.")
    async with talk.socket() as socket:
        await talk.send(socket, "response.create", input="Make the report.")
        created = await talk.until(socket, "response.created")
        await talk.until(socket, "response.completed")
        await talk.send(socket, "frontdesk:subscribe", conversation=created["conversation"], after=created["cursor"])
        await talk.until(socket, "frontdesk:task.created")
        talk.gates["report"].open()
        await talk.until(socket, "response.completed", stream_id=f"frontdesk.{created['conversation']}")


async def resume(talk: Talk) -> None:
    """A connection is lost; the next one goes on after the last cursor. What was seen is not sent again."""
    talk.replayed = True
    async with talk.socket() as socket:
        await talk.send(socket, "response.create", input="Remember me.")
        seen = await talk.until(socket, "response.created")
        await talk.until(socket, "response.completed")
    query = f"?conversation={seen['conversation']}&after={seen['cursor']}"
    async with talk.socket(query) as socket:
        await talk.until(socket, "response.completed")


async def gap(talk: Talk) -> None:
    """The log is kept for a time only: who comes back after that is told what is missing."""
    talk.replayed = True
    async with talk.socket() as socket:
        await talk.send(socket, "response.create", input="Long ago.")
        seen = await talk.until(socket, "response.completed")
        await talk.send(socket, "response.create", input="Today.", conversation=seen["conversation"])
        await talk.until(socket, "response.completed")
        keep = Keep(seconds=0, events=9)
        while await talk.database.write(shorten_log, seen["conversation"], keep):
            pass
        await talk.send(socket, "frontdesk:subscribe", conversation=seen["conversation"], after="1")
        await talk.until(socket, "frontdesk:gap")


FLOWS: list[tuple[str, Flow]] = [
    ("Create", create), ("Continue", go_on), ("Steer", steer), ("Lanes", lanes), ("Background and resume", background),
    ("Functions of the client", client_tools), ("Approval", approval), ("Tasks", tasks),
    ("Subscribe and resume", resume),
    ("Gap", gap),
]  # fmt: skip


async def recorded(folder: Path) -> str:
    """The flows, one after the other against one server."""
    found: list[str] = []
    lines, gates = Lines(), Gates()
    agent = Agent("triage", "Answers.", tools=[hold, refund], tasks=[errand])
    desk = Desk(agent, model=ScriptedModel(lines), dependencies=lambda: gates)
    async with served_desk(desk, folder) as (address, database):
        for name, flow in FLOWS:
            talk = Talk(address, database, lines, gates)
            await flow(talk)
            found.append(f"### {name}\n\n{_plain(flow.__doc__)}\n\n```text\n{talk.text()}\n```\n")
    return "\n".join(found)


# --- the page


def reference() -> str:
    """The events and messages of ours, by their types."""
    found = ["| type | fields | |", "|---|---|---|"]
    for model in (*wire.EVENTS, *wire.MESSAGES):
        names = [one.alias or name for name, one in model.model_fields.items() if name != "type"]
        kinds = " ".join(f"`{kind}`" for kind in _kinds(model))
        found.append(f"| {kinds} | {', '.join(f'`{one}`' for one in sorted(names))} | {_said(model)} |")
    paths = "\n".join(f"| `{one.method} {one.path}` | {_first(one.handler.__doc__)} |" for one in ENDPOINTS)
    return (
        "\n".join(found)
        + f"\n\nA task in these events:\n\n{fields(wire.TaskView)}\n\n## Over HTTP\n\n| | |\n|---|---|\n{paths}\n"
    )


def _first(text: str | None) -> str:
    """The first sentence of a docstring."""
    return _plain(text).partition(". ")[0].rstrip(".")


def _plain(text: str | None) -> str:
    """A docstring on one line, as Markdown has it."""
    return " ".join((text or "").split()).replace("``", "`")


def _kinds(model: type[BaseModel]) -> tuple[str, ...]:
    return get_args(model.model_fields["type"].annotation)


def _said(model: type[BaseModel]) -> str:
    return _plain(model.__doc__)


def fields(model: type[BaseModel]) -> str:
    """The fields of a type, and what they mean where their names do not say it."""
    found = ((name, one.description or "") for name, one in model.model_fields.items())
    return "\n".join(f"- `{name}`{': ' + text if text else ''}" for name, text in found)


async def page() -> str:
    """The whole text."""
    with tempfile.TemporaryDirectory() as folder:
        flows = await recorded(Path(folder))
    return (
        f"{INTRODUCTION}\n{GIVEN}\n\n{fields(wire.CreateResponse)}\n\n{OURS}\n\n{reference()}\n## Exchanges\n\n{flows}"
    )


if __name__ == "__main__":
    PAGE.write_text(asyncio.run(page()), "utf-8")
