"""Whatever a client sends, the server goes on: random frames, valid messages that were changed, bytes that are no
protocol at all, on real sockets.

After each example an ordinary request works, and nothing of the hostile connections is left. `make fuzz` runs
thousands of examples.
"""

from __future__ import annotations

import json
import os
import socket
import time
from collections.abc import Iterator
from contextlib import suppress
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from websockets.exceptions import ConnectionClosed
from websockets.sync.client import ClientConnection, connect

from frontdesk.server.limits import Limits
from frontdesk.server.protocol import KEPT, NEUTRAL, READERS
from frontdesk.tests.served import House, file_errand, open_house

EXAMPLES = int(os.environ.get("FRONTDESK_FUZZ", "40"))
SECONDS = 30  # a bound for what never happens
CLOSED = {1000, 1002, 1003, 1006, 1007, 1008, 1009}  # how a connection of a hostile client may end
LIMITS = Limits(message_bytes=20_000, bad_messages=30, lanes=4, subscriptions=4, responses=8)
VALID: tuple[dict[str, Any], ...] = (
    {"type": "response.create", "input": "hello", "conversation": "CONVERSATION", "stream_id": "one"},
    {"type": "response.create", "input": [{"role": "user", "content": "hello"}], "previous_response_id": "RESPONSE"},
    {"type": "response.create", "input": "hello", "store": False, "metadata": {"frontdesk:when_busy": "interrupt"}},
    {"type": "response.create", "input": "hello", "tools": [{"type": "function", "name": "f", "parameters": {}}]},
    {"type": "response.steer", "previous_response_id": "RESPONSE", "input": "more"},
    {"type": "frontdesk:cancel", "response_id": "RESPONSE"},
    {"type": "frontdesk:cancel", "task_id": "TASK"},
    {"type": "frontdesk:subscribe", "conversation": "CONVERSATION", "after": "0"},
    {"type": "frontdesk:unsubscribe", "conversation": "CONVERSATION"},
    {"type": "frontdesk:answer", "task_id": "TASK", "answer": {"a": 1}},
)
NAMES = st.sampled_from(sorted({*KEPT, *NEUTRAL, "type", "input", "conversation", "after", "task_id", "response_id"}))

values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=12)
    | st.sampled_from(["CONVERSATION", "RESPONSE", "TASK", "house", "triage", *READERS]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(NAMES | st.text(max_size=6), inner, max_size=3),
    max_leaves=8,
)  # fmt: skip


@st.composite
def changed(draw: st.DrawFn) -> str:
    """A valid message of which some fields are gone, others, or more."""
    message = dict(draw(st.sampled_from(VALID)))
    for _ in range(draw(st.integers(0, 3))):
        name = draw(st.sampled_from(sorted(message)) | NAMES) if message else draw(NAMES)
        if draw(st.booleans()):
            message[name] = draw(values)
        else:
            message.pop(name, None)
    return json.dumps(message)


@st.composite
def cut(draw: st.DrawFn) -> str:
    """A text that was JSON."""
    text = draw(changed())
    place = draw(st.integers(0, len(text)))
    return text[:place] + draw(st.text(max_size=3)) + text[place + draw(st.integers(0, 2)) :]


frames = (
    changed()
    | cut()
    | values.map(json.dumps)
    | st.text(max_size=40)
    | st.binary(max_size=40)
    | st.sampled_from(["[" * 70 + "]" * 70, "x" * 30_000, '{"type":"response.create","input":"\\ud800"}', ""])
)


@pytest.fixture(scope="module")
def house(tmp_path_factory: pytest.TempPathFactory) -> Iterator[House]:
    with open_house(tmp_path_factory.mktemp("fuzz"), limits=LIMITS) as found:
        found.lines["begin"] = (file_errand("never"), "begun")
        yield found
        found.gates["never"].open()


@pytest.fixture(scope="module")
def ids(house: House) -> dict[str, str]:
    """Of what is there, so that messages may hit it."""
    with open_socket(house) as one:
        one.send(json.dumps({"type": "response.create", "input": "begin"}))
        done = until(one, "response.completed")["response"]
    (call,) = [item for item in done["output"] if item["type"] == "mcp_call"]
    with house.sync_client() as client:
        task = client.get("/tasks", cast_to=object)
    found: Any = task
    assert call["name"] == "create_task"
    return {"CONVERSATION": done["conversation"]["id"], "RESPONSE": done["id"], "TASK": found["data"][0]["id"]}


def open_socket(house: House) -> ClientConnection:
    return connect(house.base_url.replace("http://", "ws://") + "/responses", max_size=None, close_timeout=1)


def until(one: ClientConnection, kind: str) -> dict[str, Any]:
    while True:
        event: dict[str, Any] = json.loads(one.recv(SECONDS))
        if event["type"] == kind:
            return event


def goes_on(house: House) -> None:
    """Nobody is connected any more, nothing is listened to, and an ordinary request is answered."""
    end = time.monotonic() + SECONDS
    while house.service.connections or house.database.hub.listeners("events"):
        assert time.monotonic() < end, "something of a connection is left"
        time.sleep(0.005)
    with open_socket(house) as one:
        one.send(json.dumps({"type": "response.create", "input": "hello"}))
        said = until(one, "response.completed")["response"]["output"]
        assert said[0]["content"][0]["text"] == "You said: hello"


def is_alive(one: ClientConnection) -> bool:
    """Whether the connection deals with a message; else it was closed, and in a way that it may be."""
    with suppress(ConnectionClosed):
        one.send('{"type":"frontdesk:cancel","response_id":"resp_of_nobody"}')
        while "resp_of_nobody" not in str(one.recv(SECONDS)):
            pass
        return True
    assert one.protocol.close_code in CLOSED, one.protocol.close_reason
    return False


@settings(max_examples=EXAMPLES)
@given(st.lists(st.tuples(st.booleans(), frames), max_size=12))
@example([(False, "bad")] * 31)
def test_whatever_two_clients_send_the_server_goes_on(
    house: House, ids: dict[str, str], sent: list[tuple[bool, str | bytes]]
) -> None:
    with open_socket(house) as one, open_socket(house) as other:
        for second, frame in sent:
            given_ids = frame
            if isinstance(given_ids, str):
                for name, found in ids.items():
                    given_ids = given_ids.replace(name, found)
            with suppress(ConnectionClosed):
                (other if second else one).send(given_ids)
        tame = [len(frame) <= LIMITS.message_bytes for _, frame in sent]
        alive = is_alive(one), is_alive(other)
        if all(tame) and len(sent) < LIMITS.bad_messages:
            assert alive == (True, True), "a bad message harms no one"
    goes_on(house)


UPGRADE = (
    "GET /v1/responses HTTP/1.1\r\nhost: localhost\r\nupgrade: websocket\r\nconnection: upgrade\r\n"
    "sec-websocket-version: 13\r\nsec-websocket-key: AAAAAAAAAAAAAAAAAAAAAA==\r\n\r\n"
)


@settings(max_examples=EXAMPLES)
@given(st.booleans(), st.lists(st.binary(min_size=1, max_size=60), max_size=5))
@example(False, [b"POST /v1/responses HTTP/1.1\r\nhost: localhost\r\ncontent-length: 100\r\n\r\n{"])
@example(False, [b"GET / HTTP/1.1\r\nhost: localhost\r\n" + b"a: b\r\n" * 5_000])
@example(True, [b"\x81\xff" + b"\xff" * 8, b"x"])
@example(True, [b"\x01\x80\0\0\0\0", b"\x89\x80\0\0\0\0"])
def test_bytes_that_are_no_protocol_at_all(house: House, upgraded: bool, chunks: list[bytes]) -> None:
    host, port = house.base_url.removeprefix("http://").removesuffix("/v1").split(":")
    with socket.create_connection((host, int(port)), SECONDS) as raw:
        if upgraded:
            raw.sendall(UPGRADE.encode())
            assert b" 101 " in raw.recv(4_096)
        with suppress(OSError):
            for chunk in chunks:
                raw.sendall(chunk)
    goes_on(house)
