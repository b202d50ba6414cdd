"""One house for the tests of a file, an official client of it over HTTP, the record of all answers, which is checked
at the end. These are fixtures: a file that imports them has them.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, Iterator

import pytest
from openai import AsyncOpenAI

from frontdesk.tests.http_record import HTTPRecord
from frontdesk.tests.served import House, open_house


@pytest.fixture(scope="module")
def record() -> Iterator[HTTPRecord]:
    found = HTTPRecord()
    yield found
    found.check()


@pytest.fixture(scope="module")
def house(tmp_path_factory: pytest.TempPathFactory) -> Iterator[House]:
    with open_house(tmp_path_factory.mktemp("house")) as found:
        yield found


@pytest.fixture
async def client(house: House, record: HTTPRecord) -> AsyncGenerator[AsyncOpenAI]:
    async with record.client(house.base_url) as found:
        yield found
