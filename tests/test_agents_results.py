"""Results that are longer than a model is shown: cut, summarised, kept with the conversation, read on."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import BaseModel

from frontdesk.agents import Agent, Desk, DeskError, Summarize, Toolset, tool
from frontdesk.agents.calls import CallOutput
from frontdesk.agents.conversation_items import delete_item
from frontdesk.agents.deletion import delete_conversation
from frontdesk.agents.errors import ModelUnavailable
from frontdesk.agents.memory import run_in_memory
from frontdesk.agents.model import ModelRequest, Usage
from frontdesk.agents.models.offline import OfflineModel
from frontdesk.agents.models.scripted import Gate, ScriptedModel, ScriptedReply, call, calls, done, fail, say, wait
from frontdesk.agents.result_storage import known, read
from frontdesk.agents.results import PIECE, cut, summed_up
from frontdesk.agents.summarize import LINE, MOST_READ, lines_of
from frontdesk.broker.cancel import cancel_response
from frontdesk.tests.fakes.office import office, output, outputs, text_of
from frontdesk.tests.fakes.strict_rules import refused_schema

LONG = "".join(f"{number:07}\n" for number in range(12_500))  # 100,000 characters, each place to be told from others


@tool
async def fetch() -> str:
    """Fetches much."""
    return LONG


@tool(shown=100)
async def short(text: str, times: int = 1) -> str:
    """Says it again."""
    return text * times


def reading(call_id: str, offset: int | None = None) -> ScriptedReply:
    return call("read_result", {"call_id": call_id, "offset": offset})


def desk(model: ScriptedModel, *tools: Any, **options: Any) -> Desk[None]:
    return Desk(Agent("triage", "You help.", tools=tools or [fetch, short], **options), model=model)


def names(request: ModelRequest) -> list[str]:
    return [one.name for one in request.tools]


def last_output(request: ModelRequest) -> str:
    return str(request.items[-1]["output"])


# --- cutting


async def test_a_long_result_is_cut_and_read_on_to_its_end(tmp_path: Path) -> None:
    def next_piece(request: ModelRequest) -> ScriptedReply:
        end = last_output(request).rsplit("\n", 1)[-1]
        if "this is the end" in end:
            return say("read")
        return reading("c1", int(end.removesuffix("]").removesuffix(" reads on").rpartition("=")[2]))

    model = ScriptedModel([call("fetch", call_id="c1"), *([next_piece] * 5)])
    async with office(desk(model), tmp_path) as at:
        response = await at.say()
    assert text_of(response) == "read"
    shown = [output(item).rpartition("\n")[0] for item in response["output"] if item["type"] == "mcp_call"]
    assert "".join(shown) == LONG
    first = output(response["output"][0])
    assert first.endswith(
        "0002499\n\n[cut: characters 0 to 20000 of 100000; read_result with call_id='c1' and offset=20000 reads on]"
    )


async def test_it_is_read_in_a_later_turn_by_another_agent_after_a_restart(tmp_path: Path) -> None:
    model = ScriptedModel(
        [call("fetch", call_id="c1"), say("one"), call("transfer_to_other"), reading("c1", 99_992), say("two")]
    )
    other = Agent("other", "", model=model)
    asked = Desk(Agent("triage", "", tools=[fetch], handoffs=[other], model=model))
    async with office(asked, tmp_path) as at:
        first = await at.create()
        await at.ended(first)
        await at.workers[0].stop(0.0)
        at.start()
        response = await at.say("go on", first.conversation_id)
    assert output(response["output"][1]) == "0012499\n\n[characters 99992 to 100000 of 100000; this is the end]"


async def test_read_result_is_offered_once_there_is_something_to_read(tmp_path: Path) -> None:
    model = ScriptedModel([call("short", {"text": "x", "times": 100}), call("fetch"), say("so"), say("later")])
    async with office(desk(model), tmp_path) as at:
        accepted = await at.create()
        await at.ended(accepted)
        await at.say("more", accepted.conversation_id)
    offered = [names(request) for request in model.requests]
    assert offered[0] == offered[1] == ["fetch", "short"]
    assert offered[2] == offered[3] == ["fetch", "short", "read_result"]
    spec = model.requests[2].tools[-1]
    assert (refused_schema(spec.parameters), spec.strict) == ([], True)


async def test_what_a_client_sees_is_what_the_model_saw(tmp_path: Path) -> None:
    model = ScriptedModel([call("short", {"text": "ab", "times": 51}, call_id="c1"), say("so")])
    async with office(desk(model), tmp_path) as at:
        response = await at.say()
    (item, _) = response["output"]
    assert not [key for key in item if key.startswith("frontdesk:")]
    assert item["output"] == last_output(model.requests[1])


@pytest.mark.parametrize("shown", [None, 100_000])
async def test_a_result_that_is_short_enough_is_shown_whole(tmp_path: Path, shown: int | None) -> None:
    whole = tool(name="whole", shown=shown)(fetch.function)
    model = ScriptedModel([call("whole"), say("so")])
    async with office(desk(model, whole), tmp_path) as at:
        response = await at.say()
    assert output(response["output"][0]) == LONG


class Row(BaseModel):
    number: int


async def test_json_and_errors_are_cut_too(tmp_path: Path) -> None:
    @tool(shown=20)
    async def rows() -> list[Row]:
        return [Row(number=number) for number in range(10)]

    @tool(shown=20)
    async def complain() -> str:
        raise ValueError("x")

    model = ScriptedModel([calls(call("rows", call_id="c1"), call("complain", call_id="c2")), say("so")])
    async with office(desk(model, rows, complain), tmp_path) as at:
        accepted = await at.create()
        found = outputs(await at.ended(accepted))
        kept = await at.database.read(read, accepted.conversation_id, "c1", 0, 1000)
    assert found["rows"].startswith('[{"number":0},{"numb\n[cut: characters 0 to 20 of 131; ')
    assert found["complain"].startswith("The tool complain fa\n[cut: ")
    assert kept is not None
    assert kept.text.endswith('{"number":9}]')


async def test_every_character_is_kept_in_its_place(tmp_path: Path) -> None:
    text = "a\0b\ud800c€𝄞" * 40
    model = ScriptedModel([call("odd", call_id="c1"), reading("c1", 0), say("so")])

    @tool(shown=10)
    async def odd() -> str:
        return text

    async with office(desk(model, odd), tmp_path) as at:
        response = await at.say()
    whole = output(response["output"][1]).rpartition("\n")[0]
    assert whole == "a\\x00b\\ud800c€𝄞" * 40
    assert output(response["output"][0]).startswith(whole[:10] + "\n[cut: characters 0 to 10 of ")


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        ({"call_id": "c9"}, "There is no long result 'c9'. There are, the newest first: 'c1' (100000 characters)."),
        ({"call_id": "c1", "offset": 100_001}, "offset is a number from 0 to 100000, not 100001."),
        ({"call_id": "c1", "offset": -1}, "offset: -1 is wrong: it should be greater than or equal to 0"),
        ({}, "The arguments of read_result do not fit: call_id: missing; give a string."),
        ({"call_id": "c1", "offset": 100_000}, "\n[characters 100000 to 100000 of 100000; this is the end]"),
    ],
)
async def test_what_is_asked_wrongly_is_answered_with_what_is_right(
    tmp_path: Path, arguments: dict[str, Any], told: str
) -> None:
    model = ScriptedModel([call("fetch", call_id="c1"), call("read_result", arguments), say("so")])
    async with office(desk(model), tmp_path) as at:
        response = await at.say()
    assert told in output(response["output"][1])


async def test_without_a_long_result_there_is_nothing_to_read(tmp_path: Path) -> None:
    model = ScriptedModel([reading("c1"), say("so")])
    async with office(desk(model), tmp_path) as at:
        response = await at.say()
    assert output(response["output"][0]).startswith("There is no long result 'c1', and no other: what a call returned")


async def test_a_fork_reads_what_its_original_kept(tmp_path: Path) -> None:
    model = ScriptedModel([call("fetch", call_id="c1"), say("one"), say("two"), reading("c1", 99_992), say("forked")])
    async with office(desk(model), tmp_path) as at:
        first = await at.create()
        await at.ended(first)
        second = await at.create("on", previous_response_id=first.response_id)
        await at.ended(second)
        fork = await at.create("fork", previous_response_id=first.response_id)
        response = await at.ended(fork)
        assert fork.conversation_id != first.conversation_id
    assert "0012499" in output(response["output"][0])


@pytest.mark.parametrize("whole", [True, False])
async def test_what_is_kept_goes_with_its_conversation_and_with_its_item(tmp_path: Path, whole: bool) -> None:
    model = ScriptedModel([call("fetch", call_id="c1"), say("one"), call("fetch", call_id="c2"), say("two")])
    async with office(desk(model), tmp_path) as at:
        first = await at.create()
        await at.ended(first)
        second = await at.create()
        await at.ended(second)
        place = first.conversation_id
        if whole:
            await at.database.write(delete_conversation, place, "")
        else:
            (item,) = [one for one in await at.items(place) if one.body["type"] == "mcp_call"]
            await at.database.write(delete_item, place, "", item.id)
        kept = [await at.database.read(known, one.conversation_id) for one in (first, second)]
    assert [len(one) for one in kept] == [0, 1]


async def test_both_engines_keep_and_cut_alike(postgresql_url: str, tmp_path: Path) -> None:
    model = ScriptedModel([call("fetch", call_id="c1"), reading("c1", 7), reading("c2"), say("so")])
    async with office(desk(model), tmp_path, url=postgresql_url) as at:
        accepted = await at.create()
        response = await at.ended(accepted)
        assert await at.database.read(known, accepted.conversation_id) == [("c1", 100_000)]
    piece, wrong = (output(item) for item in response["output"][1:3])
    assert piece.startswith(LONG[7:60])
    assert piece.endswith(f"[characters 7 to {PIECE + 7} of 100000; go on with offset={PIECE + 7}]")
    assert "'c1' (100000 characters)" in wrong


async def test_in_memory_it_is_read_within_the_turn() -> None:
    model = ScriptedModel([call("fetch", call_id="c1"), reading("c1", 99_992), reading("c3"), say("so")])
    turn = await run_in_memory(desk(model), "go")
    assert "0012499" in last_output(model.requests[2])
    assert "'c1' (100000 characters)" in last_output(model.requests[3])
    assert turn.text == "so"


def test_the_name_is_the_desk_s_own() -> None:
    @tool
    def read_result() -> None: ...

    with pytest.raises(DeskError, match="two tools named 'read_result'; the desk's own names cannot be taken"):
        Desk(Agent("a", tools=[read_result]))

    class Archive(Toolset):
        @tool
        def read_result(self) -> None: ...

    Desk(Agent("a", tools=[Archive()]))


@settings(max_examples=50, deadline=None)
@given(text=st.text(min_size=2), shown=st.integers(1, 50))
def test_cutting_loses_nothing(text: str, shown: int) -> None:
    whole = cut(CallOutput("c1", text), shown)
    assert whole.kept is not None
    assert whole.output.rpartition("\n")[0] == whole.kept[:shown]
    assert summed_up(CallOutput("c1", text), "short").kept == whole.kept


# --- summaries


@tool(summarize="names of ships", shown=1_000)
async def log_book(year: int) -> str:
    """The log of a year."""
    return LONG


async def test_a_long_result_is_summarised_and_the_whole_stays_readable(tmp_path: Path) -> None:
    summary = say("The Anna sailed.") + done(Usage(5_000, output_tokens=7))
    model = ScriptedModel([call("log_book", {"year": 1912}, call_id="c1"), summary, reading("c1", 0), say("so")])
    async with office(desk(model, log_book), tmp_path) as at:
        response = await at.say()
    first, whole = (output(item) for item in response["output"][:2])
    assert first == (
        "The Anna sailed.\n[a summary of 100000 characters; read_result with call_id='c1' and offset=0 reads the "
        "result itself]"
    )
    assert whole.startswith("0000000\n0000001\n")
    asked = model.requests[1]
    assert asked.instructions.endswith("\n\nnames of ships")
    assert (asked.tools, asked.purpose) == ((), "summary")
    text = asked.items[0]["content"][0]["text"]
    assert '{"call":"log_book"}\n{"arguments":"{\\"year\\":1912}"}\n{"result":"0000000\\n' in text
    assert response["usage"]["input_tokens"] == 5_000


async def test_a_summary_is_written_by_the_model_that_the_tool_names(tmp_path: Path) -> None:
    writer = ScriptedModel([say("short")])
    summed = tool(name="summed", shown=10, summarize=Summarize(model=writer))(fetch.function)
    model = ScriptedModel([call("summed"), say("so")])
    async with office(desk(model, summed), tmp_path) as at:
        response = await at.say()
    assert output(response["output"][0]).startswith("short\n[a summary of 100000 characters")
    assert len(writer.requests) == 1


@pytest.mark.parametrize("writer", [ScriptedModel([fail(ModelUnavailable)]), ScriptedModel([say("")])])
async def test_what_cannot_be_summarised_is_cut(tmp_path: Path, writer: ScriptedModel) -> None:
    summed = tool(name="summed", shown=10, summarize=Summarize(model=writer))(fetch.function)
    model = ScriptedModel([call("summed"), say("so")])
    async with office(desk(model, summed), tmp_path) as at:
        response = await at.say()
    assert output(response["output"][0]).startswith("0000000\n00\n[cut: characters 0 to 10 of 100000; ")


async def test_the_stand_in_shortens_by_rules_and_says_so(tmp_path: Path) -> None:
    summed = tool(name="summed", shown=10, summarize=Summarize(model=OfflineModel()))(fetch.function)
    async with office(desk(ScriptedModel([call("summed"), say("so")]), summed), tmp_path) as at:
        response = await at.say()
    assert output(response["output"][0]).startswith("(Shortened by rules, not understood")


async def test_an_error_is_no_result_to_be_summarised(tmp_path: Path) -> None:
    @tool(shown=20, summarize=True)
    async def complain() -> str:
        raise ValueError("x")

    model = ScriptedModel([call("complain"), say("so")])
    async with office(desk(model, complain), tmp_path) as at:
        response = await at.say()
    assert "[cut: " in output(response["output"][0])


async def test_a_worker_that_is_lost_while_a_summary_is_written_does_not_run_the_call_again(tmp_path: Path) -> None:
    ran: list[int] = []
    gate = Gate()

    @tool(shown=10, summarize=Summarize(model=ScriptedModel([wait(gate) + say("never"), say("at last")])))
    async def pay() -> str:
        """Is not to be run twice."""
        ran.append(1)
        return "paid " * 10

    model = ScriptedModel([call("pay", call_id="c1"), say("so")])
    async with office(desk(model, pay), tmp_path) as at:
        accepted = await at.create()
        await gate.reached()
        await at.workers[0].stop(0.0)
        at.start()
        response = await at.ended(accepted)
        assert await at.database.read(known, accepted.conversation_id) == [("c1", 50)]
    assert output(response["output"][0]).startswith("at last\n[a summary of 50 characters")
    assert ran == [1]


async def test_a_cancel_while_a_summary_is_written_ends_the_turn(tmp_path: Path) -> None:
    gate = Gate()
    summed = tool(name="summed", shown=10, summarize=Summarize(model=ScriptedModel([wait(gate) + say("never")])))(
        fetch.function
    )
    async with office(desk(ScriptedModel([call("summed")]), summed), tmp_path) as at:
        accepted = await at.create()
        await gate.reached()
        await at.database.write(cancel_response, accepted.response_id, "")
        response = await at.ended(accepted)
    assert response["status"] == "cancelled"
    assert "interrupted" in output(response["output"][0])


def test_of_a_very_long_result_the_beginning_and_the_end_are_read() -> None:
    text = "a" * MOST_READ + "b" * MOST_READ
    lines = lines_of("fetch", "{}", text)
    assert lines[0] == '{"call":"fetch"}'
    assert f'{{"left out here":"{MOST_READ} characters"}}' in lines
    assert sum(map(len, lines)) < MOST_READ * 1.01
    assert max(map(len, lines)) < LINE * 1.01
    assert (lines[2][-3], lines[-1][-3]) == ("a", "b")


def test_summarize_takes_three_forms() -> None:
    forms: list[Any] = [True, "dates", Summarize(instructions="x"), False, ""]
    made = [tool(name="one", summarize=form)(fetch.function).summarize for form in forms]
    assert [None if one is None else one.instructions for one in made] == ["", "dates", "x", None, None]
