"""Responses over HTTP: created, read, followed, cancelled, deleted."""

from __future__ import annotations

from collections.abc import Generator
from contextlib import contextmanager
from typing import Final

from starlette.responses import Response

from ..broker.inbox import Accepted
from . import checks, protocol
from .call import Call, Endpoint
from .checks import JSON, optional
from .errors import Draining, InvalidRequest
from .protocol import Cancel, Create
from .replies import answer, listed
from .response_log import ResponseLog
from .sse import EventStream
from .whole import WholeAnswer

KEY: Final = "idempotency-key"
CANCEL_SECONDS: Final = 5.0  # for what runs to come to its end before the answer to a cancel


async def create(call: Call) -> Response:
    """Creates a response: the whole one when it has ended, its events with ``stream``, at once with ``background``."""
    body = await call.body()
    message, key = read_create(call, body)
    stream = bool(optional(body, "stream", checks.boolean))
    followed, found = await begin(call, message)
    if stream:
        return EventStream(call, followed, resumed=found.repeated)
    if message.request.get("background"):
        followed.stop()
        return answer(await call.session.response(found.response_id))
    return WholeAnswer(call, followed, repeatable=key is not None, resumed=found.repeated)


def read_create(call: Call, body: JSON) -> tuple[Create, str | None]:
    """The body's create, and the idempotency key that came with it. Raises InvalidRequest, UnsupportedParameter."""
    key = optional(call.request.headers, KEY, checks.identifier, "Idempotency-Key")
    return protocol.create({**body, "stream_id": None}, input_id=key), key


async def begin(call: Call, message: Create) -> tuple[ResponseLog, Accepted]:
    """Commits a create; its response's events can be read from the log. Raises Draining, RateLimited, what `create` of
    the session raises."""
    followed = ResponseLog(call.session.database)
    try:
        with arriving(call):
            found = await call.session.create(message, followed.listen)
    except BaseException:
        followed.stop()
        raise
    followed.follow(found.conversation_id, found.response_id, found.cursor, live=not found.repeated)
    return followed, found


@contextmanager
def arriving(call: Call) -> Generator[None]:
    """Somebody comes to be answered for some time, and counts among the connections until the answer begins. Raises
    Draining, RateLimited."""
    if call.service.draining:
        raise Draining
    with call.service.room(call.session.tenant):
        yield


async def retrieve(call: Call) -> Response:
    """A response as it is now; with ``stream=true`` its events after ``starting_after``, then what follows, live."""
    response_id = call.path("response_id")
    if not call.flag("stream"):
        return answer(await call.session.response(response_id))
    after = call.query("starting_after", "-1")
    if after != "-1" and (not after.isascii() or not after.isdigit() or len(after) > 9):
        raise InvalidRequest("starting_after must be the sequence_number of an event", "starting_after")
    followed = ResponseLog(call.session.database, starting_after=int(after))
    with arriving(call):
        turn = await call.session.turn(response_id)
    followed.follow(turn["conversation_id"], response_id, turn["first_cursor"])
    return EventStream(call, followed, resumed=True)


async def cancel(call: Call) -> Response:
    """Asks for a response to be cancelled; the response as it is when it has ended, or after five seconds."""
    response_id = call.path("response_id")
    turn = await call.session.turn(response_id)
    followed = ResponseLog(call.session.database)
    followed.follow(turn["conversation_id"], response_id, turn["first_cursor"])
    try:
        await call.session.cancel(Cancel(response_id=response_id))
        found = await call.session.response(response_id)
        if turn["task_id"] is not None or found["status"] != "cancelled":  # else nothing runs that would have to stop
            await followed.end(CANCEL_SECONDS)
            found = await call.session.response(response_id)
    finally:
        followed.stop()
    return answer(found)


async def delete(call: Call) -> Response:
    """Deletes a response that has ended. Its items stay in the conversation."""
    response_id = call.path("response_id")
    await call.session.delete_response(response_id)
    return answer({"id": response_id, "object": "response", "deleted": True})


async def input_items(call: Call) -> Response:
    """What a response was asked with, the newest first; empty before its turn has begun."""
    page = call.page()
    found = page.of(await call.session.input_items(call.path("response_id")))
    return listed(found, page.limit, none="")


ENDPOINTS: Final = (
    Endpoint("POST", "/v1/responses", create),
    Endpoint("GET", "/v1/responses/{response_id}", retrieve),
    Endpoint("DELETE", "/v1/responses/{response_id}", delete),
    Endpoint("POST", "/v1/responses/{response_id}/cancel", cancel),
    Endpoint("GET", "/v1/responses/{response_id}/input_items", input_items),
)
