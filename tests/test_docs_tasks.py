"""The program in docs/tasks.md does what the page says."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from pydantic_core import from_json

from frontdesk.broker.database import Database
from frontdesk.tests.works import Works

PAGE = (Path(__file__).resolve().parent.parent / "docs" / "tasks.md").read_text("utf-8")


@pytest.fixture
def works(sqlite_url: str) -> Iterator[Works]:
    database = Database.open(sqlite_url, durable=False)
    found = Works(database)
    yield found
    for one in found.workers:
        one.stop_blocking(0.0)
    database.close()


@pytest.mark.parametrize(("said", "status"), [("yes", "succeeded"), ("no", "failed")])
async def test_the_report_collects_asks_and_is_sent(works: Works, said: str, status: str) -> None:
    (code,) = re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL)
    names: dict[str, Any] = {"__name__": "program"}
    exec(compile(code, "docs/tasks.md", "exec", dont_inherit=True), names)
    works.work(names["report"], names["collect"], task_slots=1)
    task_id = works.file(names["report"], {"shops": ["east", "closed", "west"], "month": "2026-10"})
    row = await works.until(task_id, lambda row: row["question"] is not None)
    assert row["question"] == "60 refunds. Send them?"
    works.store.answer(task_id, said)
    row = await works.ended(task_id)
    assert row["status"] == status
    if said == "yes":
        assert from_json(row["result"]) == {"total": 60, "receipt": 7}
    else:
        assert row["error"] == "nobody agreed"
