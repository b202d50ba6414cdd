"""Access tokens in the database: issued, found, listed, revoked. Each function is one commit or one read."""

from __future__ import annotations

import hashlib
import secrets
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

import sqlalchemy as sa

from ..broker.connection import Connection
from ..broker.errors import NotFound
from ..broker.failpoints import operation
from ..broker.statements import Statement, insert_row, p, table
from ..tasks.request import new_id
from .auth import Principal
from .token_table import AccessToken

PREFIX: Final = "fd_"  # so that scanners for leaked secrets know one when they see it
RANDOM_BYTES: Final = 32
HINT: Final = 7  # characters
LIMIT: Final = 500

token = table(AccessToken)
COLUMNS: Final = tuple(column.name for column in token.columns)

INSERT: Statement = Statement(insert_row(AccessToken))
BY_ID: Statement = Statement(sa.select(token).where(token.c.id == p("id")))
BY_DIGEST: Statement = Statement(
    sa.select(token.c.tenant, token.c.name, token.c.operator, token.c.expires_at, token.c.revoked_at).where(
        token.c.digest == p("digest")
    )
)
NEWEST: Statement = Statement(sa.select(token).order_by(token.c.created_at.desc(), token.c.id.desc()).limit(LIMIT))
NAMED: Statement = Statement(
    sa.select(token.c.id)
    .where(token.c.name == p("name"), token.c.revoked_at.is_(None))
    .order_by(token.c.created_at.desc())
    .limit(3)
)
FIRST: Statement = Statement(sa.select(token.c.id).limit(1))
REVOKE: Statement = Statement(
    sa.update(token).where(token.c.id == p("id"), token.c.revoked_at.is_(None)).values(revoked_at=p("at"))
)


class TokenNotFound(NotFound):
    """``named``: ids of tokens whose name was given in place of an id."""

    code, what = "token_not_found", "token"

    def __init__(self, wanted: str, named: Sequence[str] = ()) -> None:
        super().__init__(wanted)
        if named:
            self.args = (f"{wanted!r} is a token's name; give its id: {' or '.join(named)}",)


@dataclass(frozen=True, slots=True, kw_only=True)
class NewToken:
    """A token that is to be issued. ``secret`` is shown once, to whoever asked for it, and stored nowhere."""

    id: str
    secret: str
    name: str = ""
    tenant: str = ""
    operator: bool = False
    seconds: float | None = None  # for which it holds; None: until it is revoked


def new_token(*, name: str = "", tenant: str = "", operator: bool = False, seconds: float | None = None) -> NewToken:
    """A random token, not stored yet."""
    secret = PREFIX + secrets.token_urlsafe(RANDOM_BYTES)
    return NewToken(id=new_id("tok"), secret=secret, name=name, tenant=tenant, operator=operator, seconds=seconds)


def digest_of(secret: str) -> str:
    """What is stored of a token. It is 256 random bits, so a slow hash with a salt would protect nothing more."""
    return hashlib.sha256(secret.encode(errors="surrogatepass")).hexdigest()


@operation
def issue_token(conn: Connection, new: NewToken) -> dict[str, Any]:
    """Stores the token's digest; the token as it is shown. Issuing it again finds it as it is."""
    row = conn.one(BY_ID, {"id": new.id})
    if row is not None:
        return shown(row)
    now = conn.wall()
    values: dict[str, Any] = {
        "id": new.id, "digest": digest_of(new.secret), "hint": new.secret[:HINT], "name": new.name,
        "tenant": new.tenant, "operator": int(new.operator), "created_at": now,
        "expires_at": None if new.seconds is None else now + new.seconds, "revoked_at": None,
    }  # fmt: skip
    conn.run(INSERT, values)
    return shown(tuple(values[name] for name in COLUMNS))


@operation
def revoke_token(conn: Connection, token_id: str) -> dict[str, Any]:
    """The token is let in no more; it stays listed. Raises TokenNotFound."""
    conn.run(REVOKE, {"id": token_id, "at": conn.wall()})
    row = conn.one(BY_ID, {"id": token_id})
    if row is None:
        raise TokenNotFound(token_id, [str(found) for (found,) in conn.all(NAMED, {"name": token_id})])
    return shown(row)


def listed(conn: Connection) -> list[dict[str, Any]]:
    """All tokens as they are shown, newest first."""
    return [shown(row) for row in conn.all(NEWEST)]


def are_there(conn: Connection) -> bool:
    """Whether a token was ever issued: then nobody is let in without one, also when all are revoked."""
    return conn.one(FIRST) is not None


def find(conn: Connection, digest: str) -> Principal | None:
    """Whose token this is; None when it is unknown, revoked or expired."""
    row = conn.one(BY_DIGEST, {"digest": digest})
    if row is None:
        return None
    tenant, name, operator, expires_at, revoked_at = row
    if revoked_at is not None or (expires_at is not None and expires_at <= conn.wall()):
        return None
    return Principal(tenant=str(tenant), name=str(name), operator=bool(operator), expires_at=expires_at)


def shown(row: Sequence[Any]) -> dict[str, Any]:
    """A token as it is shown, without what it is."""
    found = dict(zip(COLUMNS, row, strict=True))
    del found["digest"]
    return {"object": "frontdesk.token", **found, "operator": bool(found["operator"])}
