"""``frontdesk quotas …``: how much tenants may have, in the database or asked of the running server."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import typer

from .commands import AsJSON, Database, ServerAddress, Token, epilog
from .task_commands import say
from .token_commands import here_or_there

if TYPE_CHECKING:
    from ..broker.database import Database as Opened

app = typer.Typer(no_args_is_help=True, help="See and set how much tenants may have.")


@app.command("list", epilog=epilog("frontdesk quotas list --json"))
def list_quotas(
    database: Database = None, server: ServerAddress = None, token: Token = None, as_json: AsJSON = False
) -> None:
    """List the quotas of tenants; `*` is everybody who has none of their own."""

    def here(opened: Opened) -> Any:
        from ..broker.quotas import listed

        return {"object": "list", "data": opened.read_blocking(listed)}

    found = here_or_there(database, server, token, here, lambda remote: remote.get("quotas"))
    say(found, "\n".join(map(_line, found["data"])) or "no quotas", as_json=as_json)


@app.command("set", epilog=epilog("frontdesk quotas set acme --turns 20 --tasks 1000 --tokens 5000000"))
def set_quota(
    tenant: Annotated[str, typer.Argument(help="A tenant, or * for everybody who has none.")],
    turns: Annotated[int | None, typer.Option(min=0, help="Turns at once.", show_default="any number")] = None,
    tasks: Annotated[int | None, typer.Option(min=0, help="Queued tasks.", show_default="any number")] = None,
    tokens: Annotated[int | None, typer.Option(min=0, help="Tokens a day (UTC).", show_default="any number")] = None,
    database: Database = None,
    server: ServerAddress = None,
    token: Token = None,
    as_json: AsJSON = False,
) -> None:
    """Give a tenant a quota, in place of the one that it had; without any option, it has everybody's again.

    It is obeyed by all servers and workers of the database within ten seconds.
    """

    def here(opened: Opened) -> Any:
        from ..broker import quotas

        return opened.write_blocking(quotas.set_quota, tenant, quotas.Quota(turns, tasks, tokens))

    body = {"tenant": tenant, "turns": turns, "tasks": tasks, "tokens": tokens}
    found = here_or_there(database, server, token, here, lambda remote: remote.post("quotas", body=body))
    say(found, _line(found), as_json=as_json)


def _line(found: dict[str, Any]) -> str:
    bounds = (("turns", "turns at once"), ("tasks", "queued tasks"), ("tokens", "tokens a day"))
    said = ", ".join(f"{found[name]:,} {what}" for name, what in bounds if found[name] is not None)
    return f"{found['tenant'] or '(no tenant)'}  {said or 'as everybody'}"
