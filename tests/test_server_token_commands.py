"""``frontdesk tokens``, in the database and through a running server."""

from __future__ import annotations

import asyncio
import json
import sys
from pathlib import Path

import pytest

from frontdesk.broker.database import Database
from frontdesk.server import tokens
from frontdesk.server.cli import main
from frontdesk.server.door import Door
from frontdesk.server.service import Service
from frontdesk.tests.fakes.hand_worker import HandWorker
from frontdesk.tests.fakes.served import served


class Program:
    """The program inside this process, in a folder of its own."""

    def __init__(self, folder: Path, patch: pytest.MonkeyPatch, capture: pytest.CaptureFixture[str]) -> None:
        self._patch, self._capture = patch, capture
        patch.chdir(folder)

    def run(self, *arguments: str) -> tuple[int, str, str]:
        """Exit code, stdout, stderr."""
        self._patch.setattr(sys, "argv", ["frontdesk", "tokens", *arguments])
        with pytest.raises(SystemExit) as ended:
            main()
        said = self._capture.readouterr()
        return int(ended.value.code or 0), said.out, said.err


@pytest.fixture
def program(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Program:
    return Program(tmp_path, monkeypatch, capsys)


def test_tokens_are_created_listed_and_revoked_in_the_database(program: Program) -> None:
    assert program.run("list") == (0, "no tokens yet\n", "")
    code, said, _ = program.run("create", "backend", "--tenant", "acme", "--expires", "90d")
    secret, line, _ = said.splitlines()
    assert (code, secret[:3], "tenant acme" in line, "until 2" in line) == (0, "fd_", True, True)
    made = json.loads(program.run("create", "root", "--operator", "--json")[1])
    assert (made["operator"], made["expires_at"], made["token"][:3]) == (True, None, "fd_")
    listed = json.loads(program.run("list", "--json")[1])["data"]
    assert [one["name"] for one in listed] == ["root", "backend"]
    assert secret not in program.run("list")[1]
    code, said, _ = program.run("revoke", listed[1]["id"])
    assert (code, "revoked 2" in said) == (0, True)
    code, _, wrong = program.run("revoke", "tok_x")
    assert (code, "tok_x" in wrong) == (1, True)
    code, _, wrong = program.run("revoke", "root")
    assert (code, wrong) == (1, f"frontdesk: 'root' is a token's name; give its id: {listed[0]['id']}\n")
    assert program.run("create", "x", "--expires", "soon")[0] == 2


async def test_the_server_that_has_the_database_open_does_it(tmp_path: Path, program: Program) -> None:
    database = Database.open(f"sqlite:///{tmp_path}/desk.db", durable=False)
    service = Service(HandWorker(database).desk, database, door=Door(token="root"), drain_seconds=0.0)
    try:
        async with served(service) as address:
            there = ("--server", address, "--token", "root", "--json")
            made = json.loads((await asyncio.to_thread(program.run, "create", "ci", *there))[1])
            assert database.read_blocking(tokens.find, tokens.digest_of(made["token"])) is not None
            await asyncio.to_thread(program.run, "revoke", made["id"], *there)
            (listed,) = json.loads((await asyncio.to_thread(program.run, "list", *there))[1])["data"]
            assert (listed["id"], listed["revoked_at"] is not None) == (made["id"], True)
            refused = await asyncio.to_thread(program.run, "list", "--server", address, "--token", made["token"])
            assert (refused[0], "wants a token" in refused[2]) == (1, True)
    finally:
        database.close()
