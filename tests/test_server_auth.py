"""Who is asking, and from where: bearers, browsers' subprotocols, origins, and the hosts that count as this machine."""

from __future__ import annotations

import pytest

from frontdesk.server.auth import answering, bearer, check_origin, is_loopback
from frontdesk.server.errors import ForbiddenOrigin


@pytest.mark.parametrize(("authorization", "expected"), [
    ("Bearer secret", "secret"), ("bearer secret", "secret"), ("Bearer  secret ", "secret"), ("", ""), ("Bearer", ""),
    ("Basic secret", ""), ("secret", ""),
])  # fmt: skip
def test_a_bearer_is_read_from_its_header(authorization: str, expected: str) -> None:
    assert bearer({"authorization": authorization}) == expected


def test_a_browser_gives_the_token_as_a_subprotocol() -> None:
    assert bearer({}, ["realtime", "openai-insecure-api-key.secret"]) == "secret"
    assert answering(["openai-insecure-api-key.secret", "realtime"]) == "realtime"
    assert answering(["openai-insecure-api-key.secret"]) == "openai-insecure-api-key.secret"
    assert answering([]) is None


@pytest.mark.parametrize("host", ["localhost:1", "127.0.0.1:8765", "[::1]:8765", "desk.localhost", "127.8.8.8"])
def test_a_page_of_the_server_itself_may_use_it(host: str) -> None:
    check_origin({"host": host, "origin": f"http://{host}"}, guarded=False)


@pytest.mark.parametrize("guarded", [False, True])
@pytest.mark.parametrize("origin", ["http://evil.example", "http://localhost:9999", "null", "file://", "http://[bad"])
def test_a_page_of_another_origin_may_not(origin: str, guarded: bool) -> None:
    with pytest.raises(ForbiddenOrigin):
        check_origin({"host": "localhost:8765", "origin": origin}, guarded=guarded)


@pytest.mark.parametrize("host", ["evil.example:8765", "[bad", "192.168.1.5:8765"])
def test_without_a_token_a_name_that_was_bound_to_loopback_is_not_believed(host: str) -> None:
    check_origin({"host": host, "origin": f"http://{host}"}, guarded=True)
    with pytest.raises(ForbiddenOrigin):
        check_origin({"host": host, "origin": f"http://{host}"}, guarded=False)


def test_a_listed_origin_may() -> None:
    listed, headers = ["https://desk.example"], {"host": "api.example", "origin": "https://desk.example"}
    check_origin(headers, listed, guarded=True)
    with pytest.raises(ForbiddenOrigin):
        check_origin({**headers, "origin": "https://other.example"}, listed, guarded=True)


@pytest.mark.parametrize(("host", "expected"), [
    ("localhost", True), ("127.0.0.1", True), ("::1", True), ("0.0.0.0", False), ("", False), ("example.org", False),
    ("::", False), ("10.0.0.1", False), ("notlocalhost", False),
])  # fmt: skip
def test_what_counts_as_this_machine(host: str, expected: bool) -> None:
    assert expected is is_loopback(host)
