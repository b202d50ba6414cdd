"""One tenant has filed a hundred thousand tasks, ten others one each. Theirs come in their turn, not at the end."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator

import anyio
import pytest

from frontdesk.broker.database import Database
from frontdesk.broker.filing import Origin
from frontdesk.broker.filing_many import file_many
from frontdesk.broker.merging import Arguments
from frontdesk.tasks.registry import task
from frontdesk.tests.chaos.scale import PATIENCE, scaled
from frontdesk.tests.works import Works, until

MANY = scaled(3_000, 100_000)
AT_ONCE = 1_000  # are filed in one commit
OTHERS = [f"tenant {number}" for number in range(10)]
SLOTS = 4
ROUNDS = 5


@pytest.fixture
def desk(opened: Callable[..., Database]) -> Iterator[Works]:
    found = Works(opened())
    yield found
    for one in found.workers:
        one.stop_blocking(0.0)


class Order:
    """Whose tasks have begun, in their order."""

    def __init__(self, desk: Works) -> None:
        self._desk, self.begun = desk, list[str]()

        @task(name="work", idempotent=True)
        async def work(tenant: str) -> None:
            self.begun.append(tenant)
            await anyio.sleep(0.005)

        self.work = work

    def file(self, tenants: list[str]) -> None:
        for start in range(0, len(tenants), AT_ONCE):
            calls: list[Arguments] = [
                ((self.work.request({"tenant": tenant}, announce="none"), Origin(tenant=tenant)), {})
                for tenant in tenants[start : start + AT_ONCE]
            ]
            self._desk.database.write_blocking(file_many, calls)

    async def waits_of_others(self) -> tuple[int, float]:
        """After how many starts, and seconds, each of the ten has begun that are filed now."""
        before, filed = len(self.begun), time.monotonic()
        self.file(OTHERS)
        await until(lambda: set(OTHERS) <= set(self.begun[before:]), seconds=PATIENCE)
        seconds = time.monotonic() - filed
        return max(self.begun.index(one, before) for one in OTHERS) + 1 - before, seconds


async def test_ten_tenants_with_one_task_each_wait_at_most_twice_as_long_as_alone(desk: Works) -> None:
    order = Order(desk)
    desk.work(order.work, task_slots=SLOTS)
    alone = [await order.waits_of_others() for _ in range(ROUNDS)]
    assert {starts for starts, _ in alone} == {len(OTHERS)}
    order.file(["many"] * MANY)
    await until(lambda: "many" in order.begun, seconds=PATIENCE)
    beside = [await order.waits_of_others() for _ in range(ROUNDS)]
    assert order.begun.count("many") < MANY, "it has not come to its end meanwhile"
    slowest, fastest = max(starts for starts, _ in beside), min(starts for starts, _ in alone)
    taken = 2 * SLOTS  # were claimed before the ten were there, and while they came
    assert slowest <= 2 * fastest + taken, f"after {slowest} starts, alone after {fastest}"
    told = [f"{sorted(seconds for _, seconds in waits)[ROUNDS // 2]:.3f} s" for waits in (alone, beside)]
    print(
        f"\n{MANY} queued by one: ten others begin after {told[1]}, {slowest} starts; alone after {told[0]}, {fastest}"
    )
