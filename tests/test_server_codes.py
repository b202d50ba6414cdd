"""Every code of the protocol's table of errors, provoked over the WebSocket and over HTTP."""

from __future__ import annotations

import json
from collections.abc import AsyncGenerator, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from websockets.exceptions import InvalidStatus

from frontdesk.broker import quotas
from frontdesk.broker.database import Database
from frontdesk.broker.quotas import Quota
from frontdesk.server.door import Door
from frontdesk.server.limits import Limits
from frontdesk.server.service import Service
from frontdesk.tests.fakes.hand_worker import HandDesk, HandWorker
from frontdesk.tests.fakes.served import Client, client, served
from frontdesk.tests.test_server_http import Reply, ask


class Broken(dict[str, Any]):
    """Agents of a desk that has a fault of its own."""

    def __contains__(self, name: object) -> bool:
        raise RuntimeError(f"a fault, with a secret in it: {name}")


DEFAULT = Limits()


@dataclass(frozen=True)
class Case:
    """How a code is provoked: fields of a create, or a whole message and a whole request. ``CONV`` and ``TASK`` stand
    for a conversation that is answering and its task."""

    status: int
    code: str
    create: dict[str, Any] = field(default_factory=dict[str, Any])
    message: str | None = None
    request: tuple[str, str, str] | None = None
    limits: Limits = DEFAULT
    before: str = ""  # what is done first
    retry: bool = False  # whether it says when to come back


HERE: dict[str, Any] = {"conversation": "CONV"}
CASES = [
    Case(400, "invalid_json", message='{"type":"response.create","input":NaN}',
         request=("POST", "/v1/responses", '{"type":"response.create","input":NaN}')),
    Case(400, "invalid_request", {"temperature": 9}),
    Case(400, "unsupported_parameter", {"prompt": {"id": "p"}}),
    Case(404, "model_not_found", {"model": "nobody"}),
    Case(404, "previous_response_not_found", {"previous_response_id": "resp_x"}),
    Case(404, "conversation_not_found", {"conversation": "conv_x"}),
    Case(404, "response_not_found", message='{"type":"frontdesk:cancel","response_id":"resp_x"}',
         request=("GET", "/v1/responses/resp_x", "")),
    Case(404, "task_not_found", message='{"type":"frontdesk:cancel","task_id":"task_x"}',
         request=("GET", "/v1/tasks/task_x", "")),
    Case(409, "conversation_busy", {**HERE, "metadata": {"frontdesk:when_busy": "reject"}}),
    Case(409, "idempotency_mismatch", {"input": "something else", "metadata": {"frontdesk:input_id": "used"}}),
    Case(413, "message_too_large", {"input": [{"role": "user", "content": "x"}] * 40}, limits=Limits(values=100)),
    Case(429, "inbox_full", HERE, limits=Limits(inbox=1), before="fill", retry=True),
    Case(429, "rate_limit_exceeded", limits=Limits(requests_per_minute=1), before="nothing", retry=True),
    Case(429, "quota_exceeded", before="quota", retry=True),
    Case(500, "server_error", {"model": "odd"}, before="break"),
    Case(503, "draining", before="drain", retry=True),
    Case(503, "database_unavailable", before="close", retry=True),
]  # fmt: skip


@pytest.fixture
def hand(tmp_path: Path) -> Iterator[HandWorker]:
    database = Database.open(f"sqlite:///{tmp_path}/desk.db", durable=False)
    yield HandWorker(database, HandDesk(agents={"triage": None}))
    database.close()


@asynccontextmanager
async def busy(hand: HandWorker, case: Case) -> AsyncGenerator[tuple[str, Client, str]]:
    """The address, a client, and a conversation that is answering; what the case needs before is done."""
    service = Service(hand.desk, hand.database, limits=case.limits, drain_seconds=0.0)
    async with served(service) as address, client(address) as socket:
        if case.before == "nothing":  # the upgrade was the only request that it may make
            yield address, socket, ""
            return
        await socket.create("hello", metadata={"frontdesk:input_id": "used"})
        await socket.taken()
        created = (await hand.begin()).conversation_id
        await socket.until("response.created")
        match case.before:
            case "fill":
                await socket.create("waits", conversation=created)
                await socket.until("frontdesk:accepted")
            case "quota":
                await hand.database.write(quotas.set_quota, "", Quota(turns=1))
            case "break":
                hand.desk.agents = Broken()
            case "drain":
                await service.drain()
            case "close":
                hand.database.close()
            case _:
                pass
        yield address, socket, created


def filled(text: str, conversation: str) -> str:
    return text.replace("CONV", conversation)


async def over_http(address: str, case: Case, conversation: str) -> Reply:
    method, path, body = case.request or ("POST", "/v1/responses", json.dumps({"input": "more", **case.create}))
    given = filled(body, conversation).encode()
    key = case.create.get("metadata", {}).get("frontdesk:input_id")
    return await ask(address, method, path, given, **({"idempotency-key": key} if key else {}))


async def over_socket(socket: Client, case: Case, conversation: str) -> dict[str, Any]:
    message = case.message or json.dumps({"type": "response.create", "input": "more", **case.create})
    await socket.socket.send(filled(message, conversation))
    return await socket.until("error")


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.code)
async def test_each_code_is_said_over_both_transports(hand: HandWorker, case: Case) -> None:
    async with busy(hand, case) as (address, socket, conversation):
        told = await over_socket(socket, case, conversation)
        reply = await over_http(address, case, conversation)
    assert (told["status"], told["error"]["code"]) == (reply.status, reply.body["error"]["code"])
    assert (reply.status, reply.body["error"]["code"]) == (case.status, case.code)
    assert {"type", "code", "message", "param"} <= told["error"].keys()
    assert reply.body["error"] == {name: told["error"][name] for name in ("type", "code", "message", "param")}
    assert ("retry-after" in reply.headers, "headers" in told["error"]) == (case.retry, case.retry)
    assert reply.headers.get("x-should-retry") == ("false" if case.status == 409 else None)
    assert "secret" not in reply.body["error"]["message"]


@pytest.mark.parametrize(
    ("status", "code", "headers"),
    [(401, "invalid_api_key", {}), (403, "forbidden_origin", {"origin": "http://evil.example"})],
)
async def test_who_is_kept_out_is_told_so_over_both(
    hand: HandWorker, status: int, code: str, headers: dict[str, str]
) -> None:
    service = Service(hand.desk, hand.database, door=Door(token="secret"), drain_seconds=0.0)
    async with served(service) as address:
        reply = await ask(address, "GET", "/v1/models", b"", **headers)
        with pytest.raises(InvalidStatus) as caught:
            async with client(address, additional_headers=headers):
                pass
    assert (reply.status, reply.body["error"]["code"]) == (status, code)
    assert (caught.value.response.status_code, json.loads(caught.value.response.body)) == (status, reply.body)
