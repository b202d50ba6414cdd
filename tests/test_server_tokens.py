"""Access tokens in the database: issued once, found by what they are, expired, revoked, never to be read again."""

from __future__ import annotations

import signal
import sys
from dataclasses import replace

import pytest
import sqlalchemy as sa

from frontdesk.broker.database import Database
from frontdesk.broker.statements import Statement, p
from frontdesk.server import tokens
from frontdesk.server.auth import Principal
from frontdesk.server.tokens import NewToken, digest_of, new_token
from frontdesk.tests import forked

AGE: Statement = Statement(
    sa.update(tokens.token).where(tokens.token.c.id == p("id")).values(expires_at=tokens.token.c.created_at - 1)
)


def test_a_token_opens_what_it_was_issued_for(database: Database) -> None:
    assert not database.read_blocking(tokens.are_there)
    new = new_token(name="backend", tenant="acme", seconds=3_600)
    shown = database.write_blocking(tokens.issue_token, new)
    assert (shown["id"], shown["name"], shown["tenant"], shown["operator"]) == (new.id, "backend", "acme", False)
    found = database.read_blocking(tokens.find, digest_of(new.secret))
    assert found == Principal(tenant="acme", name="backend", expires_at=shown["expires_at"])
    assert database.read_blocking(tokens.find, digest_of(new.secret + "x")) is None
    assert database.read_blocking(tokens.are_there)


def test_what_is_kept_and_shown_does_not_tell_the_token(database: Database) -> None:
    new = new_token(operator=True)
    shown = database.write_blocking(tokens.issue_token, new)
    (row,) = database.read_blocking(lambda conn: conn.all(tokens.BY_ID, {"id": new.id}))
    assert not any(new.secret[: tokens.HINT + 1] in str(value) for value in (*row, *shown.values()))
    assert "digest" not in shown
    assert [shown] == database.read_blocking(tokens.listed)
    assert len({new_token().secret for _ in range(100)}) == 100
    assert len(new.secret) == 46, "256 random bits"


def test_one_that_has_expired_or_was_revoked_opens_nothing(database: Database) -> None:
    old, gone, good = (new_token(seconds=60) for _ in range(3))
    for one in (old, gone, good):
        database.write_blocking(tokens.issue_token, one)
    database.write_blocking(lambda conn: conn.run(AGE, {"id": old.id}))
    first = database.write_blocking(tokens.revoke_token, gone.id)
    assert database.write_blocking(tokens.revoke_token, gone.id) == first, "it was revoked when it was revoked first"
    found = [database.read_blocking(tokens.find, digest_of(one.secret)) is not None for one in (old, gone, good)]
    assert found == [False, False, True]
    assert len(database.read_blocking(tokens.listed)) == 3
    with pytest.raises(tokens.TokenNotFound, match="tok_x"):
        database.write_blocking(tokens.revoke_token, "tok_x")


KILLED = """
import sys
from frontdesk.broker.database import Database
from frontdesk.server import tokens
database = Database.open(sys.argv[1], durable=False, failpoint=sys.argv[2])
new = tokens.NewToken(id="tok_1", secret="fd_secret", tenant="acme")
database.write_blocking(tokens.issue_token, new)
database.write_blocking(tokens.revoke_token, "tok_1")
"""


@pytest.mark.parametrize("name", ["issue_token", "revoke_token"])
@pytest.mark.parametrize("side", ["before", "after"])
def test_killed_at_its_commit_and_asked_again_there_is_one_token(url: str, side: str, name: str) -> None:
    command = [sys.executable, "-c", KILLED, url, f"{side}:{name}"]
    assert forked.run(command, timeout=60, check=False).returncode == -signal.SIGKILL
    database = Database.open(url, durable=False)
    try:
        new = NewToken(id="tok_1", secret="fd_secret", tenant="acme")
        database.write_blocking(tokens.issue_token, new)
        database.write_blocking(tokens.issue_token, replace(new, tenant="other"))
        (found,) = database.read_blocking(tokens.listed)
        assert (found["tenant"], found["revoked_at"] is not None) == ("acme", (side, name) == ("after", "revoke_token"))
        database.write_blocking(tokens.revoke_token, "tok_1")
        assert database.read_blocking(tokens.find, digest_of("fd_secret")) is None
    finally:
        database.close()
