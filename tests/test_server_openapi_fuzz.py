"""Requests that schemathesis makes of the server's OpenAPI document, good and bad ones: no error of the server's own,
no answer without a token, and an ordinary request works afterwards.

`make fuzz` installs schemathesis; without it this is skipped.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import urllib.request
from pathlib import Path

import pytest

from frontdesk.server import tokens
from frontdesk.server.tokens import new_token
from frontdesk.tests.served import open_house

PROGRAM = Path(sys.prefix) / "fuzz" / "bin" / "st"
EXAMPLES = max(5, int(os.environ.get("FRONTDESK_FUZZ", "500")) // 100)  # of each operation
CHECKS = "not_a_server_error,ignored_auth,content_type_conformance"
SECONDS = 3_600


@pytest.mark.skipif(not PROGRAM.exists(), reason="`make fuzz` installs schemathesis")
def test_requests_of_the_openapi_document(tmp_path: Path) -> None:
    operator = new_token(operator=True)
    with open_house(tmp_path) as house:
        house.database.write_blocking(tokens.issue_token, operator)
        address = house.base_url.removesuffix("/v1")
        # The document takes a while the first time, for which schemathesis may not have the patience.
        document = urllib.request.Request(f"{house.base_url}/openapi.json")
        document.add_header("Authorization", f"Bearer {operator.secret}")
        with urllib.request.urlopen(document) as reply:
            assert json.load(reply)["openapi"] == "3.1.0"
        command = [
            str(PROGRAM), "run", f"{house.base_url}/openapi.json", "--url", address, "--checks", CHECKS,
            "--header", f"Authorization: Bearer {operator.secret}", "--max-examples", str(EXAMPLES),
            "--phases", "examples,coverage,fuzzing", "--continue-on-failure", "--suppress-health-check", "all",
            "--request-timeout", "60",
        ]  # fmt: skip
        done = subprocess.run(
            command, cwd=tmp_path, capture_output=True, text=True, encoding="utf-8", timeout=SECONDS, check=False
        )
        assert done.returncode == 0, done.stdout[-8_000:] + done.stderr[-2_000:]
        with house.sync_client() as client:
            client.api_key = operator.secret
            for name in ("default", "turn"):
                client.post(f"/queues/{name}/resume", cast_to=object)  # one of the requests may have paused it
            assert client.responses.create(model="house", input="hello").output_text == "You said: hello"
