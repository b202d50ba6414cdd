"""What a provider's failure means: refused, or worth another try, in words that are safe to show.

Pure: no client, no network, and nothing of the request is ever quoted. Keys that a provider repeats in its message are
blotted out.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Any, Final, cast

from ..errors import ModelError, ModelRefused, ModelUnavailable

MESSAGE_LIMIT: Final = 300  # characters of a provider's own words

_KEY: Final = re.compile(r"\b(?:[sp]k[-_]|(?:bearer|key|token)[ :=]+(?=\S*[\d*]))[\w.*-]{6,}", re.IGNORECASE)
_FINAL_CODES: Final = re.compile(
    r"(invalid|image|context_length|content|insufficient_quota|model_not_found|unsupported|empty_image|bio_policy"
    r"|misalignment|data_residency)"
)
_ADVICE: Final[Mapping[int, str]] = {
    401: "the provider does not accept the API key; check OPENAI_API_KEY and OPENAI_BASE_URL",
    403: "the API key may not be used for this",
    404: "the provider knows no such model or address; check the model's name and OPENAI_BASE_URL",
    408: "the provider took too long",
    413: "the request is too large for the provider",
    429: "the provider's rate limit is reached",
}


class Refused(ModelRefused):
    """`ModelRefused` with the provider's ``code``, where it gave one."""

    def __init__(self, model: str, message: str, *, status: int | None = None, code: str = "") -> None:
        super().__init__(model, message, status=status)
        self.code = code


class Unanswered(ModelUnavailable):
    """`ModelUnavailable` with the seconds that the provider asked to wait (``retry_after``), where it did."""

    def __init__(
        self, model: str, message: str, *, status: int | None = None, retry_after: float | None = None
    ) -> None:
        super().__init__(model, message, status=status)
        self.retry_after = retry_after


def of_status(
    model: str, status: int, body: object, headers: Mapping[str, str], now: datetime | None = None
) -> ModelError:
    """The error for an HTTP answer of 400 or more; ``body`` is its JSON or text."""
    code, message = _code(body), _message(body)
    if code == "insufficient_quota":
        advice = "the account's quota is used up; check its plan and billing"
    else:
        advice = _ADVICE.get(status, "the provider failed" if status >= 500 else "the provider refuses the request")
    words = advice if status == 401 or not message else f"{advice}: {message}"
    if not _worth_retrying(status, code, headers):
        return Refused(model, f"{status}: {words}", status=status, code=code)
    wait = retry_after(headers, now or datetime.now(UTC))
    return Unanswered(model, f"{status}: {words}", status=status, retry_after=wait)


def of_event(model: str, error: object) -> ModelError:
    """The error for one that came inside a stream, after the status of success: its ``code`` decides."""
    code, message = _code(error), _message(error) or "it gave no reason"
    if code.isdigit() and int(code) >= 400:
        return of_status(model, int(code), error, {})
    kind = str(cast(Mapping[str, Any], error).get("type", "")) if isinstance(error, Mapping) else ""
    if _FINAL_CODES.match(code or kind):
        return Refused(model, f"the provider refuses the request ({code or kind}): {message}", code=code)
    return Unanswered(model, f"the provider failed while it answered{f' ({code})' if code else ''}: {message}")


def retry_after(headers: Mapping[str, str], now: datetime) -> float | None:
    """Seconds from ``now`` that the provider asks to wait, by ``retry-after-ms`` or ``retry-after`` (seconds, date)."""
    for name, unit in (("retry-after-ms", 0.001), ("retry-after", 1.0)):
        try:
            return max(0.0, float(headers[name]) * unit)
        except (KeyError, ValueError):
            continue
    try:
        date = parsedate_to_datetime(headers["retry-after"])
    except (KeyError, ValueError):
        return None
    return max(0.0, (date.replace(tzinfo=date.tzinfo or UTC) - now).total_seconds())


def _worth_retrying(status: int, code: str, headers: Mapping[str, str]) -> bool:
    if headers.get("x-should-retry") in ("true", "false"):
        return headers["x-should-retry"] == "true"
    return code != "insufficient_quota" and (status in (408, 409, 429) or status >= 500)


def _code(body: object) -> str:
    return str(cast(Mapping[str, Any], body).get("code") or "") if isinstance(body, Mapping) else ""


def _message(body: object) -> str:
    """The provider's words: on one line, without keys, at most `MESSAGE_LIMIT` characters; a page of HTML has none."""
    if isinstance(body, Mapping):
        shape = cast(Mapping[str, Any], body)
        body = shape.get("message") or shape.get("detail")
    if not isinstance(body, str) or body.lstrip().startswith("<"):
        return ""
    words = _KEY.sub("[key]", " ".join(body.split()))
    return words if len(words) <= MESSAGE_LIMIT else words[: MESSAGE_LIMIT - 1] + "…"
