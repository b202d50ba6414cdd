"""uvicorn's WebSocket protocol, able to part from a client that does not read. The one place that knows its inside.

With uvicorn 0.54 a close frame waits for the write buffer like any other message, and closing the transport waits until
the buffer is empty: towards a client that never reads both wait for ever, also after a keepalive timeout and at
shutdown. Here every close of ours is followed by an abort.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from typing import Any, Final, Protocol, cast

from starlette.types import ASGIApp, Receive, Scope, Send
from uvicorn.config import Config
from uvicorn.protocols.websockets.websockets_sansio_impl import WebSocketsSansIOProtocol
from uvicorn.server import ServerState
from websockets.exceptions import InvalidState
from websockets.frames import apply_mask  # type: ignore[attr-defined] # in C where it was built, else in Python
from websockets.protocol import OPEN
from websockets.streams import StreamReader

from .mailbox import Gate, Mailbox
from .patience import Outlet

EXTENSION: Final = "frontdesk.transport"
GRACE_SECONDS: Final = 1.0  # between a close that is attempted and the abort
TEXT: Final = 0x81  # the first byte of a whole message (RFC 6455, 5.2)
TEXT_16, TEXT_64 = bytes((TEXT, 126)), bytes((TEXT, 127))  # and the second, where the size is in two or eight bytes
MASKED: Final = 0x80  # is added to the second by clients
AT_EOF: Final = StreamReader.at_eof.__code__  # where websockets' parser waits for a frame
REASON_BYTES: Final = 123  # of a close frame (RFC 6455, 5.5)


def _frame(text: str) -> bytes:
    """A server's frame is not masked, and we do not compress: it is the same for every client."""
    data = text.encode()
    size = len(data)
    if size < 126:
        return bytes((TEXT, size)) + data
    if size < 65_536:
        return TEXT_16 + size.to_bytes(2) + data
    return TEXT_64 + size.to_bytes(8) + data


def whole_text(data: bytes, most: int) -> bytes | None:
    """The text of a client's message when these bytes are just one: unfragmented, masked, of less than 64 KiB and not
    more than ``most`` bytes. None: they may be anything else.
    """
    if len(data) < 6 or data[0] != TEXT or not MASKED <= data[1] < MASKED + 127:
        return None
    size, head = data[1] - MASKED, 6
    if size == 126:
        size, head = int.from_bytes(data[2:4]), 8
    if size > most or len(data) != head + size:
        return None
    return apply_mask(data[head:], data[head - 4 : head])


def framed(texts: Sequence[str]) -> bytes:
    """Messages as the bytes that a client is sent."""
    return b"".join(map(_frame, texts))


class Transport(Outlet, Protocol):
    """What a connection asks of the socket under it."""

    at_once: Callable[[str], bool] | None  # is shown a message; whether it has dealt with it

    def send_frames(self, frames: bytes) -> None:
        """As `send_texts`, for what `framed` has made of them."""
        ...

    def send_texts(self, texts: Sequence[str]) -> None:
        """Sends messages in one write: each write is a system call, for which the thread lets others go first. Raises
        OSError when the client has gone.
        """
        ...

    def cut_off(self, code: int, reason: str) -> None:
        """Attempts to say good-bye, and is rid of the client within a second whether it reads or not."""
        ...


class AbortableWebSocket(WebSocketsSansIOProtocol):
    """Passes itself to the application as ``scope["extensions"]["frontdesk.transport"]``.

    What is looked at for each message has its place in the object. The rest are fewer than 30 names, as many as Python
    keeps in one table for all objects of a class: an idle connection takes 1 KiB less of it.
    """

    __slots__ = (
        "_between", "_shown", "at_once", "close_sent", "config", "conn", "curr_msg_data_type", "disconnected", "frames",
        "handshake_complete", "initial_response", "is_free", "queue", "read_paused", "transport", "writable",
    )  # fmt: skip

    def __init__(
        self,
        config: Config,
        server_state: ServerState,
        app_state: dict[str, Any],
        _loop: asyncio.AbstractEventLoop | None = None,
    ) -> None:
        super().__init__(config, server_state, app_state, _loop)
        self.at_once: Callable[[str], bool] | None = None
        self.is_free = True
        self._shown = False
        self._between = False  # whether the last bytes were the end of a message
        self.writable = cast(asyncio.Event, Gate())
        self.queue = cast(asyncio.Queue[Any], Mailbox[Any](self.loop))

    def pause_writing(self) -> None:
        super().pause_writing()
        self.is_free = False

    def resume_writing(self) -> None:
        super().resume_writing()
        self.is_free = True

    def connection_lost(self, exc: Exception | None) -> None:
        super().connection_lost(exc)
        self.is_free = True  # nobody waits for one who has gone

    def data_received(self, data: bytes) -> None:
        """Most reads are one short message, whole: to find that out costs a seventh of what the parser takes for it."""
        self._shown = False
        most = self.config.ws_max_size
        text = whole_text(data, most) if self._between and self.conn.state is OPEN else None
        if text is None:
            super().data_received(data)
            self._between = self._stands_between_messages()
        else:
            self.curr_msg_data_type, self.frames = "text", [text]
            self.send_receive_event_to_app()

    def _stands_between_messages(self) -> bool:
        """Whether the parser has begun no message, and no frame of one: what it waits for is whether more comes."""
        if self.frames or self.conn.extensions:
            return False
        innermost: Any = self.conn.parser
        while innermost.gi_yieldfrom is not None:
            innermost = innermost.gi_yieldfrom
        return innermost.gi_code is AT_EOF

    def send_receive_event_to_app(self) -> None:
        """What the application does not deal with at once goes into its queue, and nothing more is read until it has
        taken it from there: that costs more than a refusal. One message of each read is shown, or a client that says
        much would keep others waiting.
        """
        if self.at_once is not None and not self._shown and self._is_one_text() and self.queue.empty():
            self._shown = True
            try:
                text = self.frames[0].decode()
            except UnicodeDecodeError:
                pass  # dealt with below
            else:
                if self.at_once(text):
                    self.frames = []
                    return
        super().send_receive_event_to_app()

    def _is_one_text(self) -> bool:
        return len(self.frames) == 1 and self.curr_msg_data_type == "text" and not self.close_sent

    async def run_asgi(self) -> None:
        cast(dict[str, dict[str, object]], self.scope)["extensions"][EXTENSION] = self
        inner = cast(ASGIApp, self.app)

        async def answered(scope: Scope, receive: Receive, send: Send) -> None:
            await inner(scope, receive, send)
            if self.initial_response is not None:
                self.handshake_complete = True  # to refuse somebody is no error, which strangers could fill a log with

        self.app = answered
        await super().run_asgi()

    @property
    def backlog(self) -> int:
        return self.transport.get_write_buffer_size()

    async def wait_until_free(self) -> None:
        await self.writable.wait()

    def send_texts(self, texts: Sequence[str]) -> None:
        self.send_frames(framed(texts))

    def send_frames(self, frames: bytes) -> None:
        if self.disconnected or self.close_sent or self.conn.state is not OPEN:  # or the client has begun to close
            raise ConnectionResetError
        self.transport.write(frames)

    def cut_off(self, code: int, reason: str) -> None:
        if not self.close_sent and not self.transport.is_closing():
            try:
                self.conn.send_close(code, reason.encode()[:REASON_BYTES].decode(errors="ignore"))
                self.transport.write(b"".join(self.conn.data_to_send()))
            except InvalidState:  # the client has begun to close
                pass
            self.close_sent = True
        self._abort_soon()

    def keepalive_timeout(self) -> None:
        super().keepalive_timeout()
        self._abort_soon()

    def shutdown(self) -> None:
        if not (self.handshake_complete or self.initial_response or self.close_sent):
            self._refuse_stopping()
        super().shutdown()
        self._abort_soon()

    def _refuse_stopping(self) -> None:
        """An upgrade that has not been answered: uvicorn would say 500, of which no client knows that it may come
        back."""
        response = self.conn.reject(503, "this server is stopping; connect again\n")
        response.headers["Retry-After"] = "1"
        self.conn.send_response(response)
        self.transport.write(b"".join(self.conn.data_to_send()))
        self.initial_response = (503, [], b"")

    def _abort_soon(self) -> None:
        self.loop.call_later(GRACE_SECONDS, self.transport.abort)
