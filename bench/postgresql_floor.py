"""A queue on PostgreSQL by hand: asyncpg, ten connections, a hundred rows in each statement. A floor.

Insert, claim under a lease with SKIP LOCKED, complete: the three writes of a queue that runs each job at least once. No
retries, options, events, order among owners, wake-ups or JSON.
"""

from __future__ import annotations

import asyncio
import importlib
from typing import Any

from .figures import Figures
from .hits import now

CONNECTIONS, BATCH = 10, 100
PAYLOAD = b'{"filed": 12345.678}'
TABLES = """
CREATE TABLE job (id bigserial PRIMARY KEY, state int NOT NULL DEFAULT 0, payload bytea NOT NULL,
    run_at float8 NOT NULL DEFAULT 0, lease float8, done float8);
CREATE INDEX job_claim ON job (run_at, id) WHERE state = 0;
"""
INSERT = "INSERT INTO job (payload) SELECT unnest($1::bytea[])"
CLAIM = """UPDATE job SET state = 1, lease = $1 WHERE id IN (SELECT id FROM job WHERE state = 0 AND run_at <= $2
    ORDER BY run_at, id LIMIT $3 FOR UPDATE SKIP LOCKED) RETURNING id, payload"""
FINISH = "UPDATE job SET state = 2, done = $1 WHERE id = any($2)"


async def measured(url: str, jobs: int) -> Figures:
    """Files so many jobs, then claims and completes them."""
    connect: Any = importlib.import_module("asyncpg").connect
    connections: list[Any] = [await connect(url) for _ in range(CONNECTIONS)]
    await connections[0].execute(TABLES)
    batches = iter(range(jobs // BATCH))

    async def file(connection: Any) -> None:
        for _ in batches:
            await connection.execute(INSERT, [PAYLOAD] * BATCH)

    async def work(connection: Any) -> None:
        while claimed := await connection.fetch(CLAIM, now() + 60, now(), BATCH):
            await connection.execute(FINISH, now(), [row["id"] for row in claimed])

    began = now()
    await asyncio.gather(*(file(one) for one in connections))
    filed = now()
    await connections[0].execute("ANALYZE job")  # what autovacuum would have done
    analysed = now()
    await asyncio.gather(*(work(one) for one in connections))
    drained = now()
    for one in connections:
        await one.close()
    return {"enqueue": jobs / (filed - began), "drain": jobs / (drained - analysed)}
