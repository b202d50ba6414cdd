"""What a client sees of retention: a gap that says what is missing, and conversations that are not stored."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa

from frontdesk.agents import removal
from frontdesk.agents.models.scripted import say, wait
from frontdesk.broker import events
from frontdesk.broker.retention import Keep, shorten_log
from frontdesk.broker.statements import Statement, p
from frontdesk.tests.served import House, open_house
from frontdesk.tests.talk import ask, connected, final, send, text_of, until

BE_OVER: Statement = Statement(
    sa.update(removal.conversation).where(removal.conversation.c.kept_until.is_not(None)).values(kept_until=p("at"))
)
NOTHING = Keep(seconds=0, events=1)  # but the last row


@pytest.fixture
def house(tmp_path: Path) -> Iterator[House]:
    with open_house(tmp_path) as found:
        yield found


async def shortened(house: House, conversation: str) -> int:
    """Removes all of the conversation's log that can go; the cursor of what it begins with."""
    while await house.database.write(shorten_log, conversation, NOTHING):
        pass
    return 1 + await house.database.read(events.removed_until, conversation)


async def test_a_client_that_resumes_before_what_is_kept_is_told_of_the_gap_and_gets_the_rest(house: House) -> None:
    async with connected(house) as connection:
        conversation = (await ask(connection, "one")).conversation.id
        first = await shortened(house, conversation)
        assert first > 1
        for query in ({"extra_query": {"conversation": conversation, "after": "0"}}, {}):
            async with connected(house, **query) as other:
                if not query:
                    await send(other, "frontdesk:subscribe", conversation=conversation, after="0")
                assert ((await until(other, "frontdesk:subscribed")).cursor) == "0"
                gap: Any = await other.recv()
                assert (gap.type, gap.conversation, gap.after) == ("frontdesk:gap", conversation, "0")
                assert gap.resumes_at == str(first)
                assert gap.stream_id == f"frontdesk.{conversation}"
                resumed: Any = await other.recv()
                assert resumed.cursor == str(first)
                await final(other, f"frontdesk.{conversation}")
                second = await ask(connection, "two", conversation=conversation)
                assert (await final(other, f"frontdesk.{conversation}")).id == second.id, "then live"
            await shortened(house, conversation)
            first = 1 + await house.database.read(events.removed_until, conversation)


async def test_where_nothing_is_missing_there_is_no_gap(house: House) -> None:
    async with connected(house) as connection:
        conversation = (await ask(connection, "one")).conversation.id
        first = await shortened(house, conversation)
        async with connected(house) as other:
            await send(other, "frontdesk:subscribe", conversation=conversation, after=str(first - 1))
            await final(other, f"frontdesk.{conversation}")
    assert "frontdesk:gap" not in {event["type"] for event in house.record.events(1)}


async def test_a_repeat_of_an_input_whose_answer_is_not_kept_is_refused_and_does_not_hang(house: House) -> None:
    async with connected(house) as connection:
        metadata = {"frontdesk:input_id": "i1"}
        first = await ask(connection, "one", metadata=metadata)
        await shortened(house, first.conversation.id)
        await connection.response.create(model="house", input="one", metadata=metadata)
        error: Any = await until(connection, "error")
        assert (error.status, error.error.code) == (404, "response_not_found")
        assert first.id in error.error.message
        assert len(house.model.requests) == 1


async def test_a_response_that_goes_on_is_repeated_from_where_it_is_kept(house: House) -> None:
    house.lines["slow"] = wait(house.gates["slow"]) + say("slow")
    async with connected(house) as connection:
        metadata = {"frontdesk:input_id": "i1"}
        await connection.response.create(model="house", input="slow", metadata=metadata)
        created: Any = await until(connection, "response.in_progress")
        await house.gates["slow"].reached()
        await shortened(house, created.conversation)
        house.gates["slow"].open()
        assert text_of(await final(connection)) == "slow"


async def test_what_is_not_stored_goes_when_its_connection_has_ended(house: House) -> None:
    async with connected(house) as connection:
        first = await ask(connection, "one", store=False)
        conversation = first.conversation.id
        left = await house.database.read(expiry, conversation)
        assert left is not None
        assert 0 < left <= 600
        await house.database.write(be_over)
        second = await ask(connection, "two", store=False, previous_response_id=first.id)
        assert second.conversation.id == conversation
    house.stop()  # the connection's last word is in the database
    house.start()
    left = await house.database.read(expiry, conversation)
    assert left is not None
    assert 0 < left <= 600, "it was kept anew when the connection ended"
    await house.database.write(be_over)
    while await house.database.write(removal.remove_conversation, conversation):
        pass
    assert await house.database.read(events.last_cursor, conversation) is None


def expiry(conn: Any, conversation: str) -> float | None:
    row = conn.one(removal.EXPIRY, {"id": conversation})
    return None if row is None or row[0] is None else row[0] - conn.now()


def be_over(conn: Any) -> None:
    conn.run(BE_OVER, {"at": conn.now() - 1})
