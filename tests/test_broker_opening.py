"""Databases that are not there yet when a process starts, and those that let nobody in."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from frontdesk.broker.errors import DatabaseRefused, DatabaseUnreachable
from frontdesk.broker.opening import PAUSES, open_patiently
from frontdesk.tests.databases import Server


def test_a_server_that_comes_up_late_is_waited_for(postgresql: Server, postgresql_url: str, tmp_path: Path) -> None:
    sockets = tmp_path / "sockets"
    name = postgresql_url.split("/")[3].split("?")[0]
    told: list[str] = []
    slept: list[float] = []

    def come_up(pause: float) -> None:
        slept.append(pause)
        if len(slept) == 2:
            sockets.symlink_to(postgresql.socket_folder)

    url = f"postgresql://postgres:secret@/{name}?host={sockets}"
    open_patiently(url, seconds=60, told=told.append, sleep=come_up, durable=False).close()
    assert slept == list(PAUSES[:2])
    assert len(told) == 2
    assert f"postgresql://postgres:…@/{name}" in told[0]
    assert "trying again in 0.5 s, for 60 s in all" in told[0]
    assert not any("secret" in one for one in told)


def test_a_server_that_never_answers_is_named_with_how_often_it_was_tried(tmp_path: Path) -> None:
    told: list[str] = []
    with pytest.raises(DatabaseUnreachable, match=r"tried [2-9]\d* times in 0.05 s, with pauses of 0.5 to 4 s"):
        open_patiently(f"postgresql://desk@/desk?host={tmp_path}", seconds=0.05, told=told.append)
    assert told
    with pytest.raises(DatabaseUnreachable) as caught:
        open_patiently(f"postgresql://desk@/desk?host={tmp_path}", seconds=0, told=told.append)
    assert "tried" not in str(caught.value)


def test_what_waiting_does_not_mend_is_said_at_once(tmp_path: Path) -> None:
    with pytest.raises(DatabaseUnreachable, match="create it first"):
        open_patiently(f"sqlite:///{tmp_path}/none/desk.db", seconds=60, told=pytest.fail)


@pytest.fixture
def guarded(postgresql: Server) -> Iterator[str]:
    """A user of the server who has to say a password."""
    rules = postgresql.folder / "pg_hba.conf"
    before = rules.read_text()
    with postgresql.connect() as raw:
        raw.execute("CREATE ROLE guarded LOGIN PASSWORD 'right'")
        rules.write_text("local all guarded scram-sha-256\n" + before)
        raw.execute("SELECT pg_reload_conf()")
        yield "guarded"
        rules.write_text(before)
        raw.execute("SELECT pg_reload_conf()")
        raw.execute("DROP ROLE guarded")


def test_a_wrong_password_is_said_at_once_and_not_shown(postgresql: Server, guarded: str) -> None:
    url = f"postgresql://{guarded}:wrong@/postgres?host={postgresql.socket_folder}"
    with pytest.raises(DatabaseRefused, match="check the user, the password and the name") as caught:
        open_patiently(url, seconds=60, told=pytest.fail)
    assert "password authentication failed" in str(caught.value)
    assert "wrong" not in str(caught.value)


def test_a_database_that_does_not_exist_is_said_at_once(postgresql: Server) -> None:
    with pytest.raises(DatabaseRefused, match='database "missing" does not exist'):
        open_patiently(postgresql.url("missing"), seconds=60, told=pytest.fail)
