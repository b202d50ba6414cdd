"""Every example of docs/clients.md, run as it is printed."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import anyio
import pytest
from anyio import to_thread

from frontdesk.agents.models.scripted import call
from frontdesk.tests.mounted import running
from frontdesk.tests.served import House, file_errand, open_house

ROOT = Path(__file__).resolve().parent.parent
OWN, OFFICIAL, INSIDE = re.findall(r"```python\n(.*?)```", (ROOT / "docs" / "clients.md").read_text("utf-8"), re.DOTALL)
REPORT = "Make the refund report for month 2026-10, please."
PATIENCE = 120  # seconds


@pytest.fixture
def house(tmp_path_factory: pytest.TempPathFactory) -> Iterator[House]:
    with open_house(tmp_path_factory.mktemp("house")) as found:
        yield found


class Program:
    """An example that is running against a house."""

    def __init__(self, house: House, source: str, folder: Path) -> None:
        program = folder / "program.py"
        program.write_text(source.replace("http://127.0.0.1:8765", house.base_url.removesuffix("/v1")), "utf-8")
        self._process = subprocess.Popen(
            [sys.executable, str(program)], cwd=folder, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
            env={**os.environ, "PYTHONUNBUFFERED": "1"},
        )  # fmt: skip

    def kill(self) -> None:
        self._process.kill()
        self._process.communicate()

    async def line(self) -> str:
        """The next line that it prints."""
        assert self._process.stdout is not None
        return await to_thread.run_sync(self._process.stdout.readline)

    async def rest(self) -> str:
        """What else it prints, until it has ended well."""
        said, wrong = await to_thread.run_sync(lambda: self._process.communicate(timeout=PATIENCE))
        assert (self._process.returncode, wrong) == (0, "")
        return said


async def test_the_python_client_asks_and_hears_what_becomes_of_it(house: House, tmp_path: Path) -> None:
    house.lines[REPORT] = (file_errand("report"), "It is being made.")
    program = Program(house, OWN, tmp_path)
    assert await program.line() == "It is being made. completed\n"
    house.gates["report"].open()
    said = await program.rest()
    assert "T1 succeeded report is done\n" in said
    assert "heard of 1" in said


async def test_the_official_client_comes_back_to_its_answer(house: House, tmp_path: Path) -> None:
    house.lines["hello"] = (call("hold", {"name": "away"}), "Here again.")
    program = Program(house, OFFICIAL.replace('"model": "desk"', '"model": "house"'), tmp_path)
    try:
        with anyio.fail_after(PATIENCE):
            await house.gates["away"].reached()
    except TimeoutError:
        program.kill()
        raise
    await to_thread.run_sync(house.restart)
    house.gates["away"].open()
    assert await program.rest() == "Here again.\n"


def test_a_desk_inside_an_application(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    written: dict[str, Any] = {}
    exec(compile(INSIDE, "clients.md", "exec"), written)

    def ask(path: str, body: Any = None) -> Any:
        given = None if body is None else json.dumps(body).encode()
        with urllib.request.urlopen(f"{address}/desk/{path}", given, timeout=PATIENCE) as reply:
            return reply.read().decode()

    with running(written["app"]) as address:
        assert json.loads(ask("v1/models"))["data"][0]["id"] == written["desk"].name
        assert "<title>" in ask("")
        assert json.loads(ask("v1/responses", {"input": "hello"}))["status"] == "completed"
    assert (tmp_path / "desk.db").exists()
