"""``frontdesk export``: conversations as lines of JSON to train a model with. The database is only read."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack
from pathlib import Path
from typing import IO, Annotated, Final, Literal

import sqlalchemy as sa
import typer

from ..agents import items
from ..agents.catalog import Catalog
from ..agents.model import JSON
from ..agents.training import Example, examples
from ..broker import tenants
from ..broker.connection import Connection
from ..broker.statements import Statement, p, table
from ..broker.tables import Conversation as ConversationTable
from .commands import Database, Exit, epilog, fail

app = typer.Typer()

PAGE: Final = 200
conversation = table(ConversationTable)
_WANTED = sa.select(conversation.c.id).where(
    conversation.c.stored == 1, tenants.of(conversation), conversation.c.desk == p("desk")
)
NEXT: Statement = Statement(_WANTED.where(conversation.c.id > p("after")).order_by(conversation.c.id).limit(PAGE))
ONE: Statement = Statement(_WANTED.where(conversation.c.id == p("id")))


@app.command(
    short_help="Write conversations as fine-tuning data.",
    epilog=epilog("frontdesk export shop:desk --format openai --output examples.jsonl"),
)
def export(
    desk: Annotated[str, typer.Argument(metavar="MODULE:DESK", help="The desk: its instructions and tools.")],
    form: Annotated[
        Literal["openai", "mistral", "hermes"], typer.Option("--format", help="Whose form of fine-tuning data.")
    ] = "openai",
    database: Database = None,
    tenant: Annotated[str, typer.Option(help="Whose conversations.", show_default="those without a tenant")] = "",
    conversation: Annotated[
        str | None, typer.Option(metavar="ID", help="One conversation only.", show_default=False)
    ] = None,
    output: Annotated[Path | None, typer.Option(metavar="FILE", help="A file to write.", show_default="stdout")] = None,
) -> None:
    """Write conversations as fine-tuning data: one JSON object per line, with tools and calls.

    A line is what one agent saw and did until the conversation moved on. Lines hold what people have said: treat them
    as you treat the database. Training is not done here; each format is its trainer's own.
    """
    from ..agents.training_formats import WRITERS
    from ..broker.inspection import beside, check_schema
    from ..broker.urls import engine_of
    from .assembly import find_desk
    from .commands import settings

    found = find_desk(desk)
    engine = engine_of(settings(database=database).database or "sqlite:///frontdesk.db")
    count = 0
    with ExitStack() as stack:
        conn = stack.enter_context(beside(engine))
        check_schema(engine, conn)
        target = sys.stdout if output is None else stack.enter_context(_opened(output))
        for one in _ids(conn, tenant, found.name, conversation):
            for line in _lines(conn, one, found.catalogs, WRITERS[form]):
                target.write(line + "\n")
                count += 1
    if output is not None:
        typer.echo(f"{count} example{'' if count == 1 else 's'} in {output}")
    if not count:
        print("frontdesk: there is no conversation to export", file=sys.stderr)  # noqa: T201 - this is the program


def _opened(file: Path) -> IO[str]:
    try:
        return open(file, "w", encoding="utf-8", opener=_private)
    except OSError as error:
        fail(Exit.FAILED, f"{file} cannot be written: {error.strerror}")


def _private(path: str, flags: int) -> int:
    """It holds what people have said."""
    return os.open(path, flags, 0o600)


def _ids(conn: Connection, tenant: str, desk: str, only: str | None) -> Iterator[str]:
    wanted = {"tenant": tenant, "desk": desk}
    if only is not None:
        yield from (str(one) for (one,) in conn.all(ONE, {**wanted, "id": only}))
        return
    after = ""
    while page := [str(one) for (one,) in conn.all(NEXT, {**wanted, "after": after})]:
        yield from page
        after = page[-1]


def _lines(
    conn: Connection, conversation_id: str, catalogs: Mapping[str, Catalog], write: Callable[[Example], JSON]
) -> Iterator[str]:
    page = items.after(conn, conversation_id, 0)
    history = page.items
    while page.more:
        page = items.after(conn, conversation_id, page.last)
        history += page.items
    for example in examples(history, catalogs):
        yield json.dumps(write(example), ensure_ascii=False)
