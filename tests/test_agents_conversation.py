"""Conversations: where an input goes. Continuing, forking, and clients that send the whole history each time."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from frontdesk.agents import Agent, Desk
from frontdesk.agents.entries import input_items, user_message
from frontdesk.agents.history import StoredItem
from frontdesk.agents.model import ModelRequest
from frontdesk.agents.models.scripted import Gate, ScriptedModel, ScriptedReply, call, say, wait
from frontdesk.broker.errors import ConversationNotFound, IdempotencyMismatch, PreviousResponseNotFound
from frontdesk.broker.inbox import Entry
from frontdesk.tasks import task
from frontdesk.tests.fakes.office import office, output, text_of


def heard(request: ModelRequest) -> ScriptedReply:
    """Says what the person has said so far."""
    said = [item["content"][0]["text"] for item in request.items if item.get("role") == "user"]
    return say(f"{request.agent}: {' '.join(said)}")


def desk() -> Desk[None]:
    return Desk(Agent("triage", "You help."), model=ScriptedModel(heard))


async def test_a_conversation_goes_on_by_its_id_or_by_its_last_response(tmp_path: Path) -> None:
    async with office(desk(), tmp_path) as at:
        first = await at.create("one")
        await at.ended(first)
        second = await at.create("two", first.conversation_id)
        await at.ended(second)
        third = await at.create("three", previous_response_id=second.response_id)
        response = await at.ended(third)
    assert third.conversation_id == first.conversation_id
    assert text_of(response) == "triage: one two three"
    assert response["previous_response_id"] == second.response_id


async def test_a_response_that_is_continued_twice_forks(tmp_path: Path) -> None:
    async with office(desk(), tmp_path) as at:
        first = await at.create("one")
        await at.ended(first)
        left = await at.create("left", previous_response_id=first.response_id)
        right = await at.create("right", previous_response_id=first.response_id)
        answers = [text_of(await at.ended(one)) for one in (left, right)]
        assert left.conversation_id == first.conversation_id
        assert right.conversation_id != first.conversation_id
        assert answers == ["triage: one left", "triage: one right"]
        further = await at.create("on", previous_response_id=right.response_id)
        assert text_of(await at.ended(further)) == "triage: one right on"
        assert further.conversation_id == right.conversation_id
        again = await at.create("again", previous_response_id=right.response_id)
        assert text_of(await at.ended(again)) == "triage: one right again"
        assert again.conversation_id not in (right.conversation_id, first.conversation_id)


async def test_a_fork_of_a_response_that_goes_on_holds_what_is_committed(tmp_path: Path) -> None:
    gate = Gate()

    def model(request: ModelRequest) -> ScriptedReply:
        last = request.items[-1]["content"][0]["text"]
        return wait(gate) + heard(request) if last == "two" else heard(request)

    one = Desk(Agent("triage"), model=ScriptedModel(model))
    async with office(one, tmp_path) as at:
        first = await at.create("one")
        await at.ended(first)
        second = await at.create("two", previous_response_id=first.response_id)
        await gate.reached()
        await at.event(second.conversation_id, lambda event: event.get("response", {}).get("id") == second.response_id)
        await at.create("joined", previous_response_id=second.response_id)
        fork = await at.create("forked", previous_response_id=second.response_id)
        assert text_of(await at.ended(fork)) == "triage: one two forked"
        gate.open()
        assert text_of(await at.ended(second)) == "triage: one two"
        await at.quiet(first.conversation_id)


async def test_a_fork_of_a_response_that_has_not_begun_holds_all_before_it(tmp_path: Path) -> None:
    async with office(desk(), tmp_path, start=False) as at:
        worker = at.start()
        first = await at.create("one")
        await at.ended(first)
        await worker.stop(0.0)
        second = await at.create("two", previous_response_id=first.response_id)
        await at.create("joined", previous_response_id=second.response_id)
        fork = await at.create("forked", previous_response_id=second.response_id)
        at.start()
        assert text_of(await at.ended(fork)) == "triage: one forked"
        await at.quiet(first.conversation_id)


async def test_a_notice_in_between_is_no_continuation_and_does_not_fork(tmp_path: Path) -> None:
    gate = Gate()

    @task
    async def count() -> int:
        """Counts."""
        await gate.wait()
        return 1

    filed = call("create_task", {"task": {"name": "count", "arguments": {}}, "title": None, "again": None})
    model = ScriptedModel([filed, say("Filed."), say("T1 ended."), heard])
    async with office(Desk(Agent("triage", tasks=[count]), model=model), tmp_path) as at:
        first = await at.create("one")
        await at.ended(first)
        gate.open()
        await at.task("T1", first.conversation_id, "succeeded")
        await at.quiet(first.conversation_id)
        second = await at.create("two", previous_response_id=first.response_id)
        assert second.conversation_id == first.conversation_id
        await at.ended(second)


async def test_a_steers_successor_is_no_continuation_by_a_client(tmp_path: Path) -> None:
    gate = Gate()
    model = ScriptedModel([wait(gate) + say("One."), heard, heard])
    async with office(Desk(Agent("triage"), model=model), tmp_path) as at:
        first = await at.create("one")
        await gate.reached()
        steered = await at.steer(first.response_id, "instead")
        gate.open()
        await at.ended(steered)
        second = await at.create("two", previous_response_id=first.response_id)
        assert text_of(await at.ended(second)) == "triage: one instead two"
        assert second.conversation_id == first.conversation_id


async def test_tasks_stay_with_the_original_and_labels_go_on(tmp_path: Path) -> None:
    gate = Gate()

    @task
    async def count(number: int) -> int:
        """Counts."""
        await gate.wait()
        return number

    def model(request: ModelRequest) -> ScriptedReply:
        last = request.items[-1]
        if last.get("role") == "user":
            count_so_far = {"name": "count", "arguments": {"number": len(request.items)}}
            return call("create_task", {"task": count_so_far, "title": None, "again": None})
        if request.items[-2].get("name") == "create_task":
            return call("list_tasks")
        return say("So.")

    one = Desk(Agent("triage", tasks=[count]), model=ScriptedModel(model), on_task_done="note")
    async with office(one, tmp_path) as at:
        first = await at.create("one")
        await at.ended(first)
        await at.ended(await at.create("left", previous_response_id=first.response_id))
        fork = await at.create("right", previous_response_id=first.response_id)
        response = await at.ended(fork)
        assert '"task":"T3"' in output(response["output"][0]), "labels go on where the original's were"
        assert '"task":"T1"' not in output(response["output"][1])
        gate.open()
        await at.quiet(first.conversation_id)
        await at.quiet(fork.conversation_id)


async def test_a_fork_is_with_the_agent_who_had_the_conversation_then(tmp_path: Path) -> None:
    def model(request: ModelRequest) -> ScriptedReply:
        last = request.items[-1]
        if last.get("role") == "user" and last["content"][0]["text"].startswith("to "):
            return call(f"transfer_to_{last['content'][0]['text'].removeprefix('to ')}")
        return say(request.agent)

    orders = Agent("orders", handoffs=["triage"])
    one = Desk(Agent("triage", handoffs=[orders]), model=ScriptedModel(model))
    async with office(one, tmp_path) as at:
        first = await at.create("hello")
        await at.ended(first)
        second = await at.create("to orders", previous_response_id=first.response_id)
        assert text_of(await at.ended(second)) == "orders"
        early = await at.create("who?", previous_response_id=first.response_id)
        assert text_of(await at.ended(early)) == "triage"
        await at.ended(await at.create("to triage", previous_response_id=second.response_id))
        late = await at.create("who?", previous_response_id=second.response_id)
        assert text_of(await at.ended(late)) == "orders"


async def test_a_client_that_sends_the_whole_history_stays_in_its_conversation(tmp_path: Path) -> None:
    async with office(desk(), tmp_path) as at:
        first = await at.create("one")
        response = await at.ended(first)
        history = [{"role": "user", "content": "one"}, *response["output"], user_message("two")]
        second = await at.create(history)
        assert second.conversation_id == first.conversation_id
        again = await at.ended(second)
        assert text_of(again) == "triage: one two"
        history = [{"role": "user", "content": "one"}, *response["output"], user_message("two"), *again["output"]]
        third = await at.create([*history, user_message("three")])
        assert text_of(await at.ended(third)) == "triage: one two three"
        kinds = [(one.step, one.body["role"]) for one in await at.items(first.conversation_id)]
    assert kinds == [(-1, "user"), (1, "assistant")] * 3


async def test_ids_of_another_tenant_or_of_nobody_are_no_echo(tmp_path: Path) -> None:
    async with office(desk(), tmp_path) as at:
        first = await at.create("one")
        response = await at.ended(first)
        for history, tenant in ((response["output"], "other"), ([{**response["output"][0], "id": "msg_1"}], "")):
            accepted = await at.create([*history, user_message("two")], tenant=tenant)
            assert accepted.conversation_id != first.conversation_id
            assert text_of(await at.ended(accepted)) == "triage: two"


async def test_what_is_not_there_is_refused_in_the_words_of_the_wire(tmp_path: Path) -> None:
    async with office(desk(), tmp_path, start=False) as at:
        with pytest.raises(ConversationNotFound, match="conversation 'conv_1' not found"):
            await at.create("hello", "conv_1")
        with pytest.raises(PreviousResponseNotFound, match="previous response 'resp_1' not found"):
            await at.create("hello", previous_response_id="resp_1")


async def test_an_input_id_is_accepted_once_also_for_a_fork(tmp_path: Path) -> None:
    async with office(desk(), tmp_path) as at:
        first = await at.create("one")
        await at.ended(first)
        await at.ended(await at.create("left", previous_response_id=first.response_id))
        right = [
            await at.create("right", previous_response_id=first.response_id, input_id="i1", digest="d")
            for _ in range(2)
        ]
        assert [one.repeated for one in right] == [False, True]
        assert right[0].response_id == right[1].response_id
        await at.ended(right[0])
        with pytest.raises(IdempotencyMismatch):
            await at.create("wrong", previous_response_id=first.response_id, input_id="i1", digest="other")


# What enters, as a pure function


def entry(*bodies: dict[str, Any], kind: str = "create") -> Entry:
    return Entry(1, kind, "resp_1", None, {"input": list(bodies)})


def stored(item_id: str, step: int, body: dict[str, Any]) -> StoredItem:
    return StoredItem(item_id, "resp_0", step, "completed", "", body)


def test_items_keep_their_ids_unless_another_has_them() -> None:
    known = {"msg_1": stored("msg_1", -1, user_message("old"))}
    found = input_items([entry(*({**user_message(text), "id": "msg_1"} for text in "ab"))], "resp_1", known)
    assert [one.body["content"][0]["text"] for one in found] == ["a", "b"]
    assert len({one.id for one in found} | {"msg_1"}) == 3
    found = input_items([entry({**user_message("a"), "id": "msg_2"})], "resp_1", known)
    assert [one.id for one in found] == ["msg_2"]


def test_an_input_that_is_repeated_under_its_own_id_is_an_echo() -> None:
    old = {**user_message("old"), "id": "msg_1"}
    found = input_items(
        [entry(old, user_message("new"))], "resp_1", {"msg_1": stored("msg_1", -1, user_message("old"))}
    )
    assert [one.body["content"][0]["text"] for one in found] == ["new"]


def test_keys_of_ours_are_not_for_a_client_to_set() -> None:
    (found,) = input_items([entry({**user_message("hi"), "frontdesk:call_id": "notice_1"})], "resp_1", {})
    assert found.body == user_message("hi")


def test_only_inputs_and_messages_become_input() -> None:
    notice = Entry(1, "notice", None, "task_1", {"task": {}})
    message = Entry(2, "message", None, "task_1", {"text": "Hurry."})
    found = input_items([notice, message, entry(user_message("Now."), kind="steer")], "resp_1", {})
    assert [one.body["content"][0]["text"] for one in found] == ["Hurry.", "Now."]
    assert {one.step for one in found} == {-1}
