"""Journals: whatever happens at whichever commit, what is kept is a valid history and what was said
is a valid stream.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from typing import Any, Literal, TypeAlias

import anyio
import anyio.lowlevel
import pytest
from hypothesis import event, given, settings
from hypothesis import strategies as st
from pydantic_core import from_json

from frontdesk.agents import Agent, Desk, Limits, ToolError, tool
from frontdesk.agents.batch import Batch
from frontdesk.agents.calls import CallOutput
from frontdesk.agents.entries import user_message
from frontdesk.agents.events import ResponseStream, clean, encoded, said_in, wire_item
from frontdesk.agents.history import StoredItem, model_items, validate_items
from frontdesk.agents.journal import Journal
from frontdesk.agents.loop import TurnLoop
from frontdesk.agents.model import FunctionCall, Message, Usage
from frontdesk.agents.models.scripted import (
    ScriptedModel,
    ScriptedReply,
    call,
    calls,
    done,
    fail,
    say,
    think,
    wait,
)
from frontdesk.agents.response import About, Outcome, Progress, Verdict, response_body, triggers_of
from frontdesk.agents.results import Piece
from frontdesk.agents.stores import MemoryStore
from frontdesk.agents.transcript import Form, Transcript
from frontdesk.broker.spending import Spending
from frontdesk.tests.fakes import event_rules

Fault = Literal["before", "after", "cancel"]
Spawn: TypeAlias = Callable[[Callable[[], Awaitable[None]]], None]


class Crash(Exception):
    """The process is gone."""


@dataclass
class Kept:
    """What a database would hold of a turn. A fault strikes at the commit of that number, once."""

    faults: dict[int, Fault] = field(default_factory=dict[int, Fault])
    scope: anyio.CancelScope | None = None
    commits: int = 0
    items: dict[str, StoredItem] = field(default_factory=dict[str, StoredItem])
    events: list[dict[str, Any]] = field(default_factory=list[dict[str, Any]])
    deltas: dict[str, list[str]] = field(default_factory=dict[str, list[str]])
    last: Batch = field(default_factory=Batch)
    outcome: Outcome | None = None
    results: dict[str, str] = field(default_factory=dict[str, str])

    async def save(self, what: str, batch: Batch) -> None:
        if not batch.is_empty():
            self._commit(batch, None)

    async def finish(self, batch: Batch, outcome: Outcome) -> Verdict:
        self._commit(batch, outcome)
        return "ended"

    async def read_kept(self, call_id: str, offset: int, count: int) -> Piece | None:
        text = self.results.get(call_id)
        return None if text is None else Piece(text[offset : offset + count], len(text))

    async def known_kept(self) -> list[tuple[str, int]]:
        return [(call_id, len(text)) for call_id, text in self.results.items()]

    def _commit(self, batch: Batch, outcome: Outcome | None) -> None:
        self.commits += 1
        fault = self.faults.pop(self.commits, None)
        if fault == "before":
            raise Crash
        for item in (*batch.added, *batch.changed):
            self.items[item.id] = item
        self.results |= {one.call_id: one.text for one in batch.kept}
        for one in batch.events:
            self.events.append({**from_json(one.text), "cursor": str(len(self.events) + 1)})
            if one.deltas_of is not None:
                self.deltas.setdefault(one.deltas_of, []).append(one.text)
        for item_id in batch.closed:
            self.deltas.pop(item_id, None)
        self.last, self.outcome = batch, outcome
        if fault == "after":
            raise Crash
        if fault == "cancel" and self.scope is not None:
            self.scope.cancel()


def about(request: dict[str, Any] | None = None) -> About:
    return About("resp_1", "conv_1", "", 1.0, request or {"model": "desk"})


def asked() -> StoredItem:
    return StoredItem("msg_1", "resp_1", -1, "completed", "", user_message("hello"))


@asynccontextmanager
async def beside() -> AsyncGenerator[Spawn]:
    """Starts coroutine functions beside the block, also from the loop's callbacks; at its end they have ended."""
    started: set[asyncio.Future[None]] = set()

    async def run(function: Callable[[], Awaitable[None]]) -> None:
        await function()

    def spawn(function: Callable[[], Awaitable[None]]) -> None:
        started.add(asyncio.ensure_future(run(function)))

    try:
        yield spawn
    finally:
        await asyncio.sleep(0)
        await asyncio.gather(*started)


async def begin(kept: Kept, spawn: Spawn) -> Journal:
    """A new turn, or what a crash left of it, as a run begins."""
    first = not kept.items
    progress = Progress(**from_json(kept.last.state))
    if not progress.path:
        progress.path.append("triage")
    usage = Usage(**from_json(kept.last.usage)) if kept.last.usage != "{}" else Usage()
    items, sequence = list(kept.items.values()), kept.last.next_sequence
    found = Journal(about(REQUEST), kept, items, sequence=sequence, progress=progress, usage=usage, spawn=spawn)
    if first:
        found.enter((), [asked()], ())
    half = [one.id for one in items if one.status == "in_progress" and one.body["type"] == "message"]
    found.begin(first=first, half={one: said_in(kept.deltas.get(one, [])) for one in half})
    await found.commit("input")
    return found


@tool
async def once(text: str) -> str:
    """Is run once."""
    RUNS[text] += 1
    return text


@tool(idempotent=True)
async def safe(text: str) -> str:
    """May be run twice."""
    await anyio.lowlevel.checkpoint()
    return text


@tool
async def wrong() -> str:
    """Fails."""
    raise ToolError("wrong")


@tool(alone=True)
async def lonely() -> str:
    """Runs alone."""
    return "alone"


@tool
async def colleague() -> Agent:
    """Finds a colleague."""
    return other


RUNS: Counter[str] = Counter()
other = Agent("other", tools=[once, safe, wrong, lonely], handoffs=["triage"])
triage = Agent("triage", tools=[once, safe, wrong, lonely, colleague], handoffs=[other])
LOCATE: dict[str, Any] = {
    "type": "function",
    "name": "locate",
    "parameters": {"type": "object", "properties": {}},
    "strict": True,
}
REQUEST: dict[str, Any] = {"model": "desk", "tools": [LOCATE]}


async def pause() -> None:
    """Long enough for what was said to be written beside the stream."""
    for _ in range(4):
        await anyio.lowlevel.checkpoint()


def in_pieces(text: str, pieces: int) -> ScriptedReply:
    return say(text, pieces=pieces)


def with_a_pause(text: str) -> ScriptedReply:
    """Said in pieces that are written before the message is whole."""
    return say(text, whole=False) + wait(pause) + ScriptedReply((Message(text),))


texts = st.text(st.characters(codec="utf-8", exclude_characters="\x00"), max_size=12)
said = st.builds(in_pieces, texts, st.integers(1, 4))
halting = texts.map(with_a_pause)
numbers = st.integers(0, 10_000).map(str)
called = st.one_of(
    numbers.map(lambda number: call("once", {"text": number})),
    numbers.map(lambda number: call("safe", {"text": number}, call_id="same")),
    st.sampled_from([
        call("wrong"), call("lonely"), call("colleague"), call("unknown"), call("once", "{"),
        call("transfer_to_other"), call("transfer_to_triage"),
    ]),
)  # fmt: skip
parts = st.lists(st.one_of(said, halting, called, st.builds(think, texts)), min_size=1, max_size=5)
whole = parts.map(lambda found: calls(*found))
broken = parts.map(lambda found: calls(*found) + say("and then", whole=False) + fail())
cut = said.map(lambda found: found + done(finish="length"))
client = parts.map(lambda found: calls(*found, call("locate")))
replies = st.lists(st.one_of(whole, whole, whole, broken, cut, client), max_size=6)
faults = st.dictionaries(st.integers(1, 14), st.sampled_from(["before", "after", "cancel"]), max_size=3)


@settings(max_examples=400)
@given(replies=replies, faults=faults)
def test_whatever_happens_a_turn_ends_with_a_valid_history_and_a_valid_stream(
    replies: list[ScriptedReply], faults: dict[int, Fault]
) -> None:
    RUNS.clear()
    kept = Kept(dict(faults))
    model = ScriptedModel([*replies, *(say("The end.") for _ in range(40))])
    desk = Desk(triage, model=model, limits=Limits(model_calls=12))
    asyncio.run(to_the_end(desk, kept))
    assert kept.outcome is not None
    event(kept.outcome.status)
    event_rules.check(kept.events)
    items = list(kept.items.values())
    assert not [one for one in items if one.status == "in_progress"]
    called = [one.body for one in items if one.body["type"] == "mcp_call"]
    assert all((body.get("output") is None) != (body.get("error") is None) for body in called)
    for request in model.requests:
        assert validate_items(request.items) == []
    assert validate_items(model_items(items, model="scripted")) == []
    calls_of_once = Counter(
        from_json(body["arguments"])["text"] for body in called if body["name"] == "once" and body["arguments"] != "{"
    )
    assert all(RUNS[text] <= number for text, number in calls_of_once.items()), "a call that may not be repeated was"


async def to_the_end(desk: Desk[None], kept: Kept) -> None:
    """Runs the turn again after each crash, and ends it when it is cancelled, as a worker does."""
    for _ in range(10):
        async with beside() as spawn:
            with suppress(Crash):
                await one_run(desk, kept, spawn)
        if kept.outcome is not None:
            return
    raise AssertionError("more crashes than faults")


async def one_run(desk: Desk[None], kept: Kept, spawn: Spawn) -> None:
    journal: Journal | None = None
    with anyio.CancelScope() as kept.scope:
        journal = await begin(kept, spawn)
        await TurnLoop(desk.team(), journal).run()
    if kept.scope.cancelled_caught:
        kept.scope = None
        if journal is None or journal.has_failed:
            journal = await begin(kept, spawn)
        await journal.finish(Outcome(status="cancelled", ended="cancelled"))


# What is written together


async def journal(kept: Any, **options: Any) -> Journal:
    found = Journal(about(), kept, [asked()], progress=Progress(path=["triage"]), **options)
    found.begin(first=True, half={})
    await found.commit("input")
    return found


def a_call(call_id: str, name: str = "once") -> tuple[FunctionCall, str, str, Form]:
    return FunctionCall(call_id, name, "{}"), "desk", name, "server"


async def test_the_calls_of_a_reply_are_one_commit_and_each_output_is_another() -> None:
    kept = Kept()
    found = await journal(kept)
    found.say("triage", "One moment.")
    found.end_message("triage", "One moment.")
    await found.reply("triage", [a_call("c1"), a_call("c2")], Usage(1, 0, 0, 1))
    assert kept.commits == 2
    assert [one.body["type"] for one in kept.items.values()] == ["message", "mcp_call", "mcp_call"]
    await found.output(CallOutput("c2", "two"))
    await found.output(CallOutput("c1", "one"))
    assert kept.commits == 4
    await found.output(CallOutput("c1", "again"))
    assert kept.commits == 4, "a call that has its output keeps it"
    assert [one.body.get("output") for one in kept.items.values()][1:] == ["one", "two"]


async def test_outputs_that_end_while_another_is_written_share_a_commit() -> None:
    gate = asyncio.Event()

    class Slow(Kept):
        async def save(self, what: str, batch: Batch) -> None:
            await super().save(what, batch)
            if what == "output":
                await gate.wait()

    kept = Slow()
    found = await journal(kept)
    await found.reply("triage", [a_call(f"c{number}") for number in range(3)], Usage())
    async with anyio.create_task_group() as group:
        for number in range(3):
            group.start_soon(found.output, CallOutput(f"c{number}", "done"))
        await anyio.wait_all_tasks_blocked()
        gate.set()
    assert kept.commits == 4
    assert {one.body["output"] for one in kept.items.values() if one.body["type"] == "mcp_call"} == {"done"}


async def test_an_output_is_written_beside_the_run_and_with_the_next_commit_at_the_latest() -> None:
    kept = Kept()
    async with beside() as spawn:
        found = await journal(kept, spawn=spawn)
        await found.reply("triage", [a_call("c1"), a_call("c2")], Usage())
        await found.output(CallOutput("c1", "one"))
        assert kept.commits == 2, "nobody waits for it"
        await anyio.wait_all_tasks_blocked()
        assert kept.commits == 3, "and it is not kept waiting"
        await found.output(CallOutput("c2", "two"))
        await found.finish(Outcome(status="completed"))
    assert kept.commits == 4
    assert [one.body["output"] for one in kept.items.values()] == ["one", "two"]
    event_rules.check(kept.events)


async def test_what_is_made_beside_the_run_is_written_before_the_run_is_left() -> None:
    kept = Kept()
    async with beside() as spawn:
        found = await journal(kept, spawn=spawn)
        await found.reply("triage", [a_call("c1")], Usage())
        await found.output(CallOutput("c1", "one"))
        await found.settle()
        assert kept.commits == 3
        await found.settle()
        assert kept.commits == 3


async def test_what_could_not_be_written_beside_the_run_ends_it() -> None:
    kept = Kept(faults={3: "before"})
    async with beside() as spawn:
        found = await journal(kept, spawn=spawn)
        await found.reply("triage", [a_call("c1")], Usage())
        await found.output(CallOutput("c1", "one"))
        await found.settle()
        with pytest.raises(Crash):
            await found.finish(Outcome(status="completed"))
    assert kept.commits == 3


async def test_calls_that_act_in_the_commit_of_their_output_are_kept_by_it() -> None:
    kept = Kept()
    found = await journal(kept)
    await found.reply("triage", [a_call("c1", "create_task")], Usage(), with_output=True)
    assert kept.commits == 1

    async def write(batch: Batch, slot: Any) -> CallOutput:
        output = CallOutput("c1", "filed")
        await kept.save("create", slot.put_into(batch, output))
        return output

    await found.output_in("c1", write)
    assert kept.commits == 2
    assert [one.body.get("output") for one in kept.items.values()] == ["filed"]
    await found.finish(Outcome(status="completed"))
    event_rules.check(kept.events)


async def test_deltas_that_come_while_others_are_written_become_one_batch() -> None:
    gates = [asyncio.Event(), asyncio.Event()]
    written: list[int] = []

    class Slow(Kept):
        async def save(self, what: str, batch: Batch) -> None:
            if what == "events":
                written.append(len(batch.events))
                await gates[len(written) - 1].wait()
            await super().save(what, batch)

    async with beside() as spawn:
        found = await journal(Slow(), spawn=spawn)
        found.say("triage", "a")
        await anyio.wait_all_tasks_blocked()
        for piece in "bcdef":
            found.say("triage", piece)
        gates[0].set()
        await anyio.wait_all_tasks_blocked()
        assert written == [3, 5]
        gates[1].set()


async def test_after_a_write_that_failed_nothing_more_is_written() -> None:
    kept = Kept({2: "before"})
    found = await journal(kept)
    with pytest.raises(Crash):
        await found.reply("triage", [a_call("c1")], Usage())
    assert found.has_failed
    with pytest.raises(Crash):
        await found.output(CallOutput("c1", "done"))
    with pytest.raises(Crash):
        found.say("triage", "more")
    assert kept.commits == 2


async def test_a_write_beside_the_stream_that_fails_ends_the_run_at_the_next_word() -> None:
    async with beside() as spawn:
        found = await journal(Kept({2: "before"}), spawn=spawn)
        found.say("triage", "One ")
        await anyio.wait_all_tasks_blocked()
        with pytest.raises(Crash):
            found.say("triage", "moment.")


async def test_a_whole_answer_is_never_kept_without_the_end_of_its_turn() -> None:
    """Its run is cancelled (a drain) while what was said before is still being written beside it."""
    gate = asyncio.Event()

    class Slow(Kept):
        async def save(self, what: str, batch: Batch) -> None:
            if what == "events":
                await gate.wait()
            await super().save(what, batch)

    kept = Slow()
    async with beside() as spawn:
        found = await journal(kept, spawn=spawn)
        found.say("triage", "Done.")
        await anyio.wait_all_tasks_blocked()
        found.end_message("triage", "Done.")
        found.end_reply(Usage())
        async with anyio.create_task_group() as run:
            run.start_soon(found.finish, Outcome(status="completed", result="Done."))
            await anyio.wait_all_tasks_blocked()
            run.cancel_scope.cancel()
            gate.set()
    statuses = [one.status for one in kept.items.values() if one.body.get("role") == "assistant"]
    assert (statuses, kept.outcome is not None) == (["completed"], True)
    event_rules.check(kept.events)


async def test_a_delegated_run_that_goes_on_has_not_said_its_last_event() -> None:
    class GoesOn(Kept):
        verdict: Verdict = "on"

        async def finish(self, batch: Batch, outcome: Outcome) -> Verdict:
            if self.verdict == "on":
                self.verdict = "ended"
                await self.save("events", batch.without_last_event())
                return "on"
            return await super().finish(batch, outcome)

    kept = GoesOn()
    found = await journal(kept)
    found.end_message("triage", "First.")
    assert await found.finish(Outcome(status="completed")) == "on"
    found.progress.step += 1
    found.end_message("triage", "Second.")
    assert await found.finish(Outcome(status="completed")) == "ended"
    event_rules.check(kept.events)
    assert [one["type"] for one in kept.events].count("response.completed") == 1


# The transcript


def transcript(items: list[StoredItem] | None = None) -> Transcript:
    return Transcript(about(), items or [asked()], sequence=0, progress=Progress(path=["triage"]), usage=Usage())


def test_a_message_counts_once_the_reply_has_gone_on() -> None:
    found = transcript()
    found.end_message("triage", "One moment.")
    assert [one.status for one in found.items] == ["completed", "in_progress"]
    found.think("triage", {"summary": []}, "scripted")
    assert [one.status for one in found.items] == ["completed"] * 3
    found.end_message("triage", "Two.")
    found.end_reply(Usage())
    assert [one.status for one in found.items] == ["completed"] * 4


def test_a_reasoning_item_whose_id_is_taken_is_shown_to_no_model() -> None:
    found = transcript()
    for _ in range(2):
        found.think("triage", {"id": "rs_1", "encrypted_content": "x"}, "scripted")
        found.end_message("triage", "So.")
    found.end_reply(Usage())
    shown = model_items(found.items, model="scripted")
    assert [one["type"] for one in shown] == ["message", "reasoning", "message", "message"]
    assert validate_items(shown) == []


def test_the_last_message_is_what_a_turn_said() -> None:
    found = transcript()
    assert found.last_message() == ""
    for text in ("One.", "Two."):
        found.end_message("triage", text)
    found.end_reply(Usage())
    assert found.last_message() == "Two."


# Bodies and texts


def test_what_no_utf8_can_hold_is_replaced() -> None:
    assert clean("half \ud83d pair") == "half ? pair"
    assert clean("whole") == "whole"
    assert from_json(encoded({"a\ud83d": ["\ud83d", 1, None, {"b": "\ud83d"}]})) == {"a?": ["?", 1, None, {"b": "?"}]}


def test_events_begin_with_what_names_them() -> None:
    stream = ResponseStream("resp_1", "conv_1", sequence=4)
    stream.text_delta("msg_1", 0, 'say "it"\n')
    stream.begins({"id": "resp_1"})
    head = '"sequence_number":{},"response_id":"resp_1","conversation":"conv_1",'
    texts = [one.text for one in stream.take()]
    kinds = ["response.output_text.delta", "response.created", "response.in_progress"]
    for number, (text, kind) in enumerate(zip(texts, kinds, strict=True)):
        assert text.startswith(f'{{"type":"{kind}",' + head.format(number + 4))
    assert from_json(texts[0])["delta"] == 'say "it"\n'
    assert stream.take() == []


def test_an_item_is_shown_without_our_own_keys() -> None:
    body = {"type": "mcp_call", "name": "x", "error": {"type": "e"}, "frontdesk:call_id": "c1"}
    assert wire_item("mcp_1", body, "completed", "triage") == {
        "type": "mcp_call", "name": "x", "error": {"type": "e"}, "id": "mcp_1", "status": "failed",
        "agent": {"agent_name": "triage"},
    }  # fmt: skip


@pytest.mark.parametrize(
    ("outcome", "expected"),
    [
        (None, ("in_progress", None, None)),
        (Outcome(status="completed"), ("completed", None, None)),
        (Outcome(status="cancelled", ended="cancelled"), ("cancelled", None, None)),
        (Outcome(status="incomplete", ended="steered"), ("incomplete", "steered", None)),
        (Outcome(status="incomplete", ended="limit", limit="9 model calls"), ("incomplete", "max_output_tokens", None)),
        (Outcome(status="incomplete", ended="content_filter"), ("incomplete", "content_filter", None)),
        (Outcome(status="failed", ended="model", error="overloaded"), ("failed", None, "overloaded")),
        (Outcome(status="failed"), ("failed", None, "the turn failed")),
    ],
)
def test_how_a_turn_ended_is_told_in_the_words_of_the_api(outcome: Outcome | None, expected: Any) -> None:
    body = response_body(about(), outcome, [], Usage())
    reason, error = body["incomplete_details"], body["error"]
    assert (body["status"], reason and reason["reason"], error and error["message"]) == expected
    assert (body["usage"] is None) == (outcome is None)
    kinds = {"in_progress": "created", "completed": "completed", "failed": "failed"}
    kind = kinds.get(body["status"], "incomplete")
    stream = ResponseStream("resp_1", "conv_1")
    stream.lifecycle(kind, body)
    event_rules.check_types([from_json(one.text) for one in stream.take()])


def test_triggers_are_cut_between_two_ids() -> None:
    ids = [f"task_{number:032x}" for number in range(20)]
    text = triggers_of([*ids, *ids])
    assert len(text) <= 512
    assert text.split(",") == ids[: len(text.split(","))]
    assert triggers_of(ids[:2]) == ",".join(ids[:2])
    assert triggers_of([]) == ""


async def test_a_memory_store_keeps_only_how_it_ended() -> None:
    store = MemoryStore()
    found = await journal(store)
    found.end_message("triage", "Hello.")
    assert await found.finish(Outcome(status="completed")) == "ended"
    assert store.outcome is not None
    assert store.outcome == Outcome(status="completed", at=store.outcome.at)


async def test_time_that_was_written_alone_is_counted_with_what_is_used_next() -> None:
    counted: list[Spending] = []

    class Counting(Kept):
        async def save(self, what: str, batch: Batch) -> None:
            await super().save(what, batch)
            counted.extend([batch.spent] if batch.spent else [])

    found = await journal(Counting())
    for number in range(3):
        found.say("triage", "a word ")
        await found.commit("events")  # nothing but time was used
        found.progress.model_calls += 1
        await found.reply("triage", [a_call(f"c{number}")], Usage())
    assert [one.model_calls for one in counted] == [1, 1, 1]
    assert sum(one.seconds for one in counted) == pytest.approx(found.progress.seconds)
