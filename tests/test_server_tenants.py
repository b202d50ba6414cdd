"""Tenants see nothing of each other: every route and every message, with another tenant's ids, answers exactly as with
ids that do not exist.

The routes are those of the server's own table, the messages those that the protocol reads: a new one is walked by
itself, or fails here until it is said which ids it takes.
"""

from __future__ import annotations

import ast
import json
import re
import sqlite3
from collections.abc import AsyncGenerator, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from itertools import product
from pathlib import Path
from typing import Any, TypeAlias

import pytest

from frontdesk.agents.models.scripted import call
from frontdesk.server import tokens
from frontdesk.server.guard import is_for_operators
from frontdesk.server.http import ENDPOINTS
from frontdesk.server.protocol import READERS
from frontdesk.server.tokens import new_token
from frontdesk.tests.fakes.served import Client, client
from frontdesk.tests.served import House, file_errand, open_house, said_around
from frontdesk.tests.test_server_http import Reply, ask

ROOT = Path(__file__).resolve().parent.parent
# What a body may name, by route: bodies with an id in the place of ID. A route that takes a body has to be here.
BODIES: dict[str, tuple[str, ...]] = {
    "POST /v1/responses": (
        '{"input":"x","background":true,"conversation":"ID"}',
        '{"input":"x","background":true,"conversation":{"id":"ID"}}',
        '{"input":"x","background":true,"previous_response_id":"ID"}',
        '{"input":"x","background":true,"metadata":{"frontdesk:conversation":"ID"}}',
        '{"input":[{"type":"item_reference","id":"ID"},{"role":"user","content":"x"}],"background":true}',
        '{"input":[{"type":"message","role":"assistant","id":"ID","content":[]},{"role":"user","content":"x"}],'
        '"background":true}',
        '{"input":[{"type":"function_call_output","call_id":"ID","output":"x"},{"role":"user","content":"x"}],"background":true}',
        '{"input":[{"type":"mcp_approval_response","approval_request_id":"ID","approve":true},{"role":"user","content":"x"}],"background":true}',
    ),
    "POST /v1/responses/compact": ('{"input":"x"}', '{"previous_response_id":"ID"}'),
    "POST /v1/chat/completions": (
        '{"messages":[{"role":"user","content":"x"}],"metadata":{"frontdesk:conversation":"ID"}}',
        '{"messages":[{"role":"user","content":"x"},{"role":"assistant","tool_calls":[{"id":"ID","type":"function",'
        '"function":{"name":"f","arguments":"{}"}}]},{"role":"tool","tool_call_id":"ID","content":"x"}]}',
    ),
    "POST /v1/tasks/{task_id}/answer": ('{"answer":1}',),
    "POST /v1/conversations": ('{"items":[{"type":"message","id":"ID","role":"user","content":"x"}]}',),
    "POST /v1/conversations/{conversation_id}": ('{"metadata":{"a":"b"}}',),
    "POST /v1/conversations/{conversation_id}/items": (
        '{"items":[{"type":"message","role":"user","content":"x"}]}',
        '{"items":[{"type":"item_reference","id":"ID"}]}',
    ),
}
MESSAGES: dict[str, tuple[str, ...]] = {
    "response.create": tuple(body.replace(',"background":true', "") for body in BODIES["POST /v1/responses"]),
    "response.steer": ('{"previous_response_id":"ID","input":"x"}',),
    "frontdesk:cancel": ('{"response_id":"ID"}', '{"task_id":"ID"}'),
    "frontdesk:subscribe": ('{"conversation":"ID"}', '{"conversation":"ID","after":"0"}'),
    "frontdesk:unsubscribe": ('{"conversation":"ID"}',),
    "frontdesk:answer": ('{"task_id":"ID","answer":1}',),
}


@dataclass(frozen=True)
class Tenant:
    """What a tenant owns, by the name that a path has for it."""

    secret: str
    ids: dict[str, list[str]]

    @property
    def all_ids(self) -> list[str]:
        return [one for found in self.ids.values() for one in found]


@pytest.fixture(scope="module")
def house(tmp_path_factory: pytest.TempPathFactory) -> Iterator[House]:
    with open_house(tmp_path_factory.mktemp("tenants")) as found:
        yield found


Two: TypeAlias = tuple[Tenant, Tenant]


@pytest.fixture
async def two(house: House, request: pytest.FixtureRequest) -> AsyncGenerator[Two]:
    """Tenants of this test alone, acme and another one."""
    names = [f"{who} of {request.node.name}" for who in ("acme", "other")]
    yield await settle(house, names[0]), await settle(house, names[1])
    for name in names:
        house.gates[name].open()


async def asked(house: House, secret: str, method: str, path: str, body: str = "") -> Reply:
    address = house.base_url.removesuffix("/v1")
    return await ask(address, method, path, body.encode(), authorization=f"Bearer {secret}")


async def settle(house: House, name: str) -> Tenant:
    """A tenant with a conversation that has answered, tasks that run and ask, and a response that goes on."""
    filed = call("create_task", {"task": {"name": "choose", "arguments": {"what": "colour"}}, "title": None,
                                 "again": None})  # fmt: skip
    house.lines["work"] = (file_errand(name), filed, "filed")
    house.lines["hold"] = said_around("I ", house.gates[name], "am done")
    new = new_token(tenant=name)
    await house.database.write(tokens.issue_token, new)

    async def create(text: str, **fields: Any) -> Any:
        reply = await asked(house, new.secret, "POST", "/v1/responses", json.dumps({"input": text, **fields}))
        assert reply.status == 200, reply.body
        return reply.body

    done, live = await create("work"), await create("hold", background=True)
    headers = {"Authorization": f"Bearer {new.secret}"}
    query = f"?conversation={done['conversation']['id']}&after=0"
    async with client(house.base_url.removesuffix("/v1"), query, additional_headers=headers) as socket:
        # The question of the task is announced by a turn: after it, nothing moves any more.
        await socket.until("response.completed", lambda event: "frontdesk:trigger" in event["response"]["metadata"])
    listed = (await asked(house, new.secret, "GET", "/v1/tasks")).body["data"]
    items = (await asked(house, new.secret, "GET", f"/v1/responses/{done['id']}/input_items")).body["data"]
    ids = {
        "response_id": [done["id"], live["id"]],
        "conversation_id": [done["conversation"]["id"], live["conversation"]["id"]],
        "task_id": [one["id"] for one in listed],
        "item_id": [items[0]["id"], *(one["id"] for one in done["output"])],
    }
    assert all(ids.values())
    return Tenant(new.secret, ids)


@pytest.fixture(scope="module")
def snapshot(house: House) -> Any:
    """Everything that a tenant has in the database."""
    path = house.database.engine.name.removeprefix("sqlite:///")

    def rows(conversations: list[str]) -> list[Any]:
        raw = sqlite3.connect(f"file:{path}?mode=ro", uri=True)
        try:
            marks = ",".join("?" * len(conversations))
            return [
                raw.execute(f"SELECT * FROM frontdesk_{name} WHERE {key} IN ({marks}) ORDER BY 1, 2", conversations)
                .fetchall()
                for name, key in (
                    ("conversation", "id"), ("turn", "conversation_id"), ("inbox", "conversation_id"),
                    ("item", "conversation_id"),
                )
            ]  # fmt: skip
        finally:
            raw.close()

    return rows


def copies(house: House, text: str) -> int:
    """In how many items this text stands, whosever they are."""
    raw = sqlite3.connect(f"file:{house.database.engine.name.removeprefix('sqlite:///')}?mode=ro", uri=True)
    try:
        return int(raw.execute("SELECT count(*) FROM frontdesk_item WHERE body LIKE ?", (f"%{text}%",)).fetchone()[0])
    finally:
        raw.close()


def unknown(one: str) -> str:
    """An id of the same form and length that nobody has."""
    kind, _, rest = one.rpartition("_")
    return f"{kind}_{'0' * len(rest)}"


def fixed(body: Any) -> str:
    """An answer without what is chance: how far a response that was created has come."""
    given: Any = body
    if isinstance(body, dict) and given.get("object") == "response":
        body = {name: given[name] for name in ("object", "model", "previous_response_id", "metadata")}
    if isinstance(body, dict) and given.get("object") == "chat.completion":
        del given["id"]
    return json.dumps(body)


def plain(text: str, *ids: str) -> str:
    """The text without ids and times."""
    for one in ids:
        text = text.replace(one, "ID")
    return re.sub(r"\b[a-z]+_[0-9a-f]{6,}", "NEW", re.sub(r"\b1[0-9]{9}(\.\d+)?\b", "TIME", text))


def paths(template: str, foreign: dict[str, str], own: dict[str, str]) -> Iterator[tuple[str, str]]:
    """The path with other tenants' ids in some of its places, and the same with unknown ones."""
    names = re.findall(r"{(\w+)}", template)
    for choice in product([True, False], repeat=len(names)):
        if any(choice) or not names:
            places = dict(zip(names, choice, strict=True))
            yield (
                template.format(**{name: foreign[name] if places[name] else own[name] for name in names}),
                template.format(**{name: unknown(foreign[name]) if places[name] else own[name] for name in names}),
            )


MODEL = "/v1/models/{model}"  # an agent of the desk, which is everybody's


def endpoints() -> list[Any]:
    found = [one for one in ENDPOINTS if not is_for_operators(one.path) and one.path != MODEL]
    return sorted(found, key=lambda one: (one.method == "DELETE", one.path, one.method))


def first(tenant: Tenant, number: int = 0) -> dict[str, str]:
    return {name: found[min(number, len(found) - 1)] for name, found in tenant.ids.items()}


async def test_every_route_answers_to_another_tenants_id_as_to_one_that_nobody_has(
    house: House, two: Two, snapshot: Any
) -> None:
    acme, other = two
    before = snapshot(acme.ids["conversation_id"])
    known = copies(house, "work")
    asked_for = 0
    for endpoint in endpoints():
        key = f"{endpoint.method} {endpoint.path}"
        bodies = BODIES.get(key, ("",))
        for number in range(2 if "{" in endpoint.path else 1):
            foreign, own = first(acme, number), first(other)
            for theirs, nobodys in paths(endpoint.path, foreign, own):
                queries = [f"?{name}=ID" for name in ("after", "conversation", "before")] if not bodies[0] else [""]
                for query, body, one in product(["", *queries], bodies, acme.all_ids):
                    if "ID" not in query + body and one != acme.all_ids[0]:
                        continue
                    found, wanted = [
                        await asked(house, other.secret, endpoint.method, path + query.replace("ID", given),
                                    body.replace("ID", given))
                        for path, given in ((theirs, one), (nobodys, unknown(one)))
                    ]  # fmt: skip
                    where = f"{key} {query} {body}"
                    assert found.status == wanted.status, where
                    assert plain(fixed(found.body), *acme.all_ids) == plain(
                        fixed(wanted.body), *map(unknown, acme.all_ids)
                    ), where
                    assert not any(mine in json.dumps(found.body) for mine in acme.all_ids) or found.status >= 400, (
                        where
                    )
                    asked_for += 1
    assert asked_for > 100
    assert copies(house, "work") == known, "nothing of acme's history was taken over"
    assert snapshot(acme.ids["conversation_id"]) == before, "nothing of acme's has changed"
    await owners_reach_all(house, acme)


async def owners_reach_all(house: House, acme: Tenant) -> None:
    """The same routes answer their owner: the walk has asked for what is there."""
    for endpoint in endpoints():
        for body in BODIES.get(f"{endpoint.method} {endpoint.path}", ("",))[:1]:
            path = endpoint.path.format(**first(acme))
            reply = await asked(
                house, acme.secret, endpoint.method, path, body.replace("ID", acme.ids["conversation_id"][0])
            )
            assert reply.status != 404, f"{endpoint.method} {path}: {reply.body}"


def test_of_every_route_it_is_known_which_ids_it_takes() -> None:
    posts = {f"{one.method} {one.path}" for one in endpoints() if takes_a_body(one.handler)}
    assert posts == set(BODIES), "say in BODIES which ids the body of a new route may name"
    names = {name for one in endpoints() for name in re.findall(r"{(\w+)}", one.path)}
    assert names <= {"response_id", "conversation_id", "task_id", "item_id"}, "add what the new id names to `settle`"
    assert set(MESSAGES) == set(READERS), "say in MESSAGES which ids a new message may name"


def takes_a_body(handler: Any) -> bool:
    return (
        "body()"
        in Path(handler.__code__.co_filename)
        .read_text("utf-8")
        .split(f"def {handler.__name__}(")[1]
        .split("\nasync def ")[0]
    )


@asynccontextmanager
async def connected(house: House, tenant: Tenant) -> AsyncGenerator[Client]:
    address = house.base_url.removesuffix("/v1")
    async with client(address, additional_headers={"Authorization": f"Bearer {tenant.secret}"}) as found:
        yield found


async def test_every_message_answers_to_another_tenants_id_as_to_one_that_nobody_has(
    house: House, two: Two, snapshot: Any
) -> None:
    acme, other = two
    before = snapshot(acme.ids["conversation_id"])
    for kind, shapes in MESSAGES.items():
        for shape, one in product(shapes, acme.all_ids):
            answers: list[Any] = []
            for given in (one, unknown(one)):
                async with connected(house, other) as socket:
                    await socket.send(kind, **json.loads(shape.replace("ID", given)))
                    await socket.taken()
                    events = [plain(json.dumps(event), given) for event in socket.events if said_at_once(event)]
                    answers.append(events)
                    assert given == unknown(one) or not any(
                        mine in event for mine in acme.all_ids for event in events
                    ), (kind, shape)
            assert answers[0] == answers[1], (kind, shape)
    assert snapshot(acme.ids["conversation_id"]) == before, "nothing of acme's has changed"


def said_at_once(event: dict[str, Any]) -> bool:
    """Answers to the message itself; how far a turn has come meanwhile is chance."""
    return event["type"] in ("error", "response.steer.failed", "frontdesk:subscribed", "response.steer.accepted")


async def test_an_upgrade_with_another_tenants_conversation(house: House, two: Two) -> None:
    acme, other = two
    one = acme.ids["conversation_id"][0]
    address, headers = house.base_url.removesuffix("/v1"), {"Authorization": f"Bearer {other.secret}"}
    answers: list[str] = []
    for given in (one, unknown(one)):
        async with client(address, f"?conversation={given}&after=0", additional_headers=headers) as socket:
            await socket.taken()
            answers.append(plain(json.dumps(socket.events), given))
    assert answers[0] == answers[1]
    assert "conversation_not_found" in answers[0]


async def test_a_dialog_is_its_tenants_own(house: House, two: Two) -> None:
    """One that is sent again word for word by another tenant is another one."""
    acme, other = two
    said = [{"role": "user", "content": "whose?"}]
    first = await asked(house, acme.secret, "POST", "/v1/chat/completions", json.dumps({"messages": said}))
    again = json.dumps({"messages": [*said, first.body["choices"][0]["message"], *said]})
    theirs = await asked(house, other.secret, "POST", "/v1/chat/completions", again)
    own = await asked(house, acme.secret, "POST", "/v1/chat/completions", again)
    assert own.headers["frontdesk-conversation"] == first.headers["frontdesk-conversation"]
    assert theirs.headers["frontdesk-conversation"] != own.headers["frontdesk-conversation"]


async def test_an_input_id_is_its_tenants_own(house: House, two: Two) -> None:
    acme, other = two
    found: list[Any] = []
    for tenant in (acme, other):
        body = '{"input":"x","background":true,"metadata":{"frontdesk:input_id":"the-same"}}'
        found.append(await asked(house, tenant.secret, "POST", "/v1/responses", body))
    assert [one.status for one in found] == [200, 200]
    assert found[0].body["id"] != found[1].body["id"]


def test_tenants_are_compared_in_one_place() -> None:
    """Elsewhere, a comparison could be forgotten, or be the other way round."""
    found: list[str] = []
    for path in sorted(
        path for room in ("tasks", "broker", "agents", "server") for path in (ROOT / room).rglob("*.py")
    ):
        if path.relative_to(ROOT).as_posix() in ("broker/tenants.py", "server/service.py"):
            continue
        for node in ast.walk(ast.parse(path.read_text("utf-8"))):
            if isinstance(node, ast.Compare) and isinstance(node.ops[0], ast.Is | ast.IsNot):
                continue  # whether there is one
            if isinstance(node, ast.Compare) and any(map(names_tenant, (node.left, *node.comparators))):
                found.append(f"{path.relative_to(ROOT)}:{node.lineno}: {ast.unparse(node)}")
    assert found == []


def names_tenant(node: ast.expr) -> bool:
    """Whether this is somebody's tenant: ``tenant``, ``x.tenant``, ``row["tenant"]``."""
    match node:
        case ast.Name(id=name) | ast.Attribute(attr=name) | ast.Subscript(slice=ast.Constant(value=name)):
            return name == "tenant"
        case _:
            return False
