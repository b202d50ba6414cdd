"""Databases that older versions wrote: brought up to date at start, wholly or not at all, on both engines."""

from __future__ import annotations

import os
import signal
import sqlite3
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any, cast

import psycopg
import pytest
import sqlalchemy as sa
from alembic.operations import Operations

from frontdesk.agents.table import Item  # all tables are there when a desk is served
from frontdesk.broker import schema
from frontdesk.broker.database import Database
from frontdesk.broker.migrations.chain import MIGRATIONS, Migration, migrate
from frontdesk.broker.statements import table
from frontdesk.broker.tables import SCHEMA_VERSION
from frontdesk.server.token_table import AccessToken
from frontdesk.tests import forked
from frontdesk.tests.databases import Server
from frontdesk.tests.store import at_once

FIRST = (Path(__file__).parent / "fakes" / "schema_1.sql").read_text("utf-8")
ROWS = """
INSERT INTO frontdesk_meta ("key", value) VALUES ('schema', '1');
INSERT INTO frontdesk_meta ("key", value) VALUES ('test:kept', 'as it was');
"""
NEWEST = str(SCHEMA_VERSION)
INDEX = "frontdesk_task_finished"


def sql(url: str, *statements: str) -> list[tuple[Any, ...]]:
    """Runs SQL as another program would; the rows of the last statement."""
    if url.startswith("sqlite"):
        raw: Any = sqlite3.connect(url.removeprefix("sqlite:///"), isolation_level=None)
    else:
        raw = psycopg.connect(url, autocommit=True)
    try:
        cursor = raw.cursor()
        for statement in statements:
            cursor.execute(statement)
        return cursor.fetchall() if cursor.description else []
    finally:
        raw.close()


def version(url: str) -> str:
    return str(sql(url, "SELECT value FROM frontdesk_meta WHERE \"key\" = 'schema'")[0][0])


@pytest.fixture
def old(request: pytest.FixtureRequest, tmp_path: Path, engine: str) -> str:
    """The URL of a database that the first version wrote."""
    if engine == "sqlite":
        url = f"sqlite:///{tmp_path}/old.db"
    else:
        server: Server = request.getfixturevalue("postgresql")
        url = server.create()
        sql(url, "DROP SCHEMA public CASCADE", "CREATE SCHEMA public")
    sql(url, *(one for text in (FIRST, ROWS) for one in text.split(";\n") if one.strip()))
    return url


@pytest.fixture(params=["sqlite", "postgresql"])
def engine(request: pytest.FixtureRequest) -> str:
    return str(request.param)


def shape(url: str) -> dict[str, Any]:
    """Tables, columns, keys and indexes, in no order; what a column holds by default in SQL is nobody's business."""
    found = sa.create_engine(url.replace("postgresql://", "postgresql+psycopg://"), poolclass=sa.NullPool)
    look = sa.inspect(found)
    return {
        name: (
            {one["name"]: (str(one["type"]), one["nullable"]) for one in look.get_columns(name)},
            look.get_pk_constraint(name)["constrained_columns"],
            {str(one["name"]): _index(cast(Any, one)) for one in look.get_indexes(name)},
        )
        for name in look.get_table_names()
    }


def _index(found: Mapping[str, Any]) -> tuple[Any, ...]:
    options = {name: str(value) for name, value in found.get("dialect_options", {}).items() if "include" not in name}
    return found["column_names"], bool(found["unique"]), found.get("column_sorting"), options


def test_the_chain_leads_from_the_first_version_to_this_one() -> None:
    assert list(MIGRATIONS) == list(range(2, SCHEMA_VERSION + 1)), "each version has its migration"


def test_an_old_database_is_brought_up_to_date_and_keeps_what_it_holds(old: str) -> None:
    assert INDEX not in shape(old)["frontdesk_task"][2]
    database = Database.open(old, durable=False)
    kept = database.read_blocking(schema.read, "test:kept")
    database.close()
    assert (version(old), kept) == (NEWEST, "as it was")
    assert INDEX in shape(old)["frontdesk_task"][2]


def test_after_all_migrations_the_schema_is_that_of_a_new_database(old: str, engine: str, tmp_path: Path) -> None:
    """When this fails, the tables were changed without a migration: broker/migrations/chain.py says how."""
    Database.open(old, durable=False).close()
    migrated = shape(old)
    if engine == "sqlite":
        new = f"sqlite:///{tmp_path}/new.db"
    else:
        sql(old, "DROP SCHEMA public CASCADE", "CREATE SCHEMA public")
        new = old
    Database.open(new, durable=False).close()
    fresh = shape(new)
    assert fresh.keys() == migrated.keys()
    for name in fresh:
        assert migrated[name] == fresh[name]


def test_a_migration_makes_by_itself_what_a_new_database_has(old: str) -> None:
    database = Database.open(old, durable=False)
    before = shape(old)
    try:
        database.write_blocking(lambda conn: conn.script(f"DROP INDEX {INDEX}"))
        assert shape(old) != before
        database.write_blocking(migrate, 1, 2)
    finally:
        database.close()
    assert shape(old) == before


def test_a_new_database_and_one_of_this_version_need_no_alembic(sqlite_url: str) -> None:
    code = (
        "import sys; from frontdesk.broker.database import Database\n"
        "for _ in range(2): Database.open(sys.argv[1]).close()\n"
        "print([name for name in sys.modules if name.partition('.')[0] in ('alembic', 'mako')])"
    )
    done = forked.run([sys.executable, "-c", code, sqlite_url], capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"


def test_of_many_that_start_at_once_one_migrates(old: str) -> None:
    found = at_once(6, lambda _: Database.open(old, durable=False, exclusive=False, patience=60))
    for database in found:
        assert database.read_blocking(schema.read, "schema") == NEWEST
        database.close()


# --- wholly or not at all

OPEN = """
import sys
from frontdesk.broker.database import Database
Database.open(sys.argv[1], durable=False, exclusive=False, patience=60, failpoint=sys.argv[2] or None).close()
"""


def start(url: str, failpoint: str = "") -> forked.Popen:
    return forked.Popen([sys.executable, "-c", OPEN, url, failpoint])


@pytest.mark.parametrize(("side", "left"), [("before", "1"), ("after", NEWEST)])
def test_killed_at_the_commit_a_database_has_the_old_schema_or_the_new_one(old: str, side: str, left: str) -> None:
    assert start(old, f"{side}:prepare").wait(60) == -signal.SIGKILL
    assert version(old) == left
    assert (INDEX in shape(old)["frontdesk_task"][2]) == (side == "after")
    Database.open(old, durable=False).close()
    assert version(old) == NEWEST


def test_processes_that_migrate_at_once_end_well_and_so_does_one_whose_neighbour_is_killed(old: str) -> None:
    processes = [start(old, "before:prepare"), *(start(old) for _ in range(3))]
    assert [process.wait(60) for process in processes][1:] == [0, 0, 0]
    assert version(old) == NEWEST


def add_column(op: Operations) -> None:
    op.add_column("frontdesk_task", sa.Column("weight", sa.Integer(), nullable=False, server_default="3"))
    op.execute("UPDATE frontdesk_meta SET value = 'changed' WHERE \"key\" = 'test:kept'")


def drop_column(op: Operations) -> None:
    with op.batch_alter_table("frontdesk_task") as tasks:
        tasks.drop_column("weight")


def fail(op: Operations) -> None:
    op.drop_table("frontdesk_wait")
    raise ValueError("no")


def die(op: Operations) -> None:
    op.drop_table("frontdesk_wait")
    os.kill(os.getpid(), signal.SIGKILL)


NEXT = SCHEMA_VERSION + 1


def through(url: str, *steps: Migration) -> None:
    """Migrates further, to versions that do not exist."""
    database = Database.open(url, durable=False)
    try:
        chain = dict(enumerate(steps, NEXT))
        database.write_blocking(migrate, SCHEMA_VERSION, SCHEMA_VERSION + len(steps), chain)
    finally:
        database.close()


def test_columns_come_and_go_with_their_rows_in_one_transaction(old: str) -> None:
    Database.open(old, durable=False).close()
    before = shape(old)
    through(old, add_column)
    columns = shape(old)["frontdesk_task"][0]
    assert columns.pop("weight") == ("INTEGER", False)
    assert columns == before["frontdesk_task"][0]
    assert sql(old, "SELECT value FROM frontdesk_meta WHERE \"key\" = 'test:kept'") == [("changed",)]
    through(old, drop_column)
    assert shape(old) == before, "also where the table is made anew for that"


def test_one_that_fails_takes_those_before_it_back(old: str) -> None:
    Database.open(old, durable=False).close()
    before = shape(old)
    with pytest.raises(ValueError, match="no"):
        through(old, add_column, fail)
    assert shape(old) == before
    assert sql(old, "SELECT value FROM frontdesk_meta WHERE \"key\" = 'test:kept'") == [("as it was",)]


DIE = "import sys; from frontdesk.tests import test_broker_migrations as m; m.through(sys.argv[1], m.add_column, m.die)"


def test_killed_in_the_middle_of_a_migration_nothing_has_changed(old: str) -> None:
    Database.open(old, durable=False).close()
    before = shape(old)
    assert forked.run([sys.executable, "-c", DIE, old], timeout=60, check=False).returncode == -signal.SIGKILL
    assert shape(old) == before


def test_a_table_of_a_higher_storey_that_was_never_made_is_made_anew(old: str) -> None:
    sql(old, "DROP TABLE frontdesk_item")
    Database.open(old, durable=False).close()
    assert {table(one).name for one in (Item, AccessToken)} <= shape(old).keys()
