"""docs/protocol.md is what the types and a real server say today."""

from __future__ import annotations

from frontdesk.tests.protocol_page import PAGE, page


async def test_the_page_is_in_step_with_the_code() -> None:
    assert await page() == PAGE.read_text("utf-8"), "python -m frontdesk.tests.protocol_page writes it anew"
