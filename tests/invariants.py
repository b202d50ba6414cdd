"""What must be true of a database between any two commits, whatever has happened: no notice lost or doubled, nobody
left asleep, no input forgotten."""

from __future__ import annotations

from collections import Counter, defaultdict
from typing import Any

from frontdesk.tasks.states import TERMINAL
from frontdesk.tests.store import Store

LIVE = ("queued", "running", "waiting")


def broken(store: Store) -> list[str]:
    """What is wrong; nothing, for a database that is in order."""
    tasks = {row["id"]: row for row in store.tasks()}
    wrong = _rows(tasks) + _waits(store, tasks) + _line(store, tasks)
    conversations = {row["conversation_id"] for row in tasks.values()} - {None}
    for conversation in sorted(conversations):
        of = [row for row in tasks.values() if row["conversation_id"] == conversation]
        wrong += [f"{conversation}: {what}" for what in _conversation(store, conversation, of)]
    return wrong


def _rows(tasks: dict[str, dict[str, Any]]) -> list[str]:
    wrong: list[str] = []
    for row in tasks.values():
        running = row["status"] == "running"
        if (row["lease_until"] is not None) != running or bool(row["owner"]) != running:
            wrong.append(f"{row['id']} is {row['status']} with owner {row['owner']!r}, lease {row['lease_until']}")
        if (row["finished_at"] is not None) != (row["status"] in TERMINAL):
            wrong.append(f"{row['id']} is {row['status']} and finished at {row['finished_at']}")
        if row["status"] == "waiting" and row["cancel_requested"]:
            wrong.append(f"{row['id']} sleeps although it is to be cancelled")
    return wrong


def _line(store: Store, tasks: dict[str, dict[str, Any]]) -> list[str]:
    wrong = [f"{row['id']} is {row['status']} and held: {row['held']}" for row in tasks.values()
             if row["held"] and row["status"] != "queued"]  # fmt: skip
    keyed = [row for row in tasks.values() if row["concurrency_key"] is not None]
    inside = [row for row in keyed if row["status"] == "running" or (row["status"] == "queued" and not row["held"])]
    counted = Counter(row["concurrency_key"] for row in inside)
    if dict(counted) != store.limits():
        wrong.append(f"of each concurrency key {dict(counted)} are in line or running, counted are {store.limits()}")
    for row in keyed:
        if row["held"] == "limit" and counted[row["concurrency_key"]] < row["concurrency_limit"]:
            wrong.append(f"{row['id']} is held although its key {row['concurrency_key']} is free")
    return wrong


def _waits(store: Store, tasks: dict[str, dict[str, Any]]) -> list[str]:
    wrong: list[str] = []
    awaited: defaultdict[str, list[str]] = defaultdict(list)
    for waiter, one in store.edges():
        awaited[waiter].append(one)
    for waiter, of in awaited.items():
        if tasks[waiter]["status"] != "waiting":
            wrong.append(f"{waiter} is {tasks[waiter]['status']} and still waits for {of}")
        wrong += [f"{waiter} waits for {one}, which has ended" for one in of if tasks[one]["status"] in TERMINAL]
    for row in tasks.values():
        if row["waiting_for"] == "tasks" and not 0 < row["waits_left"] <= len(awaited[row["id"]]):
            wrong.append(f"{row['id']} sleeps for {row['waits_left']} of {len(awaited[row['id']])} tasks")
    return wrong


def _conversation(store: Store, conversation: str, tasks: list[dict[str, Any]]) -> list[str]:
    wrong: list[str] = []
    about = store.about(conversation)
    inbox = store.inbox(conversation)
    turns = [row for row in tasks if row["kind"] == "turn" and row["status"] in LIVE]
    if len(turns) > 1:
        wrong.append(f"{len(turns)} live turns")
    people = [one for one in inbox if one.taken_by is None and one.kind in ("create", "steer")]
    notices = [one for one in inbox if one.taken_by is None and one.kind == "notice"]
    if about["waiting_inputs"] != len(people):
        wrong.append(f"{about['waiting_inputs']} inputs are counted, {len(people)} wait")
    idle = not turns and about["parent_task"] is None
    if idle and people:
        wrong.append(f"it is idle, and {len(people)} inputs wait")
    if idle and notices and about["unattended"] < about["unattended_limit"]:
        wrong.append(f"it is idle, and {len(notices)} notices wait")
    ends = [one for one in inbox if one.kind in ("notice", "note") and one.payload["task"]["status"] in TERMINAL]
    announced = Counter(one.target_id for one in ends)  # questions are announced too
    log = store.log(conversation)
    finished = Counter(one["task"]["id"] for one in log if one["type"] == "frontdesk:task.finished")
    for row in tasks:
        if row["kind"] == "turn":
            continue
        ended = int(row["status"] in TERMINAL)
        if row["announce"] != "none" and announced[row["id"]] != ended:
            wrong.append(f"{row['label']} is {row['status']} and announced {announced[row['id']]} times")
        if finished[row["id"]] != ended:
            wrong.append(f"{row['label']} is {row['status']} and has {finished[row['id']]} final events")
    cursors = [int(one["cursor"]) for one in log]
    if cursors != sorted(set(cursors)) or (cursors and cursors[-1] > about["last_cursor"]):
        wrong.append(f"its log has the cursors {cursors}")
    return wrong
