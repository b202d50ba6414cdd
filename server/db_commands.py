"""``frontdesk db …``: the database itself, looked at, brought up to date, backed up and tidied. No server is asked."""

from __future__ import annotations

import json
import sys
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from .commands import AsJSON, Database, Exit, epilog, log_to_stderr, settings

if TYPE_CHECKING:
    from ..broker.inspection import Report

app = typer.Typer(no_args_is_help=True, help="Look at the database, bring it up to date, back it up, tidy it.")

DEFAULT = "sqlite:///frontdesk.db"


@app.command(epilog=epilog("frontdesk db check --database sqlite:///shop.db"))
def check(database: Database = None, as_json: AsJSON = False) -> None:
    """Say what a database is, how large, whether it is whole, what is live in it, and who has it open.

    It is only read, also beside a running server. The exit code is 4 when a file is broken, or when this version of
    Frontdesk cannot use it. Whether PostgreSQL's files are whole is for its own tools to say (pg_amcheck).
    """
    from ..broker.inspection import inspect
    from ..broker.urls import engine_of

    found = inspect(engine_of(_url(database)))
    _say({**asdict(found), "is_well": found.is_well}, "\n".join(_lines(found)), as_json=as_json)
    raise typer.Exit(Exit.OK if found.is_well else Exit.DATABASE)


@app.command(epilog=epilog("frontdesk db upgrade --database sqlite:///shop.db"))
def upgrade(database: Database = None, as_json: AsJSON = False) -> None:
    """Bring the tables of an older version up to date, in one transaction.

    `frontdesk serve` and `worker` do the same when they start; make a backup before. There is no way back.
    """
    from ..agents.table import Item  # noqa: F401 # pyright: ignore[reportUnusedImport] # so that all tables are known
    from ..broker.database import Database as Opened
    from ..broker.inspection import schema_of
    from ..broker.urls import engine_of
    from .token_table import AccessToken  # noqa: F401 # pyright: ignore[reportUnusedImport]

    url = _url(database)
    before = schema_of(engine_of(url))
    Opened.open(url).close()
    after = schema_of(engine_of(url))
    text = f"schema {after} already" if before == after else f"schema {before} became schema {after}"
    _say({"before": before, "after": after}, text, as_json=as_json)


@app.command(epilog=epilog("frontdesk db backup backups/shop.db --database sqlite:///shop.db"))
def backup(
    target: Annotated[Path, typer.Argument(metavar="PATH", help="The file to write.", show_default=False)],
    database: Database = None,
    force: Annotated[bool, typer.Option("--force", help="Replace the file when it exists.")] = False,
    as_json: AsJSON = False,
) -> None:
    """Copy a SQLite database, also while a server works on it.

    The copy is the state of one moment, checked, and appears under its name when it is complete. To go back to it, stop
    the server and put the file where the database was, without a `-wal` or `-shm` file beside it. PostgreSQL has
    pg_dump; the command says how to call it.
    """
    from ..broker.backup import backup as copy
    from ..broker.backup import dump_command
    from ..broker.errors import BackupRefused
    from ..broker.sqlite import SQLite
    from ..broker.urls import engine_of

    url = _url(database)
    engine = engine_of(url)
    if not isinstance(engine, SQLite):
        command = dump_command(url, target)
        raise BackupRefused(f"PostgreSQL is backed up by its own tool, with the password in PGPASSWORD: {command}")
    at_terminal = sys.stderr.isatty()

    def tell(done: int, pages: int) -> None:
        if at_terminal:
            typer.echo(f"\r{done / max(pages, 1):.0%}", nl=False, err=True)

    size = copy(engine, target, force=force, tell=tell)
    if at_terminal:
        typer.echo("\r", nl=False, err=True)
    _say({"path": str(target), "size": size}, f"{target}: {amount(size)}, checked", as_json=as_json)


@app.command(epilog=epilog("frontdesk db vacuum --database sqlite:///shop.db"))
def vacuum(database: Database = None, as_json: AsJSON = False) -> None:
    """Give back the space of what was removed (VACUUM), and renew what the engine knows about its tables.

    A SQLite file is written anew, so no server may have it open, and as much space again has to be free.
    """
    from ..broker.inspection import inspect
    from ..broker.upkeep import vacuum as tidy
    from ..broker.urls import engine_of

    url = _url(database)
    before = inspect(engine_of(url)).size
    tidy(engine_of(url, exclusive=True))
    after = inspect(engine_of(url)).size
    _say({"before": before, "after": after}, f"{amount(before)} became {amount(after)}", as_json=as_json)


def _url(database: str | None) -> str:
    chosen = settings(database=database)
    log_to_stderr(chosen)
    return chosen.database or DEFAULT


def _say(found: Any, text: str, *, as_json: bool) -> None:
    typer.echo(json.dumps(found, ensure_ascii=False) if as_json else text)


def _lines(found: Report) -> list[str]:
    if found.schema > found.newest_schema:
        schema = f"{found.schema}, written by a newer version; this one knows {found.newest_schema}: upgrade Frontdesk"
    elif found.schema < found.newest_schema:
        schema = f"{found.schema}, of an older version; it becomes {found.newest_schema} when it is opened"
    else:
        schema = f"{found.schema}, as it should be"
    if found.problems is None:
        whole = "not looked at; pg_amcheck does that"
    else:
        whole = "; ".join(found.problems) if found.problems else "nothing is broken"
    lines = [
        found.name, f"  engine     {found.engine}", f"  schema     {schema}", f"  size       {amount(found.size)}",
        f"  integrity  {whole}", f"  open       {f'by {found.opened_by}' if found.opened_by else 'by nobody'}",
    ]  # fmt: skip
    for kind, states in found.live.items():
        counted = ", ".join(f"{number:,} {state}" for state, number in sorted(states.items()))
        lines.append(f"  {kind:<9}  {counted or 'none live'}")
    return lines


def amount(size: int) -> str:
    """So many bytes, for a person."""
    number, units = float(size), ["bytes", "KiB", "MiB", "GiB", "TiB"]
    while number >= 1_024 and len(units) > 1:
        number /= 1_024
        units.pop(0)
    return f"{number:.3g} {units[0]}" if size >= 1_024 else f"{size} bytes"
