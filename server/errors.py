"""Errors of the server storey: what a client is told, with the wire's status and code. Nothing here sends anything.

FrontdeskError
├── AddressError              no socket can listen there
├── NoConversation            a conversation that was named is not there
└── WireError                 a request that is not carried out; the client is told why
    ├── InvalidJSON           400 invalid_json
    ├── InvalidRequest        400 invalid_request
    ├── UnsupportedParameter  400 unsupported_parameter
    ├── InvalidKey            401 invalid_api_key
    ├── ForbiddenOrigin       403 forbidden_origin
    ├── OperatorWanted        403 operator_required
    ├── ModelNotFound         404 model_not_found
    ├── ResponseExpired       404 response_not_found
    ├── TooSlow               408 request_timeout
    ├── MessageTooLarge       413 message_too_large
    ├── UnsupportedEncoding   415 invalid_request
    ├── RateLimited           429 rate_limit_exceeded
    ├── Draining              503 draining
    └── SteerFailed           a steer that is returned to its sender
"""

from __future__ import annotations

import logging
from collections.abc import Iterable, Mapping
from typing import Any, Final

from ..broker.errors import DatabaseError, InboxFull, Refused, ResponseNotActive
from ..tasks.errors import FrontdeskError

log = logging.getLogger("frontdesk.server")

TOKEN_WANTED: Final = "the server wants a token, and the right one: give it with --token or in FRONTDESK_TOKEN"
RETRY_AFTER: Final = {"retry-after": "1"}
KINDS: Final[Mapping[int, str]] = {
    401: "authentication_error",
    403: "permission_error",
    429: "rate_limit_error",
}


def _retry_after(seconds: float) -> dict[str, str]:
    return {"retry-after": str(max(1, round(seconds)))}


class AddressError(FrontdeskError):
    """No socket can listen there; the message says what to do."""


class NoConversation(FrontdeskError):
    def __init__(self, conversation: str) -> None:
        super().__init__(f"there is no conversation {conversation!r} here; --conversation new begins one")


class WireError(FrontdeskError):
    """A request that is not carried out. ``param`` names the field that is wrong."""

    def __init__(
        self,
        status: int,
        code: str,
        message: str,
        *,
        param: str | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> None:
        super().__init__(message)
        self.status, self.code, self.message, self.param = status, code, message, param
        self.headers = dict(headers or {})

    @property
    def kind(self) -> str:
        """The API's ``error.type``."""
        return KINDS.get(self.status, "server_error" if self.status >= 500 else "invalid_request_error")

    def body(self) -> dict[str, Any]:
        """The ``error`` object of the wire."""
        found: dict[str, Any] = {"type": self.kind, "code": self.code, "message": self.message, "param": self.param}
        if self.headers:
            found["headers"] = self.headers
        return found


class InvalidJSON(WireError):
    def __init__(self, message: str) -> None:
        super().__init__(400, "invalid_json", message)


class InvalidRequest(WireError):
    def __init__(self, message: str, param: str | None = None) -> None:
        super().__init__(400, "invalid_request", message, param=param)


class UnsupportedParameter(WireError):
    def __init__(self, param: str, why: str = "") -> None:
        tail = f": {why}" if why else "; leave it out"
        super().__init__(400, "unsupported_parameter", f"{param} is not supported here{tail}", param=param)


class InvalidKey(WireError):
    def __init__(self) -> None:
        message = "this server wants a valid token: send `Authorization: Bearer <token>`, or in a browser's WebSocket "
        super().__init__(401, "invalid_api_key", message + "the subprotocol `openai-insecure-api-key.<token>`")


class ForbiddenOrigin(WireError):
    def __init__(self, origin: str) -> None:
        message = f"pages from {origin} may not use this server; list the origin in FRONTDESK_ORIGINS if they should"
        super().__init__(403, "forbidden_origin", message)


class OperatorWanted(WireError):
    def __init__(self) -> None:
        message = "this concerns all tenants and is for operators: show FRONTDESK_TOKEN, or a token that was created "
        super().__init__(403, "operator_required", message + "with --operator")


class ModelNotFound(WireError):
    def __init__(self, wanted: str, known: Iterable[str]) -> None:
        message = f"model {wanted!r} not found; this desk answers to {', '.join(known)}"
        super().__init__(404, "model_not_found", message, param="model")


class ResponseExpired(WireError):
    """The input was answered, and the events of the answer are not kept any more."""

    def __init__(self, response_id: str) -> None:
        message = f"this input was answered by {response_id}, whose events are not kept any more; do not send it again"
        super().__init__(404, "response_not_found", message)


class MessageTooLarge(WireError):
    def __init__(self, message: str) -> None:
        super().__init__(413, "message_too_large", message)


class TooSlow(WireError):
    def __init__(self, seconds: float) -> None:
        super().__init__(408, "request_timeout", f"nothing more of the body has come for {seconds:g} s")


class UnsupportedEncoding(WireError):
    def __init__(self, encoding: str) -> None:
        super().__init__(415, "invalid_request", f"a body is taken as it is, not as {encoding[:40]!r}")


class RateLimited(WireError):
    def __init__(self, message: str, *, retry_after: float = 1.0) -> None:
        super().__init__(429, "rate_limit_exceeded", message, headers=_retry_after(retry_after))


class Draining(WireError):
    def __init__(self) -> None:
        message = "this server is stopping and takes no new input; reconnect and send it again"
        super().__init__(503, "draining", message, headers=RETRY_AFTER)


class SteerFailed(WireError):
    """A steer that is not accepted: it is returned in ``response.steer.failed`` with the SDK's codes."""

    def __init__(self, code: str, message: str, *, previous_response_id: str, input: Any) -> None:
        super().__init__(400, code, message, param="input" if code == "invalid_input" else "previous_response_id")
        self.previous_response_id, self.input = previous_response_id, input


def told(error: Exception) -> WireError:
    """What the client is told of an error. An unknown one is logged in full and told without its internals."""
    if isinstance(error, WireError):
        return error
    if isinstance(error, Refused):
        headers = _retry_after(getattr(error, "retry_after", 1.0)) if error.status == 429 else None
        return WireError(error.status, error.code, str(error), param=error.param, headers=headers)
    if isinstance(error, DatabaseError):
        log.warning("a request failed because of the database: %s", error)
        return WireError(503, "database_unavailable", str(error), headers=RETRY_AFTER)
    log.error("a request failed", exc_info=error)
    return WireError(500, "server_error", "the server failed to carry this out; its log says why")


def returned(error: Exception, *, previous_response_id: str, input: Any) -> SteerFailed:
    """The steer that failed with this error, with the SDK's code for it."""
    problem = told(error)
    match error:
        case SteerFailed():
            return error
        case ResponseNotActive():
            code = "response_already_completed" if error.status_name == "completed" else "response_not_active"
        case InboxFull():
            code = "too_many_pending_steers"
        case Draining():
            code = problem.code
        case Refused():
            code = error.code
        case _:
            code = "successor_creation_failed"
    return SteerFailed(code, problem.message, previous_response_id=previous_response_id, input=input)
