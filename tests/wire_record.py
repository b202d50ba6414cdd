"""What clients received, byte for byte, and the rules that hold for all of it: the SDK's types, our own, and the order.

It sees the texts below the official client (the socket's class is ours, what it does is not changed), so nothing is
lost in lenient parsing.
"""

from __future__ import annotations

import json
import threading
from collections import Counter, defaultdict
from dataclasses import dataclass, field
from typing import Annotated, Any, Literal, TypeAlias, cast, get_args

import anyio
from openai.types.responses import ResponseOutputItem
from openai.types.responses.responses_server_event import ResponsesServerEvent
from pydantic import BaseModel, ConfigDict, TypeAdapter
from pydantic import Field as Limit
from websockets.asyncio.client import ClientConnection
from websockets.sync.client import ClientConnection as SyncClientConnection

PATIENCE = 30.0  # seconds without a message; a bound for what never comes, not a measure
TERMINAL = ("response.completed", "response.failed", "response.incomplete")
Event: TypeAlias = dict[str, Any]
Cursor: TypeAlias = Annotated[str, Limit(pattern=r"^[0-9]+$")]


class Own(BaseModel):
    """An event of ours: the fields of PROTOCOL, and whatever else."""

    model_config = ConfigDict(extra="allow")

    stream_id: str | None = None


class TaskView(BaseModel):
    model_config = ConfigDict(extra="allow")

    id: Annotated[str, Limit(pattern="^task_")]
    label: str
    name: str
    title: str
    agent: str | None
    status: Literal["queued", "running", "waiting", "succeeded", "failed", "cancelled", "held"]
    progress: float | None
    message: str | None
    result: Any
    error: str | None
    attempt: int
    created_at: float
    started_at: float | None
    finished_at: float | None


class Durable(Own):
    conversation: Annotated[str, Limit(pattern="^conv_")]
    cursor: Cursor


class TaskEvent(Durable):
    type: Literal["frontdesk:task.created", "frontdesk:task.updated", "frontdesk:task.finished"]
    task: TaskView


class AgentChanged(Durable):
    type: Literal["frontdesk:agent.changed"]
    from_: str = Limit(alias="from")
    to: str


class Subscribed(Durable):
    type: Literal["frontdesk:subscribed"]


class Accepted(Own):
    type: Literal["frontdesk:accepted"]
    input_id: str | None
    response_id: Annotated[str, Limit(pattern="^resp_")]
    conversation: Annotated[str, Limit(pattern="^conv_")]
    position: Annotated[int, Limit(ge=1)]


class Gap(Own):
    type: Literal["frontdesk:gap"]
    conversation: str
    after: Cursor
    resumes_at: Cursor


class Draining(Own):
    type: Literal["frontdesk:draining"]
    closes_in_seconds: float


OURS: tuple[type[BaseModel], ...] = (TaskEvent, AgentChanged, Subscribed, Accepted, Gap, Draining)
THEIRS = cast("tuple[type[BaseModel], ...]", get_args(get_args(ResponsesServerEvent)[0]))
CLASSES: dict[str, type[BaseModel]] = {
    kind: one for one in (*THEIRS, *OURS) for kind in get_args(one.model_fields["type"].annotation)
}
UNNUMBERED = {"error", "response.steer.accepted", "response.steer.failed", "frontdesk:accepted", "frontdesk:draining"}
ITEM: TypeAdapter[Any] = TypeAdapter(ResponseOutputItem)


def validated(text: str) -> Event:
    """The event, after a strict check against the class of its type."""
    event: Event = json.loads(text)
    assert event["type"] in CLASSES, f"no such event: {text[:200]}"
    if event["type"] == "response.steer.failed" and event["error"]["code"] == "invalid_input":
        event["steer"]["input"] = ""  # what is returned is what was wrong: no type can hold it
    CLASSES[event["type"]].model_validate_json(json.dumps(event), strict=True)
    if event["type"] not in UNNUMBERED and event["type"] != "frontdesk:gap":
        Durable.model_validate_json(text, strict=True)
    if event["type"].startswith("response.") and event["type"] not in UNNUMBERED:
        assert event["response_id"].startswith("resp_")
    for item in [event["item"]] if "item" in event else event.get("response", {}).get("output", []):
        assert item["type"] == ITEM.validate_json(json.dumps(item), strict=True).type
        assert isinstance(item["agent"]["agent_name"], str)
    if "response" in event:
        assert event["response"]["id"] == event["response_id"]
        assert event["response"]["conversation"] == {"id": event["conversation"]}
    return event


@dataclass
class _Lane:
    speaking: str = ""
    last: dict[str, tuple[int, str]] = field(default_factory=dict[str, tuple[int, str]])  # number and type, by response


class Order:
    """The rules of order on one connection; `take` fails at the first event that breaks one.

    ``begun`` counts how often each response has begun on any connection: one that begins again is a replay, which may
    leave deltas out.
    """

    def __init__(self, begun: Counter[str]) -> None:
        self._begun = begun
        self._lanes: defaultdict[str | None, _Lane] = defaultdict(_Lane)
        self._cursors: defaultdict[str, int] = defaultdict(int)
        self._subscribed: dict[str, int] = {}

    def take(self, event: Event) -> None:
        lane, kind = event.get("stream_id"), event["type"]
        if kind == "frontdesk:subscribed":
            assert lane == f"frontdesk.{event['conversation']}"
            after = self._subscribed[event["conversation"]] = int(event["cursor"])
            self._cursors[event["conversation"]] = min(after, self._cursors[event["conversation"]])
            self._lanes.pop(lane, None)
            return
        if "cursor" not in event:
            return
        asked = lane is not None and lane.startswith("frontdesk.")
        assert not asked or int(event["cursor"]) > self._subscribed[event["conversation"]], f"nobody asked for {kind}"
        if kind.startswith("response."):
            self._speak(self._lanes[lane], event, asked)
        else:
            assert asked, f"nobody asked for {kind}"
        if asked or self._begun[event["response_id"]] == 1:
            self._in_order(event)

    def _in_order(self, event: Event) -> None:
        """On one connection a conversation's events come in the log's order, whatever their lanes."""
        assert int(event["cursor"]) > self._cursors[event["conversation"]], f"out of order: {event}"
        self._cursors[event["conversation"]] = int(event["cursor"])

    def _speak(self, lane: _Lane, event: Event, asked: bool) -> None:
        """Within a lane one response speaks at a time, from its beginning, without a gap in its numbers."""
        kind, response_id, number = event["type"], event["response_id"], event["sequence_number"]
        if kind == "response.created":
            assert not lane.speaking, f"{response_id} began before {lane.speaking} had ended"
            assert number == 0
            self._begin(response_id)
            lane.speaking = response_id
        elif asked and response_id not in lane.last:
            lane.speaking = response_id  # a subscription may begin in the middle of a response
        else:
            assert response_id in lane.last, f"{kind} of a response that has not begun here"
            before, what = lane.last[response_id]
            replay = asked or self._begun[response_id] > 1
            left_out = replay and kind == "response.output_text.done" and number > before
            assert number == before + 1 or left_out, f"after {before} ({what}) comes {event}"
        lane.last[response_id] = number, kind
        if kind in TERMINAL:
            assert lane.speaking in (response_id, ""), f"{response_id} ended while {lane.speaking} spoke"
            lane.speaking = ""

    def _begin(self, response_id: str) -> None:
        self._begun[response_id] += 1
        for other in self._lanes.values():
            if other.speaking == response_id:  # a repeat may take it to another lane
                other.speaking = ""


class Record:
    """Everything that the clients received that were given its ``options``, by connection."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._texts: list[list[str]] = []

    def _connection(self) -> list[str]:
        with self._lock:
            self._texts.append([])
            return self._texts[-1]

    def options(self, **more: Any) -> Any:
        """For ``websocket_connection_options`` of the asynchronous client."""
        record = self

        class Recorded(ClientConnection):
            def __init__(self, *args: Any, **kwargs: Any) -> None:
                super().__init__(*args, **kwargs)
                self.texts = record._connection()

            async def recv(self, decode: bool | None = None) -> Any:
                with anyio.fail_after(PATIENCE):
                    message = await super().recv(decode)
                self.texts.append(message if isinstance(message, str) else message.decode())
                return message

        return {"create_connection": Recorded, **more}

    def sync_options(self) -> Any:
        """For ``websocket_connection_options`` of the synchronous client."""
        record = self

        class Recorded(SyncClientConnection):
            def __init__(self, *args: Any, **kwargs: Any) -> None:
                super().__init__(*args, **kwargs)
                self.texts = record._connection()

            def recv(  # pyright: ignore[reportIncompatibleMethodOverride] # it has overloads
                self, timeout: float | None = None, decode: bool | None = None
            ) -> Any:
                message = super().recv(PATIENCE if timeout is None else timeout, decode)
                self.texts.append(message if isinstance(message, str) else message.decode())
                return message

        return {"create_connection": Recorded}

    def events(self, connection: int | None = None) -> list[Event]:
        """What was received, of one connection (in the order of opening) or of all."""
        chosen = self._texts if connection is None else [self._texts[connection]]
        return [json.loads(text) for texts in chosen for text in texts]

    def check(self) -> None:
        """Fails when anything that was received breaks a rule."""
        begun: Counter[str] = Counter()
        for texts in self._texts:
            order = Order(begun)
            for text in texts:
                order.take(validated(text))
