"""A server killed just before and just after each commit that only requests over HTTP make: asked once more, it has
done what was asked.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, Awaitable, Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any, TypeAlias

import anyio
import openai
import pytest
from anyio import to_thread
from openai import AsyncOpenAI

from frontdesk.agents import conversation_items, deletion
from frontdesk.broker.failpoints import operations
from frontdesk.tests.playback.process import ServerProcess

Step: TypeAlias = Callable[[], Awaitable[Any]]
SAID: Any = [{"role": "user", "content": "kept"}, {"role": "user", "content": "dropped"}]
KILLED = (
    conversation_items.start_conversation, conversation_items.update_conversation, conversation_items.add_items,
    conversation_items.delete_item, deletion.delete_response, deletion.delete_conversation,
)  # fmt: skip
SCRIPT = '["said"]'  # what the playback model says


@pytest.fixture
def server(tmp_path: Path) -> Iterator[ServerProcess]:
    process = ServerProcess(tmp_path)
    yield process
    process.stop()


@pytest.fixture
async def client(server: ServerProcess) -> AsyncGenerator[AsyncOpenAI]:
    async with AsyncOpenAI(base_url=f"http://127.0.0.1:{server.port}/v1", api_key="any", max_retries=0) as found:
        yield found


async def until_up(server: ServerProcess) -> None:
    """Until it takes connections."""
    with anyio.fail_after(20):
        while True:
            with suppress(OSError):
                await (await anyio.connect_tcp("127.0.0.1", server.port)).aclose()
                return
            await anyio.sleep(0.005)


async def until_dead(server: ServerProcess) -> bool:
    """Starts it again when it has died; whether it had."""
    with anyio.move_on_after(20):
        await to_thread.run_sync(server.join)
        return server.revive()
    return False


async def through(server: ServerProcess, failpoint: str, step: Step) -> Any:
    """What the step comes to when the server is killed in it, started again, and asked once more."""
    if server.started:
        server.kill()
    server.start(failpoint)
    await until_up(server)
    with pytest.raises(openai.APIConnectionError):
        await step()
    server.kills = 0
    assert await until_dead(server), f"{failpoint} was never reached"
    await until_up(server)
    try:
        return await step()
    except openai.NotFoundError:
        assert failpoint.startswith("after:delete_"), "only what was deleted may be gone"
        return None


@pytest.mark.parametrize("side", ["before", "after"])
async def test_killed_at_a_commit_what_was_asked_is_done_once(
    server: ServerProcess, client: AsyncOpenAI, side: str
) -> None:
    assert {one.__name__ for one in KILLED} <= operations()
    items, conversations = client.conversations.items, client.conversations
    made = await through(server, f"{side}:start_conversation", lambda: conversations.create(items=SAID[:1]))
    await through(server, f"{side}:update_conversation", lambda: conversations.update(made.id, metadata={"k": "v"}))
    assert (await conversations.retrieve(made.id)).metadata == {"k": "v"}
    dropped: Any = {**SAID[1], "id": "msg_dropped"}
    await through(server, f"{side}:add_items", lambda: items.create(made.id, items=[dropped]))
    await through(server, f"{side}:delete_item", lambda: items.delete("msg_dropped", conversation_id=made.id))
    listed: list[Any] = [one async for one in items.list(made.id, order="asc")]
    left = [one.content[0].text for one in listed]
    assert left == ["kept"] if side == "before" else left == ["kept", "dropped"]  # added twice, under two ids
    response = await client.responses.create(model="playback", input=SCRIPT, conversation=made.id)
    assert response.output_text == "said"
    await through(server, f"{side}:delete_response", lambda: client.responses.delete(response.id))
    with pytest.raises(openai.NotFoundError):
        await client.responses.retrieve(response.id)
    await through(server, f"{side}:delete_conversation", lambda: conversations.delete(made.id))
    with pytest.raises(openai.NotFoundError):
        await conversations.retrieve(made.id)
