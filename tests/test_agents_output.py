"""Structured output: an answer in the form of a type, asked for once more when it has another form."""

from __future__ import annotations

import datetime
import enum
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import pydantic
import pytest
from pydantic import BaseModel, Field

from frontdesk.agents import Agent, Desk, DeskError, tool
from frontdesk.agents.answer import TurnFailed
from frontdesk.agents.errors import ModelUnavailable
from frontdesk.agents.model import ModelRequest
from frontdesk.agents.models.chat import request_body as chat_body
from frontdesk.agents.models.responses import request_body as responses_body
from frontdesk.agents.models.scripted import ScriptedModel, call, done, fail, say
from frontdesk.agents.output_type import output_type
from frontdesk.tasks.errors import ArgumentsError
from frontdesk.tests.fakes.office import filed, office, text_of


class Kind(enum.Enum):
    REFUND = "refund"
    OTHER = "other"


class Ticket(BaseModel):
    """A case."""

    kind: Kind
    day: datetime.date
    total: float = Field(default=1.0, ge=0)
    parent: Ticket | None = None


@dataclass
class Point:
    x: int
    y: int = 0


GOOD = '{"kind": "refund", "day": "2026-01-31", "total": null, "parent": null}'
BAD = '{"kind": "party", "day": "2026-01-31", "total": -1, "parent": null}'
TICKET = Ticket(kind=Kind.REFUND, day=datetime.date(2026, 1, 31))


def desk(*replies: Any, **options: Any) -> tuple[Desk[None], ScriptedModel]:
    model = ScriptedModel(replies)
    return Desk(Agent("triage", "You sort.", output_type=Ticket), model=model, **options), model


async def test_an_answer_is_a_value_of_the_type_and_the_model_was_told_its_form() -> None:
    one, model = desk(say(GOOD))
    answer = await one.run("I want my money back")
    assert answer.output == TICKET
    assert answer.text == GOOD
    told = model.requests[0].text["format"]
    assert (told["type"], told["name"], told["strict"]) == ("json_schema", "Ticket", True)
    assert told["schema"]["required"] == ["kind", "day", "total", "parent"]
    assert told["schema"]["additionalProperties"] is False


async def test_an_answer_in_another_form_is_asked_for_once_more_and_is_no_part_of_the_history(tmp_path: Path) -> None:
    one, model = desk(say(BAD) + done(), say(GOOD), say(GOOD))
    async with office(one, tmp_path) as at:
        accepted = await at.create()
        response = await at.ended(accepted)
        await at.say("and?", accepted.conversation_id)
    assert [item["status"] for item in response["output"]] == ["incomplete", "completed"]
    assert (response["status"], text_of(response)) == ("completed", GOOD)
    shown, told = model.requests[1].items[-2:]
    assert (shown["role"], shown["content"]) == ("assistant", BAD)
    problem = told["content"][0]["text"]
    assert told["role"] == "user"
    assert 'kind: "party" is not one of "refund", "other"' in problem
    assert "total: -1" in problem
    assert [item["role"] for item in model.requests[2].items] == ["user", "assistant", "user"]


async def test_an_answer_in_another_form_twice_fails_the_response(tmp_path: Path) -> None:
    one, model = desk(say(BAD), say("I cannot."))
    async with office(one, tmp_path) as at:
        response = await at.say()
    assert len(model.requests) == 2
    assert response["status"] == "failed"
    assert response["error"]["message"].startswith("the answer of triage is no Ticket: Your answer is not valid JSON")
    assert {item["status"] for item in response["output"]} == {"incomplete"}


async def test_an_answer_without_a_word_is_asked_for_once_more() -> None:
    one, model = desk(done(), say(GOOD))
    assert (await one.run("Sort this")).output == TICKET
    assert model.requests[1].items[-1]["content"][0]["text"].startswith("Your answer is not valid JSON")


async def test_calls_come_before_the_answer_in_their_own_form() -> None:
    @tool
    async def look() -> str:
        """Looks."""
        return "seen"

    model = ScriptedModel([say("Let me look.") + call("look"), say(GOOD)])
    one: Desk[None] = Desk(Agent("triage", tools=[look], output_type=Ticket), model=model)
    assert (await one.run("Sort this")).output == TICKET


async def test_a_reply_that_was_cut_off_is_not_asked_for_again_and_raises_where_a_value_is_wanted() -> None:
    one, model = desk(say('{"kind": "ref') + done(finish="length"))
    with pytest.raises(TurnFailed, match=r"the response is incomplete \(length\)"):
        await one.run("Sort this")
    assert len(model.requests) == 1


async def test_one_question_may_have_a_form_of_its_own() -> None:
    model = ScriptedModel(lambda request: say('{"answer": [1, 2]}' if request.text else "plain"))
    one: Desk[None] = Desk(Agent("triage"), model=model)
    answer = await one.run("Which numbers?", output_type=list[int])
    numbers: list[int] = answer.output
    assert numbers == [1, 2]
    assert (await one.run("Hello")).output == "plain"


async def test_the_form_of_the_desk_is_for_agents_without_their_own_and_not_for_delegated_runs(tmp_path: Path) -> None:
    other = Agent("other", output_type=Point, model=ScriptedModel([say('{"x": 1, "y": null}')]))
    plain = ScriptedModel([say("plain")])
    helper = Agent("helper", model=plain)
    model = ScriptedModel([filed("helper", input="help"), call("transfer_to_other")])
    one = Desk(
        Agent("triage", handoffs=[other], delegates=[helper]), model=model, output_type=Ticket, on_task_done="note"
    )
    async with office(one, tmp_path) as at:
        accepted = await at.create()
        assert text_of(await at.ended(accepted)) == '{"x": 1, "y": null}'
        await at.task("T1", accepted.conversation_id, "succeeded")
    assert [request.text["format"]["name"] for request in model.requests] == ["Ticket"] * 2
    assert plain.requests[0].text == {}


async def test_a_delegated_agent_with_an_output_type_has_a_value_as_its_result(tmp_path: Path) -> None:
    helper = Agent("helper", output_type=Point, model=ScriptedModel([say('{"x": 1, "y": 2}')]))
    model = ScriptedModel([filed("helper", input="help"), say("filed"), say("told")])
    async with office(Desk(Agent("triage", delegates=[helper]), model=model), tmp_path) as at:
        accepted = await at.create()
        row = await at.task("T1", accepted.conversation_id, "succeeded")
        await at.quiet(accepted.conversation_id)
    assert row["result"] == '{"x":1,"y":2}'


async def test_what_a_client_asks_of_the_text_reaches_the_model_and_an_output_type_goes_before_it(
    tmp_path: Path,
) -> None:
    asked = {"format": {"type": "json_object"}, "verbosity": "low"}
    model = ScriptedModel([say("{}"), say(GOOD)])
    async with office(Desk(Agent("triage"), model=model), tmp_path) as at:
        response = await at.say(request={"text": asked})
    assert (model.requests[0].text, response["text"]) == (asked, asked)
    one, typed = desk(say(GOOD))
    other = tmp_path / "other"
    other.mkdir()
    async with office(one, other) as at:
        await at.say(request={"text": asked})
    assert (typed.requests[0].text["format"]["name"], typed.requests[0].text["verbosity"]) == ("Ticket", "low")


async def test_a_stream_that_breaks_while_it_answers_in_a_form_is_asked_for_again() -> None:
    one, _ = desk(say(GOOD[:20], whole=False) + fail(ModelUnavailable), say(GOOD))
    assert (await one.run("Sort this")).output == TICKET


# What providers are told


def test_both_apis_are_told_the_form_in_their_own_words() -> None:
    form: dict[str, Any] = {"type": "json_schema", "name": "N", "schema": {"type": "object"}, "strict": True}
    request = ModelRequest("", (), text={"format": form, "verbosity": "low"})
    assert responses_body("m", request, reasons=False)["text"] == {"format": form, "verbosity": "low"}
    chat = chat_body("m", [], request, strict=True)
    within = {"name": "N", "schema": {"type": "object"}, "strict": True}
    assert chat["response_format"] == {"type": "json_schema", "json_schema": within}
    assert chat["verbosity"] == "low"


@pytest.mark.parametrize("text", [{}, {"format": {"type": "text"}}])
def test_text_is_what_chat_servers_answer_with_unasked(text: dict[str, Any]) -> None:
    assert "response_format" not in chat_body("m", [], ModelRequest("", (), text=text), strict=True)
    asked = ModelRequest("", (), text={"format": {"type": "json_object"}})
    assert chat_body("m", [], asked, strict=True)["response_format"] == {"type": "json_object"}


# The types


@pytest.mark.parametrize(
    ("of", "text", "value"),
    [
        (int, '{"answer": 5}', 5),
        (list[Point], '{"answer": [{"x": 1, "y": null}]}', [Point(1, 0)]),
        (Literal["yes", "no"], '{"answer": "no"}', "no"),
        (Point | Ticket, '{"answer": {"x": 3, "y": 4}}', Point(3, 4)),
        (Point, '```json\n{"x": 1, "y": 2}\n```', Point(1, 2)),
        (Ticket, GOOD.replace('"parent": null', f'"parent": {GOOD}'), TICKET.model_copy(update={"parent": TICKET})),
        (dict[str, int], '{"answer": {"a": 1}}', {"a": 1}),
    ],
)  # fmt: skip
def test_any_type_that_pydantic_can_describe_is_read(of: Any, text: str, value: Any) -> None:
    form = output_type(of)
    assert form is not None
    assert form.schema["type"] == "object", "providers take objects only"
    assert form.read(text) == value
    assert form.read(pydantic.TypeAdapter(Any).dump_json(form.as_json(value) if not form.wrapped else
                     {"answer": form.as_json(value)}).decode()) == value  # fmt: skip


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "Your answer is not valid JSON"),
        ("[1]", "Your answer is JSON, but not an object"),
        ('{"x": "one"}', 'x: "one" is wrong'),
        ("{}", "x: missing; give an integer"),
    ],
)
def test_what_is_wrong_is_said_to_the_model(text: str, words: str) -> None:
    form = output_type(Point)
    assert form is not None
    with pytest.raises(ArgumentsError) as error:
        form.read(text)
    assert words in str(error.value)


def test_a_value_that_is_not_wrapped_is_told_how_to_be() -> None:
    form = output_type(int)
    assert form is not None
    with pytest.raises(ArgumentsError, match=r'it is one object \{"answer": …\}'):
        form.read('{"number": 5}')


def test_text_needs_no_form_and_what_is_no_data_is_refused() -> None:
    assert (output_type(None), output_type(str)) == (None, None)
    with pytest.raises(DeskError, match=r"output_type .*Callable.* cannot come from JSON"):
        Agent("triage", output_type=Callable[[], int])
