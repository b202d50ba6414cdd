"""uvicorn's WebSocket protocol, able to part from a client that does not read. The one place that knows its inside.

With uvicorn 0.54 a close frame waits for the write buffer like any other message, and closing the transport waits until
the buffer is empty: towards a client that never reads both wait for ever, also after a keepalive timeout and at
shutdown. Here every close of ours is followed by an abort.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Final, Protocol, cast

from starlette.types import ASGIApp, Receive, Scope, Send
from uvicorn.protocols.websockets.websockets_sansio_impl import WebSocketsSansIOProtocol
from websockets.exceptions import InvalidState
from websockets.protocol import OPEN

from .patience import Outlet

EXTENSION: Final = "frontdesk.transport"
GRACE_SECONDS: Final = 1.0  # between a close that is attempted and the abort
TEXT: Final = 0x81  # the first byte of a whole message (RFC 6455, 5.2)
TEXT_16, TEXT_64 = bytes((TEXT, 126)), bytes((TEXT, 127))  # and the second, where the size is in two or eight bytes
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
    """Passes itself to the application as ``scope["extensions"]["frontdesk.transport"]``."""

    at_once: Callable[[str], bool] | None = None
    _shown = False

    def data_received(self, data: bytes) -> None:
        self._shown = False
        super().data_received(data)

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
    def is_free(self) -> bool:
        return self.writable.is_set()

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
