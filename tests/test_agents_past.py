"""What a worker keeps of a conversation between its turns: as good as reading everything again."""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic_core import from_json

from frontdesk.agents import Agent, Desk, past, tool
from frontdesk.agents.events import encoded
from frontdesk.agents.history import StoredItem, model_items
from frontdesk.agents.model import JSON
from frontdesk.agents.models.scripted import ScriptedModel, say
from frontdesk.agents.models.scripted import call as asks_for
from frontdesk.agents.past import Past, Pasts
from frontdesk.agents.response import INPUT_STEP
from frontdesk.agents.summaries import Summary, weight_of
from frontdesk.broker.connection import Connection
from frontdesk.tests.fakes.office import office, text_of


def user(text: str) -> JSON:
    return {"type": "message", "role": "user", "content": text}


def call(call_id: str, *, by_client: bool) -> JSON:
    if by_client:
        return {"type": "function_call", "call_id": call_id, "name": "locate", "arguments": "{}"}
    return {
        "type": "mcp_call", "server_label": "desk", "name": "add", "arguments": "{}", "frontdesk:call_id": call_id,
        "output": "3",
    }  # fmt: skip


call_ids = st.integers(0, 8).map(lambda number: f"call_{number}")
inputs = st.one_of(
    st.builds(user, st.text(max_size=3)),
    call_ids.map(lambda call_id: {"type": "function_call_output", "call_id": call_id, "output": "here"}),
    call_ids.map(lambda call_id: call(call_id, by_client=True)),
)
replies = st.sampled_from(["says", "thinks", "calls", "asks the client"])
responses = st.lists(st.tuples(st.lists(inputs, max_size=2), st.lists(replies, max_size=4)), max_size=5)


def written(found: list[tuple[list[JSON], list[str]]]) -> list[list[StoredItem]]:
    """The items of each response, as a desk writes them: its own ids are unique, a client's need not be."""
    whole: list[list[StoredItem]] = []
    count = 0
    for number, (given_bodies, said) in enumerate(found):
        bodies = [(INPUT_STEP, body) for body in given_bodies]
        for step, what in enumerate(said):
            count += 1
            made: dict[str, JSON] = {
                "says": {"type": "message", "role": "assistant", "content": "so"},
                "thinks": {"type": "reasoning", "encrypted_content": "x", "frontdesk:model": "m"},
                "calls": call(f"own_{count}", by_client=False),
                "asks the client": call(f"call_{count % 9}_{number}", by_client=True),
            }
            bodies.append((step // 2, made[what]))
        items = [
            StoredItem(f"id_{number}_{place}", f"resp_{number}", step, "completed", "", body)
            for place, (step, body) in enumerate(bodies)
        ]
        whole.append(items)
    return whole


@given(responses)
def test_what_was_worked_out_before_goes_on_as_if_all_of_it_were_new(
    found: list[tuple[list[JSON], list[str]]],
) -> None:
    kept, whole = Past(), list[StoredItem]()
    for items in written(found):
        kept.extend(items)
        whole += items
        assert kept.shown_to("m") == model_items(whole, model="m")
        assert kept.unanswered == Past(whole).unanswered
    assert kept.shown_to("n") == model_items(whole, model="n")


@given(responses, st.integers(0, 10))
def test_what_was_weighed_before_weighs_the_same(found: list[tuple[list[JSON], list[str]]], summarised: int) -> None:
    weighed = Past()
    for number, items in enumerate(written(found)):
        weighed.extend(items)
        assert weighed.weight == weight_of(weighed.visible)
        if number == summarised and items:
            weighed.summarise(Summary(number, items[0].id, "Notes."))
            assert weighed.weight == weight_of(weighed.visible)


@given(responses)
def test_what_a_run_has_written_is_taken_over_as_it_would_be_read(found: list[tuple[list[JSON], list[str]]]) -> None:
    ran, read = Past(), Past()
    for items in written(found):
        ran.take_over(items)
        texts = [encoded(one.body) for one in items]
        size = sum(len(text) for text in texts)
        stored = [replace(one, body=from_json(text)) for one, text in zip(items, texts, strict=True)]
        read.extend(stored, counted=len(items), size=size)
    assert (ran.items, ran.counted, ran.size) == (read.items, read.counted, read.size)
    assert ran.shown_to("m") == read.shown_to("m")


def test_what_cannot_be_stored_is_not_taken_over_either() -> None:
    ran = Past()
    ran.take_over([StoredItem("msg_1", "resp_1", 1, "completed", "a", user("half \ud83d"))])
    assert ran.items[0].body["content"] == "half ?"


@tool
async def add(a: int, b: int) -> int:
    """Adds two numbers."""
    return a + b


async def test_what_is_kept_of_a_turn_is_what_is_read_of_it(tmp_path: Path) -> None:
    """Each request begins with the one before it, whether its history was kept or read."""
    asks = asks_for("add", {"a": 1, "b": 2})
    model = ScriptedModel([asks, say("Three."), say("Two."), asks, say("Three again."), say("Five.")])

    def counted(conn: Connection) -> None:
        conn.script("UPDATE frontdesk_conversation SET last_item = last_item + 1")

    async with office(Desk(Agent("triage", tools=[add]), model=model), tmp_path) as at:
        first = await at.create("one")
        await at.ended(first)
        await at.ended(await at.create("two", first.conversation_id))
        await at.ended(await at.create("three", first.conversation_id))
        await at.database.write(counted)
        await at.ended(await at.create("four", first.conversation_id))
    shown = [request.items for request in model.requests]
    assert [after[: len(before)] for before, after in pairwise(shown)] == shown[:-1]


def test_a_past_is_lent_to_one_run_at_a_time() -> None:
    kept, lent = Pasts(), Past([StoredItem("id", "resp", 0, "completed", "", user("hello"))])
    kept.keep("one", lent)
    assert kept.take("one") is lent
    assert kept.take("one").items == []


def test_those_that_were_not_used_for_longest_make_room(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(past, "MOST_CHARACTERS", 10)
    kept = Pasts()
    for name, size in (("one", 4), ("two", 4), ("one", 4), ("three", 5)):
        found = Past()
        found.extend((), counted=1, size=size)
        kept.keep(name, found)
    assert [kept.take(name).size for name in ("one", "two", "three")] == [4, 0, 5]


async def test_a_turn_reads_what_is_new_and_everything_when_the_count_does_not_fit(tmp_path: Path) -> None:
    """The count goes on without an item when one of an ended response was changed or deleted."""
    model = ScriptedModel([say("One."), say("Two."), say("Three."), say("Four.")])
    read: list[int] = []

    def heard() -> list[list[Any]]:
        return [
            [item["content"] for item in request.items if item["role"] == "assistant"] for request in model.requests
        ]

    async with office(Desk(Agent("triage"), model=model), tmp_path) as at:
        first = await at.create("one")
        assert text_of(await at.ended(first)) == "One."

        def edited(conn: Connection) -> None:
            conn.script("UPDATE frontdesk_item SET body = replace(body, 'One.', 'Eins.')")

        def counted(conn: Connection) -> None:
            conn.script("UPDATE frontdesk_conversation SET last_item = last_item + 1")

        for number, change in enumerate((None, edited, counted)):
            if change is edited:
                await at.database.write(edited)
            elif change is counted:
                await at.database.write(counted)
            await at.ended(await at.create(str(number), first.conversation_id))
            read.append(len(heard()[-1]))
    assert read == [1, 2, 3]
    assert [one[0] for one in heard()[1:]] == ["One.", "One.", "Eins."], "an edit is seen when it has been counted"
