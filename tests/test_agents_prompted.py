"""Models without tool calls: tools told in words, calls read from text, in pieces of any size."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from frontdesk.agents import Agent, Desk, tool
from frontdesk.agents.model import (
    JSON,
    FunctionCall,
    Message,
    ModelEvent,
    ModelRequest,
    ModelSettings,
    Reasoning,
    ReasoningDelta,
    ReplyDone,
    TextDelta,
    ToolSpec,
)
from frontdesk.agents.models.call_formats import FORMATS, CallFormat, Fenced, Hermes, Mark, Mistral, Written, written_in
from frontdesk.agents.models.call_scanner import CallScanner, Prose, Thought
from frontdesk.agents.models.chat import ChatModel
from frontdesk.agents.models.prompted import PromptedModel
from frontdesk.agents.models.scripted import ScriptedModel, say
from frontdesk.tests.fakes.openai_api import Answer, Say, fake_openai

LOOK = ToolSpec("look", "Looks up.", {"type": "object", "properties": {"id": {"type": "integer"}}, "required": ["id"]})
SEVEN = Written("look", '{"id": 7}')
EIGHT = Written("look", '{"id": 8}')

# form, text, what is said, calls, thoughts
READ: list[tuple[CallFormat, str, str, list[Written], str]] = [
    (Hermes(), "Just an answer.", "Just an answer.", [], ""),
    (Hermes(), '<tool_call>\n{"name": "look", "arguments": {"id": 7}}\n</tool_call>', "", [SEVEN], ""),
    (
        Hermes(),
        'I look.\n<tool_call>{"name": "look", "arguments": {"id": 7}}</tool_call>\n'
        '<tool_call>{"name": "look", "arguments": {"id": 8}}</tool_call>\nDone.',
        "I look.\n\nDone.",
        [SEVEN, EIGHT],
        "",
    ),
    (
        Hermes(),
        '<think>Which one?\n</think>\n\nSo.\n<tool_call>{"name": "look", "arguments": {"id": 7}}',
        "So.",
        [SEVEN],
        "Which one?\n",
    ),
    (
        Hermes(),
        '<tool_call>{"name": "look", "arguments": {"id": 7}}\n<tool_call>{"name": "look", "arguments": {"id": 8}}',
        "",
        [SEVEN, EIGHT],
        "",
    ),
    (
        Hermes(),
        '<tool_call>{"name": "write", "arguments": {"text": "</tool_call> is a mark"}}</tool_call>',
        "",
        [Written("write", '{"text": "</tool_call> is a mark"}')],
        "",
    ),
    (Hermes(), "<tool_call>{'name': 'look', 'arguments': {'id': 7}}</tool_call>", "", [SEVEN], ""),
    (
        Hermes(),
        '<tool_call>{"name": "look", "arguments": {"id": 7}</tool_call>',
        "",
        [Written("look", '{"name": "look", "arguments": {"id": 7}')],
        "",
    ),
    (Hermes(), "2 < 3 and <tool is no mark <", "2 < 3 and <tool is no mark <", [], ""),
    (Hermes(), "<tool_call>sorry</tool_call>", "sorry", [], ""),
    (Hermes(), "<think>endless", "", [], "endless"),
    (Mistral(), '[TOOL_CALLS] [{"name": "look", "arguments": {"id": 7}}]', "", [SEVEN], ""),
    (
        Mistral(),
        'Moment.[TOOL_CALLS][{"name": "look", "arguments": {"id": 7}}, {"name": "look", "arguments": {"id": 8}}]',
        "Moment.",
        [SEVEN, EIGHT],
        "",
    ),
    (
        Mistral(),
        '[THINK]hm[/THINK][TOOL_CALLS]look[ARGS]{"id": 7}[TOOL_CALLS]look[CALL_ID]a1b2c3d4e[ARGS]{"id": 8}',
        "",
        [SEVEN, EIGHT],
        "hm",
    ),
    (Mistral(), '[TOOL_CALLS]look{"id": 7}', "", [SEVEN], ""),
    (Mistral(), '[TOOL_CALLS] [{"name": "look", "arguments": "{\\"id\\": 7}"}]', "", [SEVEN], ""),
    (Mistral(), "A [list] of [TOOLS].", "A [list] of [TOOLS].", [], ""),
    (Fenced(), 'I look:\n```json\n{"name": "look", "arguments": {"id": 7}}\n```', "I look:", [SEVEN], ""),
    (Fenced(), '```\n{"tool": "look", "parameters": {"id": 7}}\n```', "", [SEVEN], ""),
    (
        Fenced(),
        'Like this:\n```python\nprint("no call")\n```\nor that:\n```json\n{"a": 1}\n```\nGood?',
        'Like this:\n```python\nprint("no call")\n```\nor that:\n```json\n{"a": 1}\n```\nGood?',
        [],
        "",
    ),
    (
        Fenced(),
        '```json\n{"name": "write", "arguments": {"text": "```py\\n1\\n```"}}\n```',
        "",
        [Written("write", '{"text": "```py\\n1\\n```"}')],
        "",
    ),
    (Fenced(), '```json\n{"name": "look", "arguments": {"id": 7}}', "", [SEVEN], ""),
]


def scanned(form: CallFormat, pieces: list[str]) -> tuple[str, list[Written], str]:
    scanner = CallScanner(form)
    found = [one for piece in pieces for one in scanner.feed(piece)]
    found += scanner.end()
    return (
        "".join(one.text for one in found if isinstance(one, Prose)),
        [one for one in found if isinstance(one, Written)],
        "".join(one.text for one in found if isinstance(one, Thought)),
    )


@pytest.mark.parametrize(("form", "text", "prose", "calls", "thought"), READ)
def test_calls_prose_and_thoughts_are_told_apart_however_the_text_is_cut(
    form: CallFormat, text: str, prose: str, calls: list[Written], thought: str
) -> None:
    assert scanned(form, [text]) == (prose, calls, thought)
    assert scanned(form, list(text)) == (prose, calls, thought)
    for place in range(1, len(text)):
        assert scanned(form, [text[:place], text[place:]]) == (prose, calls, thought), place


PIECES = st.sampled_from(
    ["<tool_call>", "</tool_call>", "[TOOL_CALLS]", "[ARGS]", "```", "```json\n", "\n```", "<think>", "</think>", "{",
     "}", "[", "]", '{"name": "look", "arguments": {"id": 7}}', "look", '"', "\n", " ", "<", "[TOOL", "a", "é"]
)  # fmt: skip


@given(st.sampled_from(sorted(FORMATS)), st.lists(PIECES, max_size=12), st.data())
@settings(max_examples=300)
def test_any_text_is_read_to_its_end_and_the_same_in_all_pieces(
    form: str, parts: list[str], data: st.DataObject
) -> None:
    text = "".join(parts)
    whole = scanned(FORMATS[form](), [text])
    cuts = sorted(data.draw(st.lists(st.integers(0, len(text)), max_size=6)))
    pieces = [text[start:end] for start, end in zip([0, *cuts], [*cuts, len(text)], strict=True)]
    assert scanned(FORMATS[form](), pieces) == whole


@pytest.mark.parametrize("name", sorted(FORMATS))
def test_what_a_format_writes_it_reads(name: str) -> None:
    form = FORMATS[name]()
    assert scanned(form, [form.called([SEVEN, EIGHT])])[1] == [SEVEN, EIGHT]
    assert '"look"' in form.describe([LOOK])
    assert "found" in form.answered("look", "call_1", "found")


def test_prose_is_said_as_soon_as_it_cannot_be_a_mark() -> None:
    scanner = CallScanner(Hermes())
    assert list(scanner.feed("Hello")) == [Prose("Hello")]
    assert list(scanner.feed(" you <tool")) == [Prose(" you")]
    assert list(scanner.feed("box")) == [Prose(" <toolbox")]


def test_another_format_is_a_small_class() -> None:
    class Plain:
        marks = (Mark("CALL ", "\n"),)

        def describe(self, tools: Any) -> str:
            return "To call a tool write CALL name {arguments} on a line."

        def called(self, calls: Any) -> str:
            return "".join(f"CALL {one.name} {one.arguments}\n" for one in calls)

        def answered(self, name: str, call_id: str, output: str) -> str:
            return f"RESULT {output}"

        def read(self, text: str) -> list[Written]:
            name, _, arguments = text.partition(" ")
            return [Written(name, arguments)]

    assert scanned(Plain(), ['Well.\nCALL look {"id": 7}\n']) == ("Well.", [SEVEN], "")


def test_lists_that_are_no_calls_are_none() -> None:
    assert written_in('[{"name": "look"}, 3]') == ()
    assert written_in("[]") == []
    assert written_in('{"function": {"name": "look", "arguments": {"id": 7}}}') == [SEVEN]


# --- the model


CONVERSATION: tuple[JSON, ...] = (
    {"type": "message", "role": "user", "content": "Where is 7?"},
    {"type": "reasoning", "id": "rs_1", "summary": []},
    {"type": "message", "role": "assistant", "content": "I look."},
    {"type": "function_call", "call_id": "c1", "name": "look", "arguments": '{"id": 7}'},
    {"type": "function_call", "call_id": "c2", "name": "look", "arguments": '{"id": 8}'},
    {"type": "function_call_output", "call_id": "c1", "output": "left"},
    {"type": "function_call_output", "call_id": "c2", "output": [{"type": "output_text", "text": "right"}]},
    {"type": "message", "role": "user", "content": "And?"},
)


def asked(**options: Any) -> ModelRequest:
    model = PromptedModel(ScriptedModel([]), **options)
    settings = ModelSettings(tool_choice="required", parallel_tool_calls=True, temperature=0.5)
    return model.request(ModelRequest("You help.", CONVERSATION, (LOOK,), settings))


def test_a_model_is_told_everything_in_words_and_given_no_tools() -> None:
    request = asked()
    assert request.tools == ()
    assert (request.settings.tool_choice, request.settings.parallel_tool_calls) == (None, None)
    assert request.settings.temperature == 0.5
    assert request.instructions.startswith("You help.\n\n# Tools")
    assert request.instructions.endswith("Call at least one of the tools now.")
    assert [item["role"] for item in request.items] == ["user", "assistant", "user"]
    assert request.items[1]["content"].startswith("I look.\n\n<tool_call>")
    assert request.items[2]["content"].endswith("And?")
    assert "left" in request.items[2]["content"]
    assert "right" in request.items[2]["content"]


def test_templates_without_a_system_role_get_the_instructions_from_the_user() -> None:
    request = asked(instructions_as="user", form=Mistral())
    assert request.instructions == ""
    assert request.items[0]["content"].startswith("You help.\n\n[AVAILABLE_TOOLS]")
    assert request.items[0]["content"].endswith("Where is 7?")


def test_pictures_stay_beside_what_is_said() -> None:
    picture = {"type": "input_image", "image_url": "data:image/png;base64,AAAA"}
    items = ({"type": "message", "role": "user", "content": "Look:"},
             {"type": "message", "role": "user", "content": [picture]})  # fmt: skip
    (one,) = PromptedModel(ScriptedModel([])).request(ModelRequest("", items)).items
    assert one["content"] == [{"type": "input_text", "text": "Look:"}, picture]


async def test_a_reply_has_its_thoughts_its_message_and_then_its_calls() -> None:
    text = '<think>hm</think>I look.\n<tool_call>{"name": "look", "arguments": {"id": 7}}</tool_call>'
    model = PromptedModel(ScriptedModel([say(text, pieces=9)]))
    events: list[ModelEvent] = [event async for event in model.stream(ModelRequest("", ()))]
    assert "".join(one.text for one in events if isinstance(one, TextDelta)) == "I look."
    assert "".join(one.text for one in events if isinstance(one, ReasoningDelta)) == "hm"
    last = events[-4:]
    assert [type(one) for one in last] == [Reasoning, Message, FunctionCall, ReplyDone]
    assert last[1] == Message("I look.")
    called = last[2]
    assert isinstance(called, FunctionCall)
    assert (called.name, called.arguments) == ("look", '{"id": 7}')


@tool
async def look(id: int) -> str:
    """Looks up."""
    return f"{id} is on its way"


@pytest.mark.parametrize("name", sorted(FORMATS))
async def test_a_desk_works_with_it(name: str) -> None:
    form = FORMATS[name]()
    behind = ScriptedModel([form.called([SEVEN]), lambda request: f"Told: {request.items[-1]['content']}"])
    desk = Desk(Agent("clerk", "You help.", tools=[look]), model=PromptedModel(behind, form))
    answer = await desk.run("Where is 7?", timeout=60)
    assert answer.text.startswith("Told: ")
    assert "7 is on its way" in answer.text
    assert behind.remaining == 0


async def test_over_the_wire_a_server_without_tool_calls_is_asked_in_words_alone() -> None:
    replies = (Say("I look.\n" + Hermes().called([SEVEN])),)
    async with fake_openai(Answer(replies), Answer((Say("It left."),))) as fake:
        chat = ChatModel("hermes-3", base_url=fake.url, api_key="sk-test")
        desk = Desk(Agent("clerk", "You help.", tools=[look]), model=PromptedModel(chat))
        answer = await desk.run("Where is 7?", timeout=60)
    assert answer.text == "It left."
    first, second = fake.bodies
    assert "tools" not in first
    assert [one["role"] for one in second["messages"]] == ["system", "user", "assistant", "user"]
    assert "7 is on its way" in second["messages"][-1]["content"]
