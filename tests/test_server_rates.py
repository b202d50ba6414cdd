"""How often a tenant may ask, and what its quotas are, over real sockets."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from frontdesk.agents.models.scripted import call
from frontdesk.broker import quotas
from frontdesk.broker.database import Database
from frontdesk.broker.quotas import Quota
from frontdesk.server import tokens
from frontdesk.server.limits import Limits
from frontdesk.server.rates import Bucket
from frontdesk.server.service import RATES, Service
from frontdesk.server.tokens import new_token
from frontdesk.tests.fakes.hand_worker import HandWorker
from frontdesk.tests.fakes.served import client, served
from frontdesk.tests.served import open_house
from frontdesk.tests.test_server_http import ask


def test_a_bucket_gives_a_burst_and_then_one_at_a_time() -> None:
    bucket = Bucket(60, now=100.0)
    assert [bucket.take(100.0) for _ in range(11)] == [0.0] * 10 + [1.0]
    assert bucket.take(100.5) == pytest.approx(0.5)
    assert bucket.take(101.0) == 0.0
    assert bucket.take(90.0) > 0, "a clock that goes back gives nothing"
    assert not bucket.is_full(101.0)
    assert bucket.is_full(200.0)
    assert [bucket.take(500.0) for _ in range(11)][-1] > 0, "it never holds more than a burst"
    assert Bucket(1, now=0.0).take(0.0) == 0.0


@pytest.fixture
def hand(tmp_path: Path) -> Iterator[HandWorker]:
    database = Database.open(f"sqlite:///{tmp_path}/desk.db", durable=False)
    yield HandWorker(database)
    database.close()


async def test_a_tenant_that_asks_too_often_is_told_when_to_come_back(hand: HandWorker) -> None:
    one, other = new_token(tenant="one"), new_token(tenant="other")
    for new in (one, other):
        await hand.database.write(tokens.issue_token, new)
    service = Service(hand.desk, hand.database, limits=Limits(requests_per_minute=12), drain_seconds=0.0)
    async with served(service) as address:
        found = [await ask(address, "GET", "/v1/models", authorization=f"Bearer {one.secret}") for _ in range(3)]
        assert [reply.status for reply in found] == [200, 200, 429]
        assert found[2].body["error"]["code"] == "rate_limit_exceeded"
        assert 1 <= int(found[2].headers["retry-after"]) <= 5
        assert (await ask(address, "GET", "/healthz")).status == 200
        headers = {"Authorization": f"Bearer {other.secret}"}
        async with client(address, additional_headers=headers) as socket:
            for _ in range(2):
                await socket.send("frontdesk:cancel", response_id="resp_x")
            first, second = await socket.until("error"), await socket.until("error")
            assert (first["status"], second["status"]) == (404, 429)
            assert second["error"]["headers"]["retry-after"]


async def test_what_comes_too_soon_is_refused_on_its_lane(hand: HandWorker) -> None:
    service = Service(hand.desk, hand.database, limits=Limits(requests_per_minute=6), drain_seconds=0.0)
    async with served(service) as address, client(address) as socket:
        for text, told in (
            ("short", "b"),
            ("x" * 70_000, None),
        ):  # the upgrade took what there was; what is long is not read
            await socket.create(text, stream_id="b", metadata={"frontdesk:input_id": "q2"})
            error = await socket.until("error")
            assert (error["status"], error.get("stream_id")) == (429, told)
        await socket.socket.send("{")
        assert (await socket.until("error"))["status"] == 429


def test_tenants_that_ask_for_nothing_are_forgotten(hand: HandWorker) -> None:
    service = Service(hand.desk, hand.database, limits=Limits(requests_per_minute=600_000))
    for number in range(RATES + 10):
        assert service.rate_of(str(number)) is service.rate_of(str(number))
    assert len(service._rates) <= RATES  # pyright: ignore[reportPrivateUsage]


async def test_operators_set_quotas_and_tenants_feel_them(hand: HandWorker) -> None:
    async with served(Service(hand.desk, hand.database, drain_seconds=0.0)) as address:
        put = await ask(address, "POST", "/v1/quotas", b'{"tenant":"","turns":1}')
        assert (put.status, put.body["turns"], put.body["tokens"]) == (200, 1, None)
        assert (await ask(address, "GET", "/v1/quotas")).body["data"] == [put.body]
        for body in (b'{"turns":-1}', b'{"tokens":"many"}', b'{"tenant":5}'):
            assert (await ask(address, "POST", "/v1/quotas", body)).status == 400
        async with client(address) as socket:
            await socket.create()
            await socket.create()
            refused = await socket.until("error")
            assert (refused["status"], refused["error"]["code"]) == (429, "quota_exceeded")
        body = b'{"input":"x","background":true}'
        reply = await ask(address, "POST", "/v1/responses", body)
        assert (reply.status, reply.body["error"]["code"], "retry-after" in reply.headers) == (
            429,
            "quota_exceeded",
            True,
        )


async def test_a_model_is_told_that_its_tenant_has_no_room_for_a_task(tmp_path: Path) -> None:
    with open_house(tmp_path) as house:
        await house.database.write(quotas.set_quota, "", Quota(tasks=0))
        arguments = {"task": {"name": "errand", "arguments": {"name": "x"}}, "title": None, "again": None}
        house.lines["work"] = (call("create_task", arguments), "no room")
        async with house.client() as sdk:
            reply = await sdk.responses.create(model="house", input="work")
        (made,) = [one for one in reply.output if one.type == "mcp_call"]
        assert "quota of 0 queued tasks" in str(made.error)
