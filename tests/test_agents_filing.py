"""Tasks that code files: in the application's own transaction, or in a commit of their own, on every engine."""

from __future__ import annotations

import sqlite3
from typing import Any

import psycopg
import pytest
import sqlalchemy as sa
from sqlmodel import Field, Session, SQLModel

from frontdesk.agents import Agent, Desk
from frontdesk.agents.errors import DeskError
from frontdesk.broker import rows
from frontdesk.broker.database import Database
from frontdesk.broker.errors import ConversationNotFound, DatabaseUnreachable, ForeignConnection
from frontdesk.broker.statements import table
from frontdesk.tasks import task
from frontdesk.tasks.errors import ArgumentsError, InvalidOption
from frontdesk.tests.invariants import broken
from frontdesk.tests.store import Store, at_once


class Order(SQLModel, table=True):
    """The application's own table."""

    __tablename__ = "application_order"  # pyright: ignore[reportAssignmentType] # SQLModel documents this

    id: int = Field(primary_key=True)


@task(unique_key="order:{order}", concurrency_key="shipping", concurrency_limit=2)
def ship(order: int) -> str:
    """Ships an order."""
    return f"shipped {order}"


@task
def elsewhere() -> None:
    """Is not the desk's."""


DESK = Desk(Agent("triage", "Answer."), tasks=[ship])


@pytest.fixture
def store(database: Database) -> Any:
    made = Store(database)
    yield made
    assert broken(made) == []


@pytest.fixture
def application(url: str, database: Database) -> Any:
    engine = sa.create_engine(url.replace("postgresql://", "postgresql+psycopg://"))
    table(Order).create(engine, checkfirst=True)
    yield engine
    table(Order).drop(engine)
    engine.dispose()


def orders(application: sa.Engine) -> int:
    with application.connect() as connection:
        return int(connection.execute(sa.text("SELECT count(*) FROM application_order")).scalar_one())


def test_the_task_exists_if_the_transaction_commits(store: Store, application: sa.Engine) -> None:
    conversation = store.conversation(tenant="acme")
    with Session(application) as session:
        session.add(Order(id=7))
        filed = DESK.create(ship, {"order": 7}, connection=session, tenant="acme", conversation_id=conversation)
        assert (filed.repeated, filed.row["label"], filed.row["unique_key"]) == (False, "T1", "order:7")
        session.commit()
    assert orders(application) == 1
    assert store.row(filed.row["id"]) == filed.row
    claim = store.claim_one(names=["ship"])
    assert (claim.task_id, claim.arguments) == (filed.row["id"], '{"order":7}')
    store.finish(claim)


def test_nothing_is_left_of_it_if_it_does_not(store: Store, application: sa.Engine) -> None:
    with Session(application) as session:
        session.add(Order(id=7))
        DESK.create("ship", {"order": 7}, connection=session)
        session.rollback()
    assert (orders(application), store.tasks(), store.limits()) == (0, [], {})


def test_a_connection_serves_as_a_session_does(store: Store, application: sa.Engine) -> None:
    with application.begin() as connection:
        connection.execute(sa.text("INSERT INTO application_order (id) VALUES (1)"))
        first = DESK.create(ship, {"order": 1}, connection=connection, delay=3600)
        again = DESK.create(ship, {"order": 1}, connection=connection)
    assert (again.row["id"], again.repeated) == (first.row["id"], True)
    assert store.row(first.row["id"])["held"] == "time"


async def test_code_files_a_task_in_a_commit_of_its_own(store: Store) -> None:
    filed = await DESK.file(ship, {"order": 3}, database=store.database, priority=7)
    assert (filed.repeated, store.row(filed.row["id"])["priority"]) == (False, 7)
    assert (await DESK.file(ship, {"order": 3}, database=store.database)).repeated


def test_many_applications_at_once_file_one_task(store: Store, application: sa.Engine) -> None:
    def create(_: int) -> str:
        for _ in range(50):
            try:
                with application.begin() as connection:
                    return str(DESK.create(ship, {"order": 1}, connection=connection).row["id"])
            except (sqlite3.IntegrityError, psycopg.errors.UniqueViolation):  # as any unique key of the application's
                continue
        raise AssertionError("never filed")

    assert len(set(at_once(8, create))) == 1
    assert len(store.tasks()) == 1


@pytest.mark.parametrize(
    ("what", "given", "error", "says"),
    [
        ("unknown", {}, DeskError, r"no task function of this desk \(ship\)"),
        (elsewhere, {}, DeskError, "give it with Desk"),
        (ship, {"arguments": {"order": "x"}}, ArgumentsError, "order"),
        (ship, {"colour": "red"}, InvalidOption, "colour"),
        (ship, {"tenant": 5}, InvalidOption, "tenant is text"),
        (ship, {"conversation_id": "conv_x"}, ConversationNotFound, "conv_x"),
        (ship, {"connection": object()}, ForeignConnection, "not object"),
    ],
)
def test_what_cannot_be_filed_is_refused(
    store: Store, application: sa.Engine, what: Any, given: dict[str, Any], error: type[Exception], says: str
) -> None:
    with application.connect() as connection:
        options: dict[str, Any] = {"connection": connection, **given}
        arguments = options.pop("arguments", {"order": 1})
        with pytest.raises(error, match=says):
            DESK.create(what, arguments, **options)
    assert store.tasks() == []


def test_a_conversation_of_another_tenant_is_not_found(store: Store, application: sa.Engine) -> None:
    conversation = store.conversation(tenant="acme")
    with application.connect() as connection, pytest.raises(ConversationNotFound):
        DESK.create(ship, {"order": 1}, connection=connection, tenant="other", conversation_id=conversation)


def test_a_database_without_frontdesk_says_so(tmp_path: Any) -> None:
    engine = sa.create_engine(f"sqlite:///{tmp_path}/plain.db")
    with engine.connect() as connection, pytest.raises(DatabaseUnreachable, match="none of Frontdesk's tables"):
        DESK.create(ship, {"order": 1}, connection=connection)
    engine.dispose()


def test_keys_are_made_of_the_arguments(store: Store) -> None:
    row = store.do(rows.read, store.enqueue()["id"])
    assert row is not None

    @task(unique_key="{name}/{count}/{extra}", concurrency_key="fixed")
    def keyed(name: str, count: int, extra: list[int] | None = None) -> None:
        """Has a key."""

    request = keyed.request({"name": "a", "count": 2, "extra": [1]})
    assert (request.unique_key, request.concurrency_key) == ("a/2/[1]", "fixed")
    assert keyed.request({"name": "a", "count": 2}).unique_key == "a/2/null"
    assert len(str(keyed.request({"name": "a" * 9000, "count": 2}).unique_key)) < 100
    assert keyed.request({"name": "a", "count": 2}, unique_key="own").unique_key == "own"


@pytest.mark.parametrize(
    ("options", "what"),
    [
        ({"unique_key": "{nothing}"}, "'nothing', which is no parameter"),
        ({"unique_key": "{order"}, "text in which"),
        ({"unique_key": "{order:>3}"}, "has a format"),
        ({"concurrency_key": ""}, "not empty"),
        ({"concurrency_key": "x", "concurrency_limit": 0}, "concurrency_limit"),
    ],
)
def test_a_key_that_cannot_be_made_is_refused_when_the_function_is_declared(options: dict[str, Any], what: str) -> None:
    def keyed(order: int) -> None:
        """Has a key."""

    with pytest.raises(InvalidOption, match=what):
        task(**options)(keyed)
