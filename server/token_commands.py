"""``frontdesk tokens …``: who is let in. Done in the database, or with ``--server`` by the server that has it open."""

from __future__ import annotations

import re
from collections.abc import Callable
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Annotated, Any, Final

import typer

from .commands import AsJSON, Database, ServerAddress, Token, epilog, log_to_stderr, or_at_the_server, settings
from .task_commands import remote_of, say

if TYPE_CHECKING:
    from ..broker.database import Database as Opened
    from .remote import Remote

app = typer.Typer(no_args_is_help=True, help="Create, list and revoke the tokens with which clients are let in.")

UNITS: Final = {"h": 3_600, "d": 86_400, "w": 7 * 86_400}
TokenId = Annotated[str, typer.Argument(metavar="TOKEN", help="The id of a token (tok_…), as `list` shows it.")]


def _seconds(text: str) -> float:
    found = re.fullmatch(r"(\d{1,6})([hdw])", text)
    if found is None or int(found[1]) == 0:
        raise typer.BadParameter("write a number and h, d or w: 12h, 90d, 52w")
    return float(int(found[1]) * UNITS[found[2]])


@app.command(epilog=epilog("frontdesk tokens create backend --tenant acme --expires 90d"))
def create(
    name: Annotated[str, typer.Argument(help="Whose token it is, for people.", show_default=False)],
    tenant: Annotated[
        str, typer.Option(help="Whose conversations and tasks it opens.", show_default="that of FRONTDESK_TOKEN")
    ] = "",
    operator: Annotated[bool, typer.Option("--operator", help="Also queues, schedules, tokens and metrics.")] = False,
    expires: Annotated[
        str | None, typer.Option(metavar="TIME", help="Until when: 12h, 90d, 52w.", show_default="until it is revoked")
    ] = None,
    database: Database = None,
    server: ServerAddress = None,
    token: Token = None,
    as_json: AsJSON = False,
) -> None:
    """Create a token and show it, this once: only a digest of it is kept.

    As soon as a database holds a token, its servers let nobody in without one.
    """
    seconds = None if expires is None else _seconds(expires)
    body = {"name": name, "tenant": tenant, "operator": operator, "expires_in": seconds}

    def here(opened: Opened) -> Any:
        from .tokens import issue_token, new_token

        new = new_token(name=name, tenant=tenant, operator=operator, seconds=seconds)
        return {**opened.write_blocking(issue_token, new), "token": new.secret}

    found = here_or_there(database, server, token, here, lambda remote: remote.post("tokens", body=body))
    say(found, f"{found['token']}\n{_line(found)}\nIt is shown this once.", as_json=as_json)


@app.command("list", epilog=epilog("frontdesk tokens list --json"))
def list_tokens(
    database: Database = None, server: ServerAddress = None, token: Token = None, as_json: AsJSON = False
) -> None:
    """List the tokens that were created, the newest first."""

    def here(opened: Opened) -> Any:
        from .tokens import listed

        return {"object": "list", "data": opened.read_blocking(listed)}

    found = here_or_there(database, server, token, here, lambda remote: remote.get("tokens"))
    say(found, "\n".join(map(_line, found["data"])) or "no tokens yet", as_json=as_json)


@app.command(epilog=epilog("frontdesk tokens revoke tok_0123456789abcdef"))
def revoke(
    token_id: TokenId,
    database: Database = None,
    server: ServerAddress = None,
    token: Token = None,
    as_json: AsJSON = False,
) -> None:
    """Let nobody in with this token any more. Open connections end within ten seconds."""

    def here(opened: Opened) -> Any:
        from .tokens import revoke_token

        return opened.write_blocking(revoke_token, token_id)

    found = here_or_there(database, server, token, here, lambda remote: remote.delete("tokens", token_id))
    say(found, _line(found), as_json=as_json)


def here_or_there(
    database: str | None,
    server: str | None,
    token: str | None,
    here: Callable[[Opened], Any],
    there: Callable[[Remote], Any],
) -> Any:
    """Does it in the database, or has the server do it that is named."""
    chosen = settings(database=database, server=server)
    log_to_stderr(chosen)
    if server is not None or (chosen.server and database is None):
        return there(remote_of(server, token))
    from . import token_table  # noqa: F401 # pyright: ignore[reportUnusedImport] # so that its table is there
    from .assembly import open_database

    with or_at_the_server(), open_database(chosen) as opened:
        return here(opened)


def _line(found: dict[str, Any]) -> str:
    if found["revoked_at"] is not None:
        state = f"revoked {_day(found['revoked_at'])}"
    elif found["expires_at"] is not None:
        over = found["expires_at"] <= datetime.now(UTC).timestamp()
        state = f"{'expired' if over else 'until'} {_day(found['expires_at'])}"
    else:
        state = "until it is revoked"
    tenant = f"tenant {found['tenant']}" if found["tenant"] else "no tenant"
    rights = "  operator" if found["operator"] else ""
    return f"{found['id']}  {found['hint']}…  {found['name']}  {tenant}  {state}{rights}"


def _day(at: float) -> str:
    return datetime.fromtimestamp(at, UTC).strftime("%Y-%m-%d %H:%M UTC")
