"""Whatever happens to a conversation, every request to a model keeps to the rules of both APIs: a random session with
cancels, interruptions, steers, lost workers, failing tools and models, handoffs, approvals, client-run tools and forks,
on a real database with a real worker.
"""

from __future__ import annotations

import asyncio
import tempfile
from collections import Counter
from contextlib import suppress
from pathlib import Path
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from frontdesk.agents import Agent, Compaction, Desk, ToolError, tool
from frontdesk.agents.history import StoredItem, validate_items
from frontdesk.agents.model import ModelRequest
from frontdesk.agents.models.chat_messages import chat_messages
from frontdesk.agents.models.scripted import ScriptedModel, ScriptedReply, call, calls, done, fail, say, think
from frontdesk.agents.owed import Owed
from frontdesk.broker.cancel import cancel_response
from frontdesk.tasks import task
from frontdesk.tasks.errors import FrontdeskError
from frontdesk.tests.fakes.office import Office, filed, office
from frontdesk.tests.fakes.openai_rules import validate_messages

LOCATE: dict[str, Any] = {"type": "function", "name": "locate", "parameters": {"type": "object", "properties": {}}}
FOLDER = "/dev/shm" if Path("/dev/shm").is_dir() else None


@tool
async def look() -> str:
    """Looks."""
    await asyncio.sleep(0)
    return "seen"


@tool
async def break_down() -> str:
    """Fails."""
    raise ToolError("broken")


@tool(needs_approval=True)
async def pay() -> str:
    """Pays."""
    return "paid"


@task
async def count() -> int:
    """Counts."""
    return 1


CALLED = {
    "look": call("look"),
    "look again": call("look", call_id="same"),
    "long id": call("look", call_id="functions.look:" + "0" * 60),
    "fails": call("break_down"),
    "pay": call("pay"),
    "locate": call("locate"),
    "files": filed("count"),
    "checks": call("check_task", {"task": "T1"}),
    "waits": call("wait_for_tasks", {"tasks": ["T1"], "until": None, "timeout_seconds": None}),
    "hands over": call("transfer_to_other"),
    "hands back": call("transfer_to_triage"),
    "invents": call("no.such tool", "{"),
}
ENDS = {
    "says": say("So."),
    "is cut off": say("So much", whole=False) + done(finish="length"),
    "breaks": say("So", whole=False) + fail(),
    "thinks": think("Hm.") + say("So."),
    "nothing": ScriptedReply(),
}


def together(names: list[str]) -> ScriptedReply:
    return calls(*(CALLED[name] for name in names))


reply = st.one_of(
    st.sampled_from(sorted(ENDS)).map(ENDS.__getitem__),
    st.lists(st.sampled_from(sorted(CALLED)), min_size=1, max_size=4).map(together),
    st.sampled_from(sorted(CALLED)).map(lambda name: think("Hm.") + CALLED[name]),
)
actions = st.lists(
    st.sampled_from([
        "say", "say", "ended", "ended", "interrupt", "cancel", "steer", "worker lost", "answer", "answer", "refuse",
        "fork",
    ]),
    min_size=3, max_size=12,
)  # fmt: skip


class Session:
    """One random session, and what a strict provider would have said of its requests."""

    def __init__(self, replies: list[ScriptedReply]) -> None:
        self._replies = replies
        self.problems: list[str] = []
        self.accepted: list[Any] = []

    def model(self, request: ModelRequest) -> ScriptedReply:
        self.problems += validate_items(request.items)
        self.problems += validate_messages(chat_messages(request.instructions, request.items))
        if request.purpose == "summary":
            return say("Notes.")
        return self._replies.pop() if self._replies else say("The end.")

    async def act(self, at: Office, what: str) -> None:
        last = self.accepted[-1] if self.accepted else None
        one = None if last is None else last.conversation_id
        request = {"tools": [LOCATE]}
        if what in ("say", "interrupt") or last is None:
            when: Any = "interrupt" if what == "interrupt" else "enqueue"
            self.accepted.append(await at.create("hello", one, request=request, when_busy=when))
        elif what == "ended":
            await at.ended(last)
        elif what == "cancel":
            await at.database.write_first(cancel_response, last.response_id, "")
        elif what == "steer":
            await at.steer(last.response_id)
        elif what == "worker lost":
            await at.workers.pop().stop(0.0)
            at.start()
        elif what == "fork":
            of = self.accepted[0].response_id
            self.accepted.append(await at.create("instead", previous_response_id=of, request=request))
        else:
            given = answers(await at.items(str(one)), approve=what == "answer")
            if given:
                self.accepted.append(await at.create(given, one, request=request))


def answers(items: list[StoredItem], *, approve: bool) -> list[dict[str, Any]]:
    """What the client owes."""
    owed = Owed()
    for one in items:
        owed.take(one)
    return [
        {**stub, "output": "Berlin"} if stub["type"] == "function_call_output" else {**stub, "approve": approve}
        for stub in ({key: value for key, value in stub.items() if key != "name"} for stub in owed.open.values())
    ]


async def play(session: Session, steps: list[str]) -> None:
    other = Agent("other", "Be brief.", tools=[look, break_down, pay], tasks=[count], handoffs=["triage"])
    triage = Agent("triage", "Be brief.", tools=[look, break_down, pay], tasks=[count], handoffs=[other])
    desk = Desk(triage, model=ScriptedModel(session.model), compaction=Compaction(tokens=150, keep=30))
    with tempfile.TemporaryDirectory(dir=FOLDER) as folder:
        async with office(desk, Path(folder)) as at:
            for step in steps:
                with suppress(FrontdeskError):  # refused: it is over, or it owes nothing
                    await session.act(at, step)
            for conversation_id in {one.conversation_id for one in session.accepted}:
                await at.quiet(conversation_id)
                check(await at.items(conversation_id))


def check(items: list[StoredItem]) -> None:
    """Each id once; each call that is not waiting for its client has exactly one outcome; nothing is half done."""
    assert len({one.id for one in items}) == len(items)
    assert not [one for one in items if one.status == "in_progress"]
    made = [one.body for one in items if one.body["type"] == "mcp_call"]
    assert all((body.get("output") is None) != (body.get("error") is None) for body in made), made
    twice = Counter(str(body["frontdesk:call_id"]) for body in made)
    assert not twice or max(twice.values()) == 1


@settings(max_examples=20)
@given(st.lists(reply, max_size=12), actions)
def test_every_request_is_one_that_both_apis_take(replies: list[ScriptedReply], steps: list[str]) -> None:
    session = Session(replies)
    asyncio.run(play(session, steps))
    assert session.problems == []
