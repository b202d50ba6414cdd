"""Who may come in: tokens, browsers' subprotocols, origins, and the hosts that count as this machine."""

from __future__ import annotations

import pytest

from frontdesk.server.auth import Door, Identity, is_loopback
from frontdesk.server.errors import ForbiddenOrigin, InvalidKey

OPEN, GUARDED = Door(), Door(token="secret", origins=("https://desk.example",))


@pytest.mark.parametrize("authorization", ["Bearer secret", "bearer secret", "Bearer  secret "])
def test_a_token_opens(authorization: str) -> None:
    assert Identity() == GUARDED.identify({"authorization": authorization})


@pytest.mark.parametrize("authorization", ["", "Bearer", "Bearer wrong", "Basic secret", "secret", "Bearer secrét"])
def test_anything_else_does_not(authorization: str) -> None:
    with pytest.raises(InvalidKey):
        GUARDED.identify({"authorization": authorization})


def test_a_browser_gives_the_token_as_a_subprotocol() -> None:
    found = GUARDED.identify({}, ["realtime", "openai-insecure-api-key.secret"])
    assert Identity(subprotocol="realtime") == found
    only = GUARDED.identify({}, ["openai-insecure-api-key.secret"])
    assert Identity(subprotocol="openai-insecure-api-key.secret") == only
    with pytest.raises(InvalidKey):
        GUARDED.identify({}, ["openai-insecure-api-key.wrong"])


def test_without_a_token_any_bearer_is_taken() -> None:
    for headers in ({}, {"authorization": "Bearer sk-anything"}):
        assert Identity() == OPEN.identify({"host": "127.0.0.1:8765", **headers})


@pytest.mark.parametrize("host", ["localhost:1", "127.0.0.1:8765", "[::1]:8765", "desk.localhost", "127.8.8.8"])
def test_a_page_of_the_server_itself_may_use_it(host: str) -> None:
    OPEN.identify({"host": host, "origin": f"http://{host}"})


@pytest.mark.parametrize("origin", ["http://evil.example", "http://localhost:9999", "null", "file://", "http://[bad"])
def test_a_page_of_another_origin_may_not(origin: str) -> None:
    with pytest.raises(ForbiddenOrigin):
        OPEN.identify({"host": "localhost:8765", "origin": origin})


@pytest.mark.parametrize("host", ["evil.example:8765", "[bad", "192.168.1.5:8765"])
def test_without_a_token_a_name_that_was_bound_to_loopback_is_not_believed(host: str) -> None:
    with pytest.raises(ForbiddenOrigin):
        OPEN.identify({"host": host, "origin": f"http://{host}"})


def test_a_listed_origin_may() -> None:
    good = {"authorization": "Bearer secret", "host": "api.example", "origin": "https://desk.example"}
    GUARDED.identify(good)
    with pytest.raises(ForbiddenOrigin):
        GUARDED.identify({**good, "origin": "https://other.example"})


@pytest.mark.parametrize(("host", "expected"), [
    ("localhost", True), ("127.0.0.1", True), ("::1", True), ("0.0.0.0", False), ("", False), ("example.org", False),
    ("::", False), ("10.0.0.1", False), ("notlocalhost", False),
])  # fmt: skip
def test_what_counts_as_this_machine(host: str, expected: bool) -> None:
    assert expected is is_loopback(host)
