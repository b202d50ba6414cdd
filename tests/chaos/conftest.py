"""What the chaos tests share: an open database whose history is kept, and processes that are ended."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from frontdesk.broker.database import Database
from frontdesk.tests.chaos.history import History
from frontdesk.tests.chaos.processes import Fleet
from frontdesk.tests.store import Store


@pytest.fixture
def store(opened: Callable[..., Database]) -> Store:
    return Store(opened())


@pytest.fixture
def history(store: Store, url: str) -> Iterator[History]:
    found = History(url)
    found.begin()
    yield found
    found.end()


@pytest.fixture
def fleet(url: str, store: Store, tmp_path: Path) -> Iterator[Fleet]:
    found = Fleet(url, tmp_path)
    yield found
    found.stop()
