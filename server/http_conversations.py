"""Conversations over HTTP: made, read, renamed, deleted; their items listed, added, read, deleted."""

from __future__ import annotations

from typing import Any, Final

from starlette.responses import Response

from ..agents.conversation_items import About
from . import conversation_requests as requests
from .call import Call, Endpoint
from .replies import answer, listed


def shown(about: About) -> dict[str, Any]:
    """A conversation as the API has it."""
    return {
        "id": about.id, "object": "conversation", "created_at": int(about.created_at), "metadata": about.metadata,
    }  # fmt: skip


async def create(call: Call) -> Response:
    """Makes a conversation, perhaps with items that it begins with."""
    body = await call.body()
    return answer(shown(await call.session.start(requests.metadata(body), requests.first_items(body))))


async def retrieve(call: Call) -> Response:
    """A conversation without its items."""
    return answer(shown(await call.session.conversation(call.path("conversation_id"))))


async def update(call: Call) -> Response:
    """Gives a conversation other metadata."""
    metadata = requests.metadata(await call.body())
    return answer(shown(await call.session.describe(call.path("conversation_id"), metadata)))


async def delete(call: Call) -> Response:
    """Deletes a conversation with everything that belongs to it. Nothing of it may be live, unless ``cancel=true``:
    then that is cancelled, and nobody hears of it."""
    conversation_id = call.path("conversation_id")
    await call.session.delete_conversation(conversation_id, cancel=call.flag("cancel"))
    return answer({"id": conversation_id, "object": "conversation.deleted", "deleted": True})


async def list_items(call: Call) -> Response:
    """The items of a conversation, the newest first unless ``order=asc``."""
    page = call.page()
    found = await call.session.items(
        call.path("conversation_id"), after=page.after, limit=page.limit + 1, newest_first=page.newest_first
    )
    return listed(found, page.limit, none="")


async def add_items(call: Call) -> Response:
    """Adds items to a conversation that is not answering; those that were added."""
    given = requests.more_items(await call.body())
    added = await call.session.add_items(call.path("conversation_id"), given)
    return listed(added, len(added), none="")


async def retrieve_item(call: Call) -> Response:
    """One item of a conversation."""
    return answer(await call.session.item(call.path("conversation_id"), call.path("item_id")))


async def delete_item(call: Call) -> Response:
    """Deletes an item of a conversation that is not answering; the conversation."""
    return answer(shown(await call.session.delete_item(call.path("conversation_id"), call.path("item_id"))))


ENDPOINTS: Final = (
    Endpoint("POST", "/v1/conversations", create),
    Endpoint("GET", "/v1/conversations/{conversation_id}", retrieve),
    Endpoint("POST", "/v1/conversations/{conversation_id}", update),
    Endpoint("DELETE", "/v1/conversations/{conversation_id}", delete),
    Endpoint("GET", "/v1/conversations/{conversation_id}/items", list_items),
    Endpoint("POST", "/v1/conversations/{conversation_id}/items", add_items),
    Endpoint("GET", "/v1/conversations/{conversation_id}/items/{item_id}", retrieve_item),
    Endpoint("DELETE", "/v1/conversations/{conversation_id}/items/{item_id}", delete_item),
)
