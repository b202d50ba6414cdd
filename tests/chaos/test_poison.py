"""Poison: task functions that take their worker with them. They are held in the end, and the queue moves on."""

from __future__ import annotations

from frontdesk.broker.queue import Origin, enqueue
from frontdesk.tests.chaos import poison, works
from frontdesk.tests.chaos.history import History
from frontdesk.tests.chaos.processes import Fleet
from frontdesk.tests.chaos.scale import SEED, chance, scaled
from frontdesk.tests.chaos.waiting import until
from frontdesk.tests.invariants import broken
from frontdesk.tests.store import Store

POISON = ("exits", "killed", "overflows", "swells")
INNOCENT, EACH = scaled((30, 1), (2_000, 20))
KEYS = 4
MEMORY = 8 << 30


def test_poison_is_held_after_its_attempts_and_everything_else_is_done(
    store: Store, history: History, fleet: Fleet
) -> None:
    dice = chance("poison")
    conversations = [store.conversation(unattended_limit=0) for _ in range(max(2, INNOCENT // 100))]
    names = ["again"] * INNOCENT + list(POISON) * EACH
    dice.shuffle(names)
    for number, name in enumerate(names):
        function = works.again if name == "again" else poison.FUNCTIONS[name]
        given = {"number": number} if name == "again" else {}
        key = f"key {number % KEYS}" if number % 3 else None  # the innocent behind poison wait for its key to be free
        request = function.request(given, announce="note", concurrency_key=key)
        store.do(enqueue, request, Origin(conversation_id=dice.choice(conversations)))
    workers = [fleet.worker(task_slots=4, memory=MEMORY) for _ in range(2)]
    deaths = 0

    def over() -> bool:
        nonlocal deaths
        deaths += sum(one.revive() for one in workers)
        return history.live() == 0

    until(over, fleet.logs)
    for one in workers:
        one.end()
    lost = "worker lost in each of 3 attempts"
    ends = {("again", "succeeded", None), *((name, "held", lost) for name in POISON)}
    swelled = ("swells", "held", "MemoryError: no message (after 3 attempts)")  # when nothing killed it beforehand
    rows = store.tasks()
    assert len(rows) == len(names)
    found = {(row["name"], row["status"], row["error"]) for row in rows}
    assert found | {swelled, ("swells", "held", lost)} == ends | {swelled}, f"seed {SEED}\n{fleet.logs()}"
    assert history.twice() == []
    assert broken(store) == []
    print(f"{deaths} workers died, {len(rows)} tasks ended")
