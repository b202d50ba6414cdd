"""``frontdesk db``, as a person or a script uses it: beside a running server, and when it is closed."""

from __future__ import annotations

import json
import os
import sqlite3
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from frontdesk.broker.database import Database
from frontdesk.broker.schema import put
from frontdesk.broker.tables import SCHEMA_VERSION
from frontdesk.broker.urls import SAFE_FOR_PROCESSES
from frontdesk.server.db_commands import amount
from frontdesk.tests import forked
from frontdesk.tests.store import Store

PROGRAM = [sys.executable, "-c", "from frontdesk.server.cli import main; main()", "db"]
FIRST = Path(__file__).parent / "fakes" / "schema_1.sql"


def run(folder: Path, *arguments: str, url: str = "") -> tuple[int, str, str]:
    """Exit code, stdout, stderr."""
    env = {**os.environ, **({"FRONTDESK_DATABASE": url} if url else {})}
    done = forked.run(
        [*PROGRAM, *arguments], cwd=folder, env=env, capture_output=True, text=True, timeout=60, check=False
    )
    return done.returncode, done.stdout, done.stderr


@pytest.fixture
def served(tmp_path: Path) -> Iterator[Database]:
    """The database of this folder, as a server has it open."""
    found = Database.open(f"sqlite:///{tmp_path}/frontdesk.db", durable=False, exclusive=True)
    yield found
    found.close()


def older(file: Path) -> None:
    """A database that the first version wrote."""
    with sqlite3.connect(file) as raw:
        raw.executescript(FIRST.read_text("utf-8"))
        raw.execute("INSERT INTO frontdesk_meta VALUES ('schema', '1')")
    raw.close()


def test_a_database_is_described_in_words_and_as_json(tmp_path: Path, served: Database) -> None:
    Store(served).enqueue()
    code, said, wrong = run(tmp_path, "check")
    assert (code, wrong) == (0, "")
    lines = [line.split(maxsplit=1) for line in said.splitlines()]
    assert lines[0] == ["frontdesk.db"]
    found = {line[0]: line[1] for line in lines[1:]}
    assert found.pop("size").endswith("KiB")
    assert found == {
        "engine": f"SQLite {sqlite3.sqlite_version}",
        "schema": f"{SCHEMA_VERSION}, as it should be",
        "integrity": "nothing is broken",
        "open": f"by process {os.getpid()}",
        "tasks": "1 queued",
        "turns": "none live",
    }
    code, said, _ = run(tmp_path, "check", "--json", url=f"sqlite:///{tmp_path}/frontdesk.db")
    told: dict[str, Any] = json.loads(said)
    assert (code, told["is_well"], told["live"]["tasks"], told["problems"]) == (0, True, {"queued": 1}, [])
    assert told["opened_by"] == f"process {os.getpid()}"


def test_the_exit_code_says_when_all_is_not_well(tmp_path: Path, served: Database) -> None:
    served.write_blocking(put, "schema", "999")
    code, said, _ = run(tmp_path, "check")
    assert code == 4
    assert "written by a newer version" in said
    assert json.loads(run(tmp_path, "check", "--json")[1])["is_well"] is False
    for command in (["check"], ["upgrade"], ["backup", "copy.db"], ["vacuum"]):
        code, said, wrong = run(tmp_path, *command, "--database", "sqlite:///missing.db")
        assert (code, said, len(wrong.splitlines())) == (4, "", 1)
        assert "no such file" in wrong
    assert not (tmp_path / "missing.db").exists()
    assert run(tmp_path, "check", "--database", "mysql://x")[0] == 4


def test_an_older_database_is_brought_up_to_date(tmp_path: Path) -> None:
    older(tmp_path / "frontdesk.db")
    code, said, _ = run(tmp_path, "check")
    assert (code, f"1, of an older version; it becomes {SCHEMA_VERSION}" in said) == (0, True)
    assert run(tmp_path, "upgrade")[:2] == (0, f"schema 1 became schema {SCHEMA_VERSION}\n")
    assert json.loads(run(tmp_path, "upgrade", "--json")[1]) == {"before": SCHEMA_VERSION, "after": SCHEMA_VERSION}
    assert run(tmp_path, "upgrade")[1] == f"schema {SCHEMA_VERSION} already\n"


def test_a_copy_is_made_beside_a_server_and_can_be_opened(tmp_path: Path, served: Database) -> None:
    row = Store(served).enqueue()
    code, said, wrong = run(tmp_path, "backup", "copy.db")
    assert (code, wrong) == (0, "")
    assert said.startswith("copy.db: ")
    code, _, wrong = run(tmp_path, "backup", "copy.db")
    assert (code, "--force" in wrong) == (1, True)
    code, said, _ = run(tmp_path, "backup", "copy.db", "--force", "--json")
    assert (code, json.loads(said)) == (0, {"path": "copy.db", "size": (tmp_path / "copy.db").stat().st_size})
    copy = Database.open(f"sqlite:///{tmp_path}/copy.db", durable=False)
    assert [one["id"] for one in Store(copy).tasks()] == [row["id"]]
    copy.close()


def test_postgresql_is_left_to_its_own_tool(tmp_path: Path) -> None:
    code, said, wrong = run(tmp_path, "backup", "x.dump", "--database", "postgresql://me:secret@db/desk")
    assert (code, said) == (1, "")
    assert "pg_dump --format=custom --file=x.dump postgresql://me@db/desk" in wrong
    assert "secret" not in wrong


def test_what_a_server_has_open_is_not_written(tmp_path: Path, served: Database) -> None:
    refused = [["vacuum"]]
    if sqlite3.sqlite_version_info < SAFE_FOR_PROCESSES:
        refused.append(["upgrade"])
    for command in refused:
        code, said, wrong = run(tmp_path, *command)
        assert (code, said) == (4, "")
        assert f"in use by another Frontdesk process (process {os.getpid()}); stop it, or choose another" in wrong
        assert "--server" not in wrong, "there is no such option here"
    served.close()
    code, said, _ = run(tmp_path, "vacuum")
    assert (code, " became " in said) == (0, True)
    found = json.loads(run(tmp_path, "vacuum", "--json")[1])
    assert found["after"] <= found["before"]


def test_postgresql_is_described_and_vacuumed(tmp_path: Path, postgresql_url: str) -> None:
    Database.open(postgresql_url).close()
    code, said, _ = run(tmp_path, "check", url=postgresql_url)
    assert code == 0
    assert "PostgreSQL" in said
    assert "pg_amcheck" in said
    assert run(tmp_path, "vacuum", url=postgresql_url)[0] == 0


@pytest.mark.parametrize(
    ("size", "text"), [(0, "0 bytes"), (1_023, "1023 bytes"), (1_536, "1.5 KiB"), (5 << 40, "5 TiB")]
)
def test_an_amount_is_said_roughly(size: int, text: str) -> None:
    assert amount(size) == text
