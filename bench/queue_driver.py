"""How a queue is driven, the same for all: filed by 50 callers, drained, filed and drained at once, one job at a time.

``enqueue``: jobs filed per second by 50 callers, while no worker runs. ``drain``: a worker with 50 slots is started
then; from the first line of the first job to the commit of the last (to its first line, where the worker is a process
of its own), and ``cpu`` is this process's time for each. ``mixed``: the callers file for a worker that is running.
``start_p50``: an idle warm worker, one job every 20 ms, from the call that files it to its first line.
"""

from __future__ import annotations

import asyncio
import time
from pathlib import Path
from typing import Protocol

from .figures import Figures, quantile
from .hits import Hits, now

CALLERS = 50
GAP_SECONDS = 0.02
REST_SECONDS = 0.3


class Peer(Protocol):
    """A queue under test. ``start`` starts its worker."""

    async def open(self) -> None: ...
    async def enqueue(self, caller: int) -> None: ...
    async def start(self) -> None: ...
    async def stop(self) -> None: ...
    async def settled(self) -> bool:
        """Returns when every job that has begun is finished for good; False when that cannot be seen from here."""
        ...

    async def close(self) -> None: ...


async def file_all(peer: Peer, jobs: int) -> float:
    """Files so many jobs from all callers; how many per second."""
    left = iter(range(jobs))

    async def call(caller: int) -> None:
        for _ in left:
            await peer.enqueue(caller)

    began = now()
    await asyncio.gather(*(call(caller) for caller in range(CALLERS)))
    return jobs / (now() - began)


async def measured(peer: Peer, hits: Hits, *, tasks: int, probes: int) -> Figures:
    """Everything about one queue, in the order of the text above."""
    await peer.open()
    try:
        await file_all(peer, CALLERS)  # warms up
        await peer.start()
        await hits.reached(CALLERS)
        await peer.stop()
        hits.forget()
        enqueued = await file_all(peer, tasks)
        used = time.process_time()
        await peer.start()
        times = await hits.reached(tasks)
        settled = await _settled(peer)
        used = time.process_time() - used
        first, last = min(begun for _, begun in times), max(begun for _, begun in times)
        drained = tasks / ((settled or last) - first)
        mixed = await _mixed(peer, hits, tasks // 2)
        waits = await _waits(peer, hits, probes)
        await peer.stop()
    finally:
        await peer.close()
    return {
        "enqueue": enqueued,
        "drain": drained,
        "mixed": mixed,
        "cpu": used / tasks * 1e6,
        "start_p50": quantile(waits, 0.5),
        "start_p99": quantile(waits, 0.99),
    }


async def _settled(peer: Peer) -> float | None:
    """When it was; None when that cannot be seen from here."""
    return now() if await peer.settled() else None


async def _mixed(peer: Peer, hits: Hits, jobs: int) -> float:
    hits.forget()
    began = now()
    await file_all(peer, jobs)
    times = await hits.reached(jobs)
    return jobs / (max(begun for _, begun in times) - began)


async def _waits(peer: Peer, hits: Hits, probes: int) -> list[float]:
    """Milliseconds from filing to the first line."""
    await asyncio.sleep(REST_SECONDS)  # whoever writes in the background has written
    hits.forget()
    for _ in range(probes):
        await peer.enqueue(0)
        await asyncio.sleep(GAP_SECONDS)
    return [(begun - filed) * 1e3 for filed, begun in await hits.reached(probes)]


def hits_in(folder: str | Path) -> Hits:
    """An empty record in a folder."""
    return Hits(Path(folder) / "hits")
