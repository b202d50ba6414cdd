"""A response as one JSON answer, sent when it has ended.

When the server drains before that, a client that gave an idempotency key is told to send the request again, which gets
it the same response; any other one is given the response as it is then, in progress: sent again, its input would enter
the conversation twice.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeAlias

from pydantic_core import from_json
from starlette.responses import Response

from .answering import Answering
from .call import Call
from .checks import JSON
from .errors import Draining, told
from .replies import answer, problem
from .response_log import ResponseLog

Shape: TypeAlias = Callable[[JSON], Response]  # a response's body in, what its client is sent out


class WholeAnswer(Answering):
    """``repeatable``: the client may send its request again without harm."""

    def __init__(
        self, call: Call, followed: ResponseLog, *, repeatable: bool, shape: Shape = answer, resumed: bool = False
    ) -> None:
        super().__init__(call, followed, resumed=resumed)
        self._repeatable, self._shape = repeatable, shape
        self._last = ""

    async def answer(self) -> None:
        try:
            await self.follow()
            found = self._shape(await self._body())
        except Exception as error:
            found = problem(told(error))
        start = {"type": "http.response.start", "status": found.status_code, "headers": found.raw_headers}
        await self.write(start)
        await self.write_last({"type": "http.response.body", "body": bytes(found.body), "more_body": False})

    async def _body(self) -> JSON:
        if self.followed.ended:
            body: JSON = from_json(self._last)["response"]
            return body
        if self._repeatable:
            raise Draining
        return await self.session.response(self.followed.response_id)

    async def hand_on(self, texts: list[str]) -> None:
        if self.followed.ended and texts:
            self._last = texts[-1]
