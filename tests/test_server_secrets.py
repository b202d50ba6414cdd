"""Secrets are in no log, no error and no answer, however much is logged and whatever goes wrong; TLS and the headers
that browsers obey."""

from __future__ import annotations

import asyncio
import datetime
import logging
import os
import re
import socket
import ssl
import subprocess
import sys
import urllib.request
from collections.abc import Iterator
from contextlib import closing, suppress
from ipaddress import ip_address
from pathlib import Path
from typing import Any
from urllib.error import HTTPError

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import BestAvailableEncryption, Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import NameOID
from websockets.exceptions import InvalidStatus
from websockets.sync.client import connect

from frontdesk.broker.database import Database
from frontdesk.broker.errors import DatabaseError
from frontdesk.server.commands import settings
from frontdesk.server.door import Door
from frontdesk.server.errors import AddressError
from frontdesk.server.headers import EVERY, PAGE
from frontdesk.server.redaction import Redacting
from frontdesk.server.service import Service
from frontdesk.server.tls import TLS, tls_of
from frontdesk.tests import forked
from frontdesk.tests.fakes.hand_worker import HandWorker
from frontdesk.tests.fakes.served import client, served
from frontdesk.tests.test_server_http import ask

PROGRAM = [sys.executable, "-c", "from frontdesk.server.cli import main; main()"]
SECONDS = 60
PLANTED = {
    "FRONTDESK_TOKEN": "planted-token-9d2f",
    "OPENAI_API_KEY": "sk-planted-key-77aa",
    "FRONTDESK_WEBHOOK_SECRET": "whsec_cGxhbnRlZC13ZWJob29rLXNlY3JldC0xMjM0",
}
GIVEN = ("given-wrong-token-31c8", "given-sub-token-55e1")


def environment(folder: Path, **more: str) -> dict[str, str]:
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("FRONTDESK_", "OPENAI_"))}
    return {**kept, "XDG_STATE_HOME": str(folder / "state"), **more}


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A certificate of our own for 127.0.0.1, with its key in the same file."""
    folder = tmp_path_factory.mktemp("tls")
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "desk")])
    now = datetime.datetime.now(datetime.UTC)
    made = (
        x509.CertificateBuilder().subject_name(name).issuer_name(name).public_key(key.public_key()).serial_number(1)
        .not_valid_before(now - datetime.timedelta(days=1)).not_valid_after(now + datetime.timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.IPAddress(ip_address("127.0.0.1"))]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )  # fmt: skip
    plain = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    (folder / "both.pem").write_bytes(made.public_bytes(Encoding.PEM) + plain)
    locked = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, BestAvailableEncryption(b"pass"))
    (folder / "locked.pem").write_bytes(made.public_bytes(Encoding.PEM) + locked)
    (folder / "certificate.pem").write_bytes(made.public_bytes(Encoding.PEM))
    return folder / "both.pem"


def test_a_run_over_tls_that_goes_wrong_in_many_ways_says_no_secret(tmp_path: Path, certificate: Path) -> None:
    with closing(socket.socket()) as nobody:
        nobody.bind(("127.0.0.1", 0))
        more = {
            **PLANTED, "FRONTDESK_LOG_LEVEL": "debug", "FRONTDESK_TLS_CERT": str(certificate),
            "OPENAI_BASE_URL": f"http://user:planted-url-password@127.0.0.1:{nobody.getsockname()[1]}/v1",
        }  # fmt: skip
        with (tmp_path / "log").open("w") as log_file:
            process = forked.Popen(
                [*PROGRAM, "serve", "--port", "0"], cwd=tmp_path, env=environment(tmp_path, **more), text=True,
                stdout=subprocess.PIPE, stderr=log_file,
            )  # fmt: skip
        answers: list[str] = []
        try:
            assert process.stdout is not None
            said = process.stdout.readline()
            found = re.search(r"https://\S+(?=/v1)", said)
            assert found, said + (tmp_path / "log").read_text()
            talk(found[0], ssl.create_default_context(cafile=certificate), answers)
        finally:
            process.terminate()
            rest, _ = process.communicate(timeout=SECONDS)
    log = (tmp_path / "log").read_text()
    assert "DEBUG" in log, "it was logged in full"
    assert len(answers) == 6
    everything = "\n".join([said, rest, log, *answers])
    for secret in (*PLANTED.values(), "planted-url-password", *GIVEN):
        assert secret not in everything, f"{secret}: {everything[max(0, everything.find(secret) - 200) :][:400]}"


def talk(address: str, trust: ssl.SSLContext, answers: list[str]) -> None:
    """Asks for things, well and badly; what was answered."""

    def fetch(path: str, token: str, body: bytes | None = None) -> None:
        request = urllib.request.Request(address + path, body, {"Authorization": f"Bearer {token}"})
        try:
            with urllib.request.urlopen(request, context=trust, timeout=SECONDS) as reply:
                answers.append(f"{reply.headers}{reply.read().decode()}")
        except HTTPError as error:
            with error:
                answers.append(f"{error.headers}{error.read().decode()}")

    good, (wrong, other) = PLANTED["FRONTDESK_TOKEN"], GIVEN
    fetch("/v1/models", wrong)
    fetch("/v1/models", good)
    fetch("/v1/responses", good, b'{"input":"hello"}')  # the model cannot be reached
    fetch("/v1/responses", good, b"{nonsense")
    fetch("/metrics", good)
    url = address.replace("https", "wss") + "/v1/responses"
    with pytest.raises(InvalidStatus) as refused:
        connect(url, subprotocols=[f"openai-insecure-api-key.{other}"], ssl=trust)  # type: ignore[list-item]
    answers.append(str(refused.value.response))
    with connect(url, subprotocols=[f"openai-insecure-api-key.{good}"], ssl=trust) as one:  # type: ignore[list-item]
        one.send("{}")
        one.recv(SECONDS)


@pytest.mark.parametrize("url", [
    "postgresql://desk:planted-password@127.0.0.1:1/desk", "mysql://desk:planted-password@127.0.0.1/desk",
])  # fmt: skip
def test_a_database_that_cannot_be_opened_does_not_say_its_password(url: str) -> None:
    with pytest.raises(DatabaseError) as caught:
        Database.open(url)
    assert "planted-password" not in f"{caught.value} {caught.value!r}"


def test_secrets_of_the_settings_are_not_shown(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in PLANTED.items():
        monkeypatch.setenv(name, value)
    assert not [value for value in PLANTED.values() if value in repr(settings())]


@pytest.mark.parametrize("text", [
    "< authorization: Bearer SECRETS", "{'Authorization': 'Bearer SECRETS'}", "openai-insecure-api-key.SECRETS, other",
    "postgresql://desk:SECRETS@db/desk", "token fd_SECRETS0123", "sk-SECRETS0123", "Cookie: a=SECRETS; b=SECRETS",
])  # fmt: skip
def test_what_looks_like_a_secret_is_not_logged(text: str) -> None:
    record = logging.LogRecord("x", logging.INFO, "x", 1, "%s and known", (text,), None)
    said = Redacting("%(message)s", ["known", "", "short"]).format(record)
    assert "SECRETS" not in said
    assert "known-one" not in Redacting("%(message)s", ["known-one"]).format(
        logging.LogRecord("x", logging.INFO, "x", 1, "it is known-one", None, None)
    )


# --- TLS


def test_certificate_and_key_are_looked_at_before_serving(certificate: Path) -> None:
    def of(**values: Any) -> TLS | None:
        return tls_of(settings(**values))

    assert of() is None
    assert of(tls_cert=certificate) == TLS(certificate)
    assert of(tls_cert=certificate.with_name("certificate.pem"), tls_key=certificate) is not None
    for wrong, words in (
        ({"tls_cert": certificate.with_name("none.pem")}, "none.pem"),
        ({"tls_cert": certificate.with_name("certificate.pem")}, "TLS"),
        ({"tls_cert": certificate.with_name("locked.pem")}, "password"),
        ({"tls_key": certificate}, "--tls-cert"),
    ):
        with pytest.raises(AddressError, match=words):
            of(**wrong)


# --- headers


@pytest.fixture
def hand(tmp_path: Path) -> Iterator[HandWorker]:
    database = Database.open(f"sqlite:///{tmp_path}/desk.db", durable=False)
    yield HandWorker(database)
    database.close()


async def test_every_answer_has_the_headers_that_browsers_obey(hand: HandWorker) -> None:
    async with served(Service(hand.desk, hand.database, door=Door(token="x"), drain_seconds=0.0)) as address:
        for path in ("/healthz", "/v1/models", "/nothing"):
            reply = await ask(address, "GET", path)
            assert {name: reply.headers[name] for name in EVERY} == EVERY
        with pytest.raises(InvalidStatus) as caught:
            async with client(address):
                pass
        assert caught.value.response.headers["x-content-type-options"] == "nosniff"
    assert "unsafe" not in PAGE
    assert "*" not in PAGE


async def test_a_listed_origin_may_ask_with_fetch_and_others_may_not(hand: HandWorker) -> None:
    door = Door(token="x", origins=("https://desk.example",))
    async with served(Service(hand.desk, hand.database, door=door, drain_seconds=0.0)) as address:
        wanted = {"access-control-request-method": "POST", "access-control-request-headers": "authorization"}
        for origin, allowed in (("https://desk.example", True), ("https://evil.example", False)):
            host, port = address.removeprefix("http://").split(":")
            request = urllib.request.Request(f"http://{host}:{port}/v1/responses", method="OPTIONS")
            for name, value in {"origin": origin, **wanted}.items():
                request.add_header(name, value)
            with suppress(HTTPError):
                reply = await asyncio.to_thread(urllib.request.urlopen, request, None, SECONDS)
                with reply:
                    assert (reply.headers["access-control-allow-origin"] == origin) is allowed
