"""SIGKILL of a server with people connected to it: each of them gets everything, once, however often it dies."""

from __future__ import annotations

import random
from collections import Counter
from functools import partial
from pathlib import Path
from typing import Any

import anyio

from frontdesk.broker.database import Database
from frontdesk.tests.chaos.scale import PATIENCE, SEED, chance, scaled
from frontdesk.tests.invariants import broken
from frontdesk.tests.playback.caller import TERMINAL, Caller, Event
from frontdesk.tests.playback.process import ServerProcess
from frontdesk.tests.store import Store

PEOPLE, INPUTS, KILLS = scaled((5, 4, 4), (25, 40, 80))


class Mortal(ServerProcess):
    """A server that may die as often as the test wants."""

    def revive(self) -> bool:
        self.kills = 0
        return super().revive()


def script(dice: random.Random, number: int) -> list[Any]:
    """Tools, tasks, both side by side, or a handoff."""
    note: list[Any] = ["note", {"text": f"n{number}"}]
    filed: list[Any] = [
        "create_task",
        {"task": {"name": "double", "arguments": {"number": number}}, "title": None, "again": True},
    ]
    moves: list[Any] = [["transfer_to_other", {}]] if number == 1 else [note]
    return dice.choice([[[note], "noted"], [[filed, note], "both"], [[filed], [note], "in turn"], [moves, "moved"]])


class Progress:
    """How many things have been answered, to whom, and who waits for the next."""

    def __init__(self) -> None:
        self.answers: Counter[int] = Counter()  # by person
        self.content: set[int] = set()  # persons who wait for nothing more
        self._more = anyio.Event()

    def add(self, number: int) -> None:
        self.answers[number] += 1
        self._tell()

    def leave(self, number: int) -> None:
        self.content.add(number)
        self._tell()

    def _tell(self) -> None:
        self._more.set()
        self._more = anyio.Event()

    async def until(self, answered: int, since: Counter[int]) -> None:
        """Returns when so many have been answered in all, and everybody something since then."""
        while self.answers.total() < answered or any(
            self.answers[number] <= since[number] for number in since if number not in self.content
        ):
            await self._more.wait()


async def person(server: Mortal, number: int, progress: Progress) -> Caller:
    """Says so many things, one after the other, and waits until its tasks are told."""
    dice = random.Random(f"{SEED}/{number}")
    async with Caller(server) as caller:
        for said in range(INPUTS):
            await caller.say(f"{number}/{said}", script(dice, said))
            progress.add(number)
        await caller.until(partial(told_of_all, caller))
    progress.leave(number)
    return caller


def told_of_all(caller: Caller) -> bool:
    return all(one["status"] == "succeeded" for one in caller.tasks().values()) and all(
        any(label in heard for heard in heard_of(caller)) for label in caller.tasks()
    )


def heard_of(caller: Caller) -> list[str]:
    """The notices that entered the conversation, as the desk shows them."""
    return [
        event["item"]["arguments"]
        for event in caller.events.values()
        if event["type"] == "response.output_item.done" and event["item"].get("name") == "check_task"
    ]


async def killing(server: Mortal, dice: random.Random, progress: Progress) -> None:
    """Kills the server again and again while people talk to it, each time when they have got somewhere. A turn that is
    killed three times is given up, so everybody has been answered since the kill before the last one."""
    before: Counter[int] = Counter()
    last: Counter[int] = Counter()
    moments = sorted(dice.sample(range(1, PEOPLE * INPUTS - PEOPLE), KILLS))
    for moment in moments:
        await progress.until(moment, before)
        await anyio.sleep(dice.uniform(0, 0.05))  # somewhere in the middle of what it does
        before, last = last, Counter({number: progress.answers[number] for number in range(PEOPLE)})
        await anyio.to_thread.run_sync(server.kill)


async def test_people_get_everything_once_however_often_their_server_is_killed(tmp_path: Path) -> None:
    dice = chance(f"{PEOPLE} people say {INPUTS} things each, {KILLS} kills of the server")
    server, progress = Mortal(tmp_path), Progress()
    server.start()
    callers: list[Caller] = []

    async def talk(number: int) -> None:
        callers.append(await person(server, number, progress))

    try:
        with anyio.fail_after(PATIENCE * 2):
            async with anyio.create_task_group() as group:
                group.start_soon(killing, server, dice, progress)
                for number in range(PEOPLE):
                    group.start_soon(talk, number)
    finally:
        server.stop()
    for caller in callers:
        in_order(list(caller.events.values()), caller)
    store = Store(Database.open(f"sqlite:///{tmp_path}/desk.db", durable=False))
    try:
        assert broken(store) == [], f"seed {SEED}"
        ends = Counter(row["status"] for row in store.tasks())
        assert set(ends) == {"succeeded"}, f"seed {SEED}: {ends}"
    finally:
        store.database.close()


def in_order(events: list[Event], caller: Caller) -> None:
    """What one person has been shown: every input answered once, nothing under two numbers, nothing told twice."""
    ends = [event["response"] for event in events if event["type"] in TERMINAL]
    answered = Counter(one["metadata"].get("frontdesk:input_id") for one in ends)
    answered.pop(None, None)  # turns that notices started
    assert len(answered) == INPUTS, f"seed {SEED}: {answered}"
    assert set(answered.values()) == {1}, f"seed {SEED}: {answered}"
    assert {one["status"] for one in ends} == {"completed"}, f"seed {SEED}"
    assert max(Counter(one["id"] for one in ends).values()) == 1, f"seed {SEED}: a response ended twice"
    finished = Counter(event["task"]["id"] for event in events if event["type"] == "frontdesk:task.finished")
    assert set(finished.values()) <= {1}, f"seed {SEED}: {finished}"
    assert len(finished) == len(caller.tasks()), f"seed {SEED}: the end of a task was not told"
    notices = Counter(heard_of(caller))
    assert set(notices.values()) <= {1}, f"seed {SEED}: {notices}"
