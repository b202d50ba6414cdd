"""The inbox and the turns that come of it, on every engine: accepted once, in order, bounded; one live turn each."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import anyio
import pytest

from frontdesk.broker import conversations, inbox, notices, turns
from frontdesk.broker.connection import Connection
from frontdesk.broker.database import Database
from frontdesk.broker.errors import (
    ConversationBusy,
    ConversationNotFound,
    IdempotencyMismatch,
    InboxFull,
    PreviousResponseNotFound,
    ResponseNotActive,
    ResponseNotFound,
)
from frontdesk.broker.inbox import Accepted
from frontdesk.tests.store import Store, at_once


@pytest.fixture
def store(database: Database) -> Store:
    return Store(database)


def begun(store: Store, conversation: str | None = None, **values: Any) -> tuple[Accepted, Any]:
    """A response that is running, and its claim."""
    accepted = store.create(conversation, **values)
    claim = store.claim_turn()
    assert store.begin(claim)[0] == accepted.response_id
    return accepted, claim


# --- creates


def test_an_input_is_committed_with_its_conversation_response_and_turn(store: Store) -> None:
    accepted = store.create(
        metadata={"a": "b"}, request={"model": "desk"}, input=[{"type": "message", "content": "hi"}], stored=False
    )
    assert (accepted.position, accepted.cursor, accepted.repeated) == (0, 0, False)
    conversation = store.about(accepted.conversation_id)
    assert (conversation["meta"], conversation["stored"], conversation["waiting_inputs"]) == ('{"a":"b"}', 0, 1)
    turn = store.turn(accepted.response_id)
    assert (turn["status"], turn["started_by"], turn["request"]) == ("queued", "create", '{"model":"desk"}')
    response, entries = store.run_turn()
    assert response == accepted.response_id
    assert [(one.kind, one.payload) for one in entries] == [
        ("create", {"input": [{"type": "message", "content": "hi"}]})
    ]
    assert store.about(accepted.conversation_id)["waiting_inputs"] == 0


def test_creates_have_their_turns_in_order_one_at_a_time(store: Store) -> None:
    conversation = store.conversation()
    accepted = [store.create(conversation) for _ in range(4)]
    assert [one.position for one in accepted] == [0, 1, 2, 3]
    for one in accepted:
        claim = store.claim_turn()
        assert store.claim(slot="turn", names=["desk"]) == [], "one live turn at a time"
        response, entries = store.begin(claim)
        assert response == one.response_id
        assert [entry.response_id for entry in entries] == [response]
        store.end_turn(claim)
    assert store.claim(slot="turn", names=["desk"]) == []


def test_a_position_counts_the_turn_that_is_running(store: Store) -> None:
    conversation = store.conversation()
    begun(store, conversation)
    assert store.create(conversation).position == 1
    assert store.create(conversation).position == 2


def test_a_repeat_of_an_input_id_gets_the_first_ones_outcome(store: Store) -> None:
    first = store.create(input_id="one", digest="d")
    again = store.create(input_id="one", digest="d")
    assert again == Accepted(first.response_id, first.conversation_id, "one", 0, 0, repeated=True)
    other = store.create(input_id="one", digest="d", tenant="other")
    assert other.response_id != first.response_id, "ids are a tenant's own"
    with pytest.raises(IdempotencyMismatch, match="'one' was used before with other content"):
        store.create(input_id="one", digest="e")
    assert len(store.turns()) == 2


@pytest.mark.parametrize("known", [True, False], ids=["in one conversation", "in a new one"])
def test_fifty_repeats_at_once_are_one_response(opened: Callable[..., Database], known: bool) -> None:
    stores = [Store(opened()) for _ in range(2)]
    conversation = stores[0].conversation() if known else None
    found = at_once(50, lambda n: stores[n % 2].create(conversation, input_id="once", digest="d"))
    assert len({one.response_id for one in found}) == 1
    assert sum(not one.repeated for one in found) == 1
    assert len(stores[0].turns()) == 1
    assert len(stores[0].inbox(found[0].conversation_id)) == 1
    assert stores[0].about(found[0].conversation_id)["waiting_inputs"] == 1


def test_a_full_inbox_refuses_and_takes_again_when_a_turn_has_begun(store: Store) -> None:
    conversation = store.conversation()
    for _ in range(3):
        store.create(conversation, limit=3)
    with pytest.raises(InboxFull, match="3 inputs"):
        store.create(conversation, limit=3, input_id="refused")
    assert len(store.turns()) == 3, "nothing of it is left"
    assert store.about(conversation)["last_input"] == 3
    store.begin(store.claim_turn())
    assert not store.create(conversation, limit=3, input_id="refused").repeated


def test_a_notice_always_fits(store: Store) -> None:
    conversation = store.conversation()
    for _ in range(2):
        store.create(conversation, limit=2)
    store.finish(store.started(conversation))
    assert len(store.inbox(conversation, "notice")) == 1
    store.run_turn()
    assert store.create(conversation, limit=2).position == 1, "notices are not counted as clients' inputs"


def test_a_busy_conversation_rejects_when_it_is_asked_to(store: Store) -> None:
    conversation = store.conversation()
    assert store.create(conversation, when_busy="reject").position == 0
    with pytest.raises(ConversationBusy):
        store.create(conversation, when_busy="reject")
    assert len(store.turns()) == 1
    store.run_turn()
    store.create(conversation, when_busy="reject")


def test_an_interrupting_input_has_the_running_turn_cancelled_and_waits_for_it(store: Store) -> None:
    conversation = store.conversation()
    _, claim = begun(store, conversation)
    second = store.create(conversation, when_busy="interrupt")
    assert store.row(claim.task_id)["cancel_requested"] == 1
    assert store.claim(slot="turn", names=["desk"]) == []
    store.end_turn(claim)
    assert store.run_turn()[0] == second.response_id


def test_what_does_not_exist_or_is_another_tenants_is_not_found(store: Store) -> None:
    accepted = store.create(tenant="acme")
    for conversation in ("conv_none", accepted.conversation_id):
        with pytest.raises(ConversationNotFound):
            store.create(conversation)
    for response in ("resp_none", accepted.response_id):
        with pytest.raises(PreviousResponseNotFound):
            store.create(previous_response_id=response)
        with pytest.raises(ResponseNotFound):
            store.steer(response)


def test_a_delegated_runs_conversation_takes_no_input_of_clients(store: Store) -> None:
    """It has only that run: a response there would never have its turn."""
    run = store.started(kind="agent")
    conversation = store.conversation(parent_task=run.task_id)
    with pytest.raises(ConversationNotFound):
        store.create(conversation)

    def respond(conn: Connection) -> None:
        turns.add(conn, {"id": "resp_run", "conversation_id": conversation, "task_id": run.task_id})

    store.do(respond)
    with pytest.raises(PreviousResponseNotFound):
        store.create(previous_response_id="resp_run")


def test_continuing_a_response_joins_its_conversation(store: Store) -> None:
    first = store.create()
    store.run_turn()
    assert not store.see(conversations.is_continued, first.response_id, first.conversation_id)
    second = store.create(previous_response_id=first.response_id)
    assert second.conversation_id == first.conversation_id
    assert store.turn(second.response_id)["previous_id"] == first.response_id
    assert store.see(conversations.is_continued, first.response_id, first.conversation_id)


# --- steers


def test_a_steer_ends_in_a_successor_that_goes_before_what_waits(store: Store) -> None:
    conversation = store.conversation()
    running, claim = begun(store, conversation)
    waiting = store.create(conversation)
    steer = store.steer(running.response_id)
    assert store.see(inbox.has_steer, conversation, running.response_id)
    assert store.turn(steer.response_id)["previous_id"] == running.response_id
    store.end_turn(claim)
    response, entries = store.run_turn()
    assert response == steer.response_id
    assert [entry.kind for entry in entries] == ["steer"]
    assert store.run_turn()[0] == waiting.response_id


def test_further_steers_join_the_same_successor(store: Store) -> None:
    running, claim = begun(store)
    found = [store.steer(running.response_id, input=[{"n": n}]) for n in range(3)]
    assert len({one.response_id for one in found}) == 1
    assert len({one.steer_id for one in found}) == 3
    store.end_turn(claim)
    _, entries = store.run_turn()
    assert [entry.payload["input"] for entry in entries] == [[{"n": 0}], [{"n": 1}], [{"n": 2}]]
    assert store.about(running.conversation_id)["waiting_inputs"] == 0


@pytest.mark.parametrize("joins", [False, True], ids=["the first steer", "one that joins"])
def test_a_repeated_steer_is_accepted_once(store: Store, joins: bool) -> None:
    running, claim = begun(store)
    if joins:
        store.steer(running.response_id, input_id="before", digest="b")
    first = store.steer(running.response_id, input_id="one", digest="d")
    again = store.steer(running.response_id, input_id="one", digest="d")
    assert (again.steer_id, again.response_id, again.cursor) == (first.steer_id, first.response_id, first.cursor)
    assert again.repeated
    with pytest.raises(IdempotencyMismatch):
        store.steer(running.response_id, input_id="one", digest="other")
    with pytest.raises(IdempotencyMismatch):
        store.create(input_id="one", digest="a create's")
    store.end_turn(claim)
    assert store.steer(running.response_id, input_id="one", digest="d").repeated, "also when it could not be steered"
    assert len(store.run_turn()[1]) == 1 + joins


def test_fifty_repeats_of_a_steer_at_once_are_one_input(opened: Callable[..., Database]) -> None:
    stores = [Store(opened()) for _ in range(2)]
    running, _ = begun(stores[0])
    stores[0].steer(running.response_id)
    found = at_once(50, lambda n: stores[n % 2].steer(running.response_id, input_id="once", digest="d"))
    assert len({(one.steer_id, one.response_id) for one in found}) == 1
    assert len(stores[0].inbox(running.conversation_id, "steer")) == 2


def test_a_steers_id_that_a_create_has_used_is_a_mismatch(store: Store) -> None:
    running, _ = begun(store, input_id="one", digest="d")
    with pytest.raises(IdempotencyMismatch):
        store.steer(running.response_id, input_id="one", digest="s")


def test_a_response_that_has_ended_takes_no_steer(store: Store) -> None:
    running, claim = begun(store)
    store.end_turn(claim)
    with pytest.raises(ResponseNotActive, match="is completed: it takes no more input"):
        store.steer(running.response_id)
    assert store.about(running.conversation_id)["waiting_inputs"] == 0


def test_a_full_inbox_refuses_a_steer(store: Store) -> None:
    running, _ = begun(store)
    store.steer(running.response_id, limit=1)
    with pytest.raises(InboxFull):
        store.steer(running.response_id, limit=1)


def test_a_steer_of_a_response_that_waits_comes_after_it(store: Store) -> None:
    conversation = store.conversation()
    _, claim = begun(store, conversation)
    second, third = store.create(conversation), store.create(conversation)
    steer = store.steer(third.response_id)
    store.end_turn(claim)
    assert [store.run_turn()[0] for _ in range(3)] == [second.response_id, third.response_id, steer.response_id]


# --- notices


def test_a_finished_task_starts_a_turn_in_an_idle_conversation(store: Store) -> None:
    conversation = store.conversation()
    claim = store.started(conversation)
    store.finish(claim, result="5")
    turn = store.claim_turn()
    response, entries = store.begin(turn)
    assert [(one.kind, one.target_id) for one in entries] == [("notice", claim.task_id)]
    found = store.turn(response)
    assert (found["started_by"], found["triggers"]) == ("notice", claim.task_id)


def test_people_go_before_notices(store: Store) -> None:
    conversation = store.conversation()
    _, claim = begun(store, conversation)
    store.finish(store.started(conversation))
    create = store.create(conversation)
    store.end_turn(claim)
    response, entries = store.run_turn()
    assert response == create.response_id
    assert [one.kind for one in entries] == ["notice", "create"], "what came first is read first"
    assert store.claim(slot="turn", names=["desk"]) == [], "the notice was taken along"


def test_a_turn_takes_its_own_input_and_all_notices_in_their_order(store: Store) -> None:
    conversation = store.conversation()
    _, claim = begun(store, conversation)
    store.finish(store.started(conversation))
    mine = store.create(conversation)
    store.finish(store.started(conversation, announce="note"))
    store.create(conversation)
    store.end_turn(claim)
    response, entries = store.run_turn()
    assert response == mine.response_id
    assert [one.kind for one in entries] == ["notice", "create", "note"]
    assert [one.number for one in entries] == sorted(one.number for one in entries)


def test_a_note_waits_for_the_next_turn(store: Store) -> None:
    conversation = store.conversation()
    store.finish(store.started(conversation, announce="note"))
    assert store.claim(slot="turn", names=["desk"]) == []
    store.create(conversation)
    assert [one.kind for one in store.run_turn()[1]] == ["note", "create"]


def test_so_many_turns_in_a_row_may_start_without_a_person(store: Store) -> None:
    conversation = store.conversation(unattended_limit=2)
    for _ in range(2):
        store.finish(store.started(conversation))
        store.run_turn()
    store.finish(store.started(conversation))
    assert store.claim(slot="turn", names=["desk"]) == []
    store.create(conversation)
    assert [one.kind for one in store.run_turn()[1]] == ["notice", "create"]
    store.finish(store.started(conversation))
    assert store.run_turn()[1][0].kind == "notice", "a person's turn starts the count again"


def test_input_wakes_a_turn_that_is_parked(store: Store) -> None:
    conversation = store.conversation()
    task = store.started(conversation)
    _, claim = begun(store, conversation)
    assert store.park(claim, task.task_id)
    store.create(conversation)
    assert store.see(inbox.has_input, conversation)
    again = store.claim_turn()
    assert (again.task_id, again.attempt) == (claim.task_id, 1)
    assert store.edges() == []
    store.finish(task)
    assert store.status(again) == "running"


def test_a_note_does_not_wake_a_turn_that_is_parked(store: Store) -> None:
    conversation = store.conversation()
    tasks = [store.started(conversation, announce="note") for _ in range(2)]
    _, claim = begun(store, conversation)
    assert store.park(claim, tasks[0].task_id)
    store.finish(tasks[1])
    assert store.status(claim) == "waiting"
    store.finish(tasks[0])
    assert store.status(claim) == "queued"


def test_what_arrives_for_a_delegated_run_wakes_it(store: Store) -> None:
    run = store.started(kind="agent")
    conversation = store.conversation(parent_task=run.task_id)
    child = store.started(conversation, parent=run)
    assert store.park(run, seconds=3600)
    store.do(notices.put, conversation, run.task_id, {"text": "faster"}, "message")
    assert store.see(inbox.has_input, conversation)
    again = store.claim_one(names=["started"])
    assert again.task_id == run.task_id
    entries = store.do(inbox.take, conversation, "resp_run")
    assert [(one.kind, one.payload) for one in entries] == [("message", {"text": "faster"})]
    assert store.park(again, seconds=3600)
    store.finish(child)
    assert store.status(run) == "queued"
    assert store.claim(slot="turn", names=["desk"]) == [], "that conversation has no turns of its own"


def test_a_notice_for_a_conversation_that_is_gone_is_dropped(store: Store) -> None:
    conversation = store.conversation()
    store.forget(conversation)
    store.do(notices.put, conversation, "task_1", {}, "notice")
    assert store.inbox(conversation) == []


async def test_whoever_listens_is_woken_for_new_input(database: Database) -> None:
    store = Store(database)
    conversation = store.conversation()
    input_came, turn_came = asyncio.Event(), asyncio.Event()
    listening = [
        database.hub.listen("input", conversation, input_came.set),
        database.hub.listen("ready", "turn", turn_came.set),
    ]
    store.create(conversation)
    with anyio.fail_after(10):
        await input_came.wait()
        await turn_came.wait()
    for one in listening:
        one.stop()
