"""Chat Completions over HTTP, for front ends that know nothing else: a request becomes a create, a response a
completion.

The dialog that it resends names its conversation, so that its tasks, its agent and what it was told stay.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Final

from pydantic_core import to_json
from starlette.responses import Response

from . import chat_requests, checks, protocol
from .answering import ENDINGS, Answering, Gone
from .call import Call, Endpoint
from .chat_replies import Chunks, completion
from .checks import JSON, optional
from .errors import Draining, WireError, told
from .http_responses import KEY, begin
from .replies import answer
from .response_log import ResponseLog
from .sse import HEADERS, PING
from .whole import WholeAnswer

CONVERSATION: Final = "frontdesk-conversation"  # the header that names it


async def complete(call: Call) -> Response:
    """Answers a dialog: with a completion, or with its chunks when ``stream`` is set."""
    request = chat_requests.read(await call.body())
    key = optional(call.request.headers, KEY, checks.identifier, "Idempotency-Key")
    message = replace(protocol.create(request.create, input_id=key), dialog=request.dialog)
    followed, found = await begin(call, message)
    if request.stream:
        return ChatStream(call, followed, Chunks(with_usage=request.with_usage), resumed=found.repeated)
    return WholeAnswer(call, followed, repeatable=True, shape=whole, resumed=found.repeated)


def whole(body: JSON) -> Response:
    """A response as a completion. Raises WireError when it has failed."""
    return answer(completion(body), headers={CONVERSATION: body["conversation"]["id"]})


class ChatStream(Answering):
    """The chunks of a completion. One that cannot go on ends with an error: no chat client can resume it."""

    def __init__(self, call: Call, followed: ResponseLog, chunks: Chunks, *, resumed: bool) -> None:
        super().__init__(call, followed, resumed=resumed)
        self._chunks = chunks

    async def answer(self) -> None:
        named = (CONVERSATION.encode(), self.followed.conversation_id.encode())
        await self._send({"type": "http.response.start", "status": 200, "headers": [*HEADERS, named]})
        try:
            await self.follow()
            if not self.followed.ended:
                raise Draining
        except (Gone, OSError):
            raise Gone from None
        except ENDINGS:
            await self._fail(Draining())
        except Exception as error:
            await self._fail(told(error))
        await self.write_last({"type": "http.response.body", "body": b"", "more_body": False})

    async def _fail(self, problem: WireError) -> None:
        error = {key: value for key, value in problem.body().items() if key != "headers"}
        await self._frames([to_json({"error": error}).decode()])

    async def hand_on(self, texts: list[str]) -> None:
        await self._frames([data for text in texts for data in self._chunks.of(text)], ping=not texts)

    async def _frames(self, found: list[str], *, ping: bool = False) -> None:
        body = PING if ping else "".join(f"data: {data}\n\n" for data in found).encode()
        if body:
            await self.write({"type": "http.response.body", "body": body, "more_body": True})


ENDPOINTS: Final = (Endpoint("POST", "/v1/chat/completions", complete),)
