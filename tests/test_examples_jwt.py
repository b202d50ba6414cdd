"""JSON Web Tokens of an identity provider, whose keys are fetched over HTTP: who is let in, and who is not."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from jwt.algorithms import ECAlgorithm
from websockets.exceptions import ConnectionClosed

from frontdesk.broker.database import Database
from frontdesk.examples.jwt_tokens import authenticator
from frontdesk.server.door import Door
from frontdesk.server.limits import Limits
from frontdesk.server.service import Service
from frontdesk.tests.fakes.hand_worker import HandWorker
from frontdesk.tests.fakes.served import client, served
from frontdesk.tests.test_server_http import ask

ISSUER, AUDIENCE = "https://login.example/", "desk"


class Provider:
    """An identity provider: it signs tokens, and shows its public key."""

    def __init__(self) -> None:
        self.key = ec.generate_private_key(ec.SECP256R1())
        public = json.loads(ECAlgorithm.to_jwk(self.key.public_key()))
        shown = json.dumps({"keys": [{**public, "kid": "one", "use": "sig", "alg": "ES256"}]}).encode()

        class Keys(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                self.send_response(200)
                self.end_headers()
                self.wfile.write(shown)

            def log_message(self, format: str, *args: Any) -> None:
                """Says nothing."""

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Keys)
        self.url = f"http://127.0.0.1:{self._server.server_port}/jwks.json"
        self._thread = threading.Thread(target=self._server.serve_forever)
        self._thread.start()

    def token(self, *, key: Any = None, algorithm: str = "ES256", without: str = "", **claims: Any) -> str:
        whole = {"iss": ISSUER, "aud": AUDIENCE, "sub": "ann", "tenant": "acme", "exp": time.time() + 60, **claims}
        whole.pop(without, None)
        return jwt.encode(whole, key or self.key, algorithm=algorithm, headers={"kid": "one"})

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()


@pytest.fixture(scope="module")
def provider() -> Iterator[Provider]:
    found = Provider()
    yield found
    found.close()


@pytest.fixture
def service(provider: Provider, tmp_path: Path) -> Iterator[Service]:
    database = Database.open(f"sqlite:///{tmp_path}/desk.db", durable=False)
    door = Door(authenticate=authenticator(jwt.PyJWKClient(provider.url), audience=AUDIENCE, issuer=ISSUER))
    limits = Limits(recheck_seconds=0.05)
    yield Service(HandWorker(database).desk, database, door=door, limits=limits, drain_seconds=0.0)
    database.close()


async def test_a_good_token_is_let_in_and_every_other_is_not(service: Service, provider: Provider) -> None:
    public = provider.key.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
    confused = provider.token(key=b"x" * 32, algorithm="HS256")
    async with served(service) as address:
        for token, expected in (
            (provider.token(), 200), (provider.token(exp=time.time() - 1), 401), (provider.token(aud="other"), 401),
            (provider.token(iss="https://evil.example/"), 401), (provider.token(without="tenant"), 401),
            (provider.token(tenant=""), 401), (provider.token(tenant=["acme"]), 401),
            (provider.token(without="exp"), 401),
            (provider.token(key=ec.generate_private_key(ec.SECP256R1())), 401), (confused, 401),
            (provider.token()[:-4] + "AAAA", 401), ("nonsense", 401), ("", 401), (public.decode().split("\n")[1], 401),
        ):  # fmt: skip
            reply = await ask(address, "GET", "/v1/models", authorization=f"Bearer {token}")
            assert reply.status == expected, token
        tenant, operator = provider.token(), provider.token(roles=["operator"])
        assert (await ask(address, "GET", "/v1/queues", authorization=f"Bearer {tenant}")).status == 403
        assert (await ask(address, "GET", "/v1/queues", authorization=f"Bearer {operator}")).status == 200


async def test_a_connection_ends_when_its_token_expires(service: Service, provider: Provider) -> None:
    token = provider.token(exp=time.time() + 1.5)
    browsers = [f"openai-insecure-api-key.{token}"]
    async with served(service) as address, client(address, subprotocols=browsers) as socket:
        await socket.taken()
        with pytest.raises(ConnectionClosed):
            await socket.socket.recv()
        assert socket.socket.close_code == 1008
