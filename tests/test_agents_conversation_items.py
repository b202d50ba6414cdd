"""Conversations as clients keep them, responses read back, and dialogs found again, on every engine."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest

from frontdesk.agents import conversation_items, deletion, dialogs, items, retrieval
from frontdesk.agents.dialogs import Dialog
from frontdesk.agents.history import StoredItem
from frontdesk.broker import inbox, queue, turns
from frontdesk.broker.connection import Connection
from frontdesk.broker.database import Database
from frontdesk.broker.errors import ConversationBusy, ConversationNotFound, ItemNotFound, ResponseNotFound
from frontdesk.broker.inbox import NewCreate
from frontdesk.tasks.states import Action


def said(text: str) -> dict[str, Any]:
    return {"type": "message", "role": "user", "content": [{"type": "input_text", "text": text}]}


def texts(found: Sequence[StoredItem]) -> list[str]:
    return [one.body["content"][0]["text"] for one in found]


def asked(conn: Connection, conversation_id: str | None = None, dialog: str | None = None) -> tuple[str, str]:
    """Response and conversation of an input."""
    new = NewCreate(
        tenant="a", desk="front", input=[said("x")], request={}, conversation_id=conversation_id, dialog=dialog
    )
    found = inbox.accept_create(conn, new)
    return found.response_id, found.conversation_id


def answered(conn: Connection, answer: str) -> None:
    """Ends the turn that waits, with this answer."""
    (claim,) = queue.claim(conn, "turn", ["front"], "hand", 600.0, 1)
    turn = turns.of_task(conn, claim.task_id)
    assert turn is not None
    inbox.take(conn, turn["conversation_id"], turn["id"])
    body = {"type": "message", "role": "assistant", "content": [{"type": "output_text", "text": answer}]}
    last = conn.one(conversation_items.COUNT_ON, {"id": turn["conversation_id"], "count": 1})
    assert last is not None
    one = StoredItem(f"msg_{turn['id']}", turn["id"], 0, "completed", "front", body)
    items.insert(conn, turn["conversation_id"], int(last[0]) - 1, [one])
    conn.script(f"UPDATE frontdesk_turn SET status = 'completed' WHERE id = '{turn['id']}'")
    queue.finish(conn, claim, Action.SUCCEED)


def body_of(conn: Connection, response_id: str) -> Any:
    turn = turns.read(conn, response_id)
    assert turn is not None
    return retrieval.body_of(conn, turn)


def test_a_history_is_kept_paged_and_changed(database: Database) -> None:
    write, read = database.write_blocking, database.read_blocking
    made = write(conversation_items.start_conversation, "a", "front", {"k": "v"}, [said("1"), said("2")])
    assert made.metadata == {"k": "v"}
    write(conversation_items.add_items, made.id, "a", [said("3")])
    page: Any = {"after": "", "limit": 10, "newest_first": False}
    found = read(conversation_items.page, made.id, "a", **page)
    assert texts(found) == ["1", "2", "3"]
    backwards: Any = {**page, "newest_first": True, "limit": 2}
    newest = read(conversation_items.page, made.id, "a", **backwards)
    assert texts(newest) == ["3", "2"]
    backwards |= {"limit": 10, "after": newest[-1].id}
    rest = read(conversation_items.page, made.id, "a", **backwards)
    assert texts(rest) == ["1"]
    write(conversation_items.delete_item, made.id, "a", found[1].id)
    assert texts(read(conversation_items.page, made.id, "a", **page)) == ["1", "3"]
    with pytest.raises(ItemNotFound):
        write(conversation_items.delete_item, made.id, "a", found[1].id)
    assert write(conversation_items.update_conversation, made.id, "a", {}).metadata == {}
    for tenant in ("b", ""):
        with pytest.raises(ConversationNotFound):
            read(conversation_items.about, made.id, tenant)


def test_while_a_turn_is_live_nothing_of_it_is_changed_or_deleted(database: Database) -> None:
    write = database.write_blocking
    response_id, conversation_id = write(asked)
    with pytest.raises(ConversationBusy):
        write(conversation_items.add_items, conversation_id, "a", [said("between")])
    with pytest.raises(ConversationBusy):
        write(deletion.delete_response, response_id, "a")
    with pytest.raises(ConversationBusy):
        write(deletion.delete_conversation, conversation_id, "a")
    assert database.read_blocking(body_of, response_id)["status"] == "queued"
    write(answered, "done")
    assert database.read_blocking(body_of, response_id)["status"] == "completed"
    write(deletion.delete_response, response_id, "a")
    with pytest.raises(ResponseNotFound):
        write(deletion.delete_response, response_id, "a")
    write(deletion.delete_conversation, conversation_id, "a")
    with pytest.raises(ConversationNotFound):
        write(deletion.delete_conversation, conversation_id, "a")


def test_a_dialog_goes_on_from_the_response_that_gave_its_last_answer(database: Database) -> None:
    write, read = database.write_blocking, database.read_blocking
    first, there = write(asked, dialog="d1")
    write(answered, "good day")
    second, _ = write(asked, dialog="d1")
    write(answered, "good day")
    other, _ = write(asked, dialog="d1")
    write(answered, "good night")
    dialog = Dialog(now="d2", before="d1", said="good day", new=1)
    assert read(dialogs.answered_by, "a", dialog) == second, "the newest"
    assert read(dialogs.answered_by, "b", dialog) is None
    assert read(dialogs.answered_by, "a", Dialog(now="d2", before="d1", said="good n")) == other, (
        "stopped in the middle"
    )
    assert read(dialogs.answered_by, "a", Dialog(now="d2", before="d1", said="nothing of it")) is None
    assert read(dialogs.answered_by, "a", Dialog(now="d2", before="d0", said="good day")) is None
    new = NewCreate(tenant="a", desk="front", input=[said("x")], request={}, previous_response_id=second)
    write(inbox.accept_create, new)
    assert read(dialogs.answered_by, "a", dialog) == first, "one that nobody has gone on from"
    assert there
