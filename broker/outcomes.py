"""What becomes of an attempt to tell a webhook: delivered, failed, or tried again, and when. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC
from email.utils import parsedate_to_datetime
from typing import Final, Literal

BACKOFF: Final = (5.0, 30.0, 120.0, 600.0, 3_600.0, 21_600.0)  # seconds after the first attempt, the second …
LONGEST_ASKED: Final = 3_600.0  # seconds that a receiver may ask for with Retry-After
ERROR_LIMIT: Final = 300  # characters
GONE: Final = 410


@dataclass(frozen=True, slots=True)
class Answer:
    """What came of an attempt: a status of HTTP, or None with why there is none; ``said``: the beginning of the body.

    ``asked``: the header Retry-After; ``useless``: trying it again would change nothing.
    """

    status: int | None
    said: str = ""
    asked: str = ""
    useless: bool = False


@dataclass(frozen=True, slots=True)
class Outcome:
    """What is written of an attempt. ``delay``: seconds until a pending one is sent again."""

    status: Literal["pending", "delivered", "failed"]
    http_status: int | None = None
    error: str = ""
    delay: float = 0.0


def outcome_of(attempt: int, answer: Answer, wall: float) -> Outcome:
    """Decides after attempt number ``attempt`` (from 1); ``wall``: now, for a Retry-After that names a date."""
    if answer.status is not None and 200 <= answer.status < 300:
        return Outcome("delivered", answer.status)
    error = _words(answer)
    if answer.status == GONE or answer.useless:
        return Outcome("failed", answer.status, error)
    if attempt > len(BACKOFF):
        return Outcome("failed", answer.status, f"given up after {attempt} attempts: {error}"[:ERROR_LIMIT])
    asked = min(retry_after(answer.asked, wall), LONGEST_ASKED)
    return Outcome("pending", answer.status, error, max(BACKOFF[attempt - 1], asked))


def retry_after(text: str, wall: float) -> float:
    """Seconds that a Retry-After header asks for (RFC 9110, 10.2.3: seconds or a date); 0 when it is neither."""
    text = text.strip()
    if text.isascii() and text.isdigit():
        return float(text[:12])
    try:
        date = parsedate_to_datetime(text)
    except (ValueError, OverflowError):
        return 0.0
    return max(0.0, (date if date.tzinfo else date.replace(tzinfo=UTC)).timestamp() - wall)


def _words(answer: Answer) -> str:
    """Why it was not delivered, in one line, without control characters and halves of pairs."""
    said = "".join(one if one.isprintable() else " " for one in answer.said)
    said = " ".join(said.split())
    if answer.status is None:
        return said[:ERROR_LIMIT]
    if answer.status == GONE:
        what = "the receiver wants no more (410)"
    elif 300 <= answer.status < 400:
        what = f"answered {answer.status}: redirects are not followed, change the URL"
    else:
        what = f"answered {answer.status}"
    return f"{what}: {said}"[:ERROR_LIMIT] if said else what
