"""What `GET /metrics` shows, to whom, and that nothing in it is a client's or grows with what clients say."""

from __future__ import annotations

import threading
from pathlib import Path

import anyio
import pytest
from prometheus_client.parser import text_string_to_metric_families

from frontdesk.broker.database import Database
from frontdesk.broker.measures import BOUNDS, LABELS, Measures
from frontdesk.server import tokens
from frontdesk.server.tokens import new_token
from frontdesk.tests.fakes.served import client
from frontdesk.tests.served import House, file_errand, open_house
from frontdesk.tests.test_server_http import ask


def samples(text: str) -> dict[str, float]:
    """Values by name and labels, as Prometheus itself reads them."""
    return {
        f"{one.name} {' '.join(f'{name}={value}' for name, value in sorted(one.labels.items()))}".strip(): one.value
        for family in text_string_to_metric_families(text)
        for one in family.samples
    }


async def scraped(house: House, secret: str) -> tuple[str, str]:
    host, port = house.base_url.removeprefix("http://").removesuffix("/v1").split(":")
    async with await anyio.connect_tcp(host, int(port)) as stream:
        head = f"GET /metrics HTTP/1.1\r\nhost: {host}\r\nauthorization: Bearer {secret}\r\nconnection: close\r\n\r\n"
        await stream.send(head.encode())
        found, _, text = b"".join([chunk async for chunk in stream]).decode().partition("\r\n\r\n")
    return found, text


async def test_a_run_is_seen_in_the_metrics_and_nobodys_names_are(tmp_path: Path) -> None:
    with open_house(tmp_path) as house:
        house.lines["work"] = (file_errand("gate"), "filed")
        operator, acme = new_token(operator=True), new_token(tenant="acme-the-tenant", name="acme-the-name")
        for one in (operator, acme):
            await house.database.write(tokens.issue_token, one)
        address = house.base_url.removesuffix("/v1")
        async with client(address, additional_headers={"Authorization": f"Bearer {acme.secret}"}) as socket:
            await socket.create("work", metadata={"frontdesk:input_id": "acme-the-input"})
            await socket.until("response.completed")
            await socket.send("nothing-of-the-kind-acme")
            await socket.taken()
            await ask(address, "GET", "/v1/tasks/acme-the-task", authorization=f"Bearer {acme.secret}")
            await ask(address, "GET", "/v1/models", authorization="Bearer wrong")
            head, text = await scraped(house, operator.secret)
        assert "text/plain" in head
        found = samples(text)
        assert found["frontdesk_connections"] == 1
        assert found["frontdesk_tasks kind=task queue=default state=running"] == 1
        assert found["frontdesk_messages_total type=response.create"] == 1
        assert found["frontdesk_errors_total code=invalid_request"] == 1
        assert found["frontdesk_errors_total code=invalid_api_key"] == 1
        assert found["frontdesk_http_requests_total method=GET route=/v1/tasks/{task_id} status=404"] == 1
        assert found["frontdesk_model_call_seconds_count model=scripted"] == 2
        assert found["frontdesk_claims_total slot=turn"] == 1
        assert found["frontdesk_run_seconds_count kind=turn"] == 1
        assert found["frontdesk_event_lag_seconds_count"] >= 1
        assert 1 <= found["frontdesk_commit_seconds_count"] <= found["frontdesk_written_functions_total"]
        assert found["frontdesk_commit_seconds_bucket le=+Inf"] == found["frontdesk_commit_seconds_count"]
        assert found["process_resident_memory_bytes"] > 0
        assert "acme" not in text, "no tenant, no name, nothing that a client has written"
        house.gates["gate"].open()


async def test_metrics_are_for_operators(tmp_path: Path) -> None:
    with open_house(tmp_path) as house:
        acme = new_token(tenant="acme")
        await house.database.write(tokens.issue_token, acme)
        assert (await scraped(house, acme.secret))[0].startswith("HTTP/1.1 403")
        assert (await scraped(house, ""))[0].startswith("HTTP/1.1 401")


def test_measures_are_counted_from_many_threads() -> None:
    measures = Measures()

    def count() -> None:
        for _ in range(1_000):
            measures.count("x")
            measures.took("y", BOUNDS[0])

    threads = [threading.Thread(target=count) for _ in range(4)]
    for one in threads:
        one.start()
    for one in threads:
        one.join()
    assert measures.counts("x") == {"": 4_000}
    found = measures.durations("y")[""]
    assert (found.counts[0], sum(found.counts)) == (4_000, 4_000), "a bound belongs to its bucket"
    assert found.seconds == pytest.approx(4_000 * BOUNDS[0])


def test_labels_do_not_fill_the_memory() -> None:
    measures = Measures()
    for number in range(2 * LABELS):
        measures.count("x", str(number))
        measures.took("y", 1e9, str(number))
    assert len(measures.counts("x")) == LABELS + 1
    assert measures.counts("x")["other"] == LABELS
    assert measures.durations("y")["other"].counts[-1] == LABELS


def test_commits_are_measured(database: Database) -> None:
    before = database.measures.counts("written")[""]
    database.write_blocking(lambda conn: conn.script("SELECT 1"))
    assert database.measures.counts("written")[""] > before
