"""Log lines without secrets: those of the settings, and whatever looks like a token, whoever logs it.

Libraries log headers when everything is logged, and a client's token is one; errors hold URLs with passwords.
"""

from __future__ import annotations

import logging
import re
from collections.abc import Iterable
from typing import Final

GONE: Final = "[secret]"
SHORTEST: Final = 6  # a shorter "secret" would be found in every second word
PATTERNS: Final = (
    (re.compile(r"(openai-insecure-api-key\.)[^\s,'\"\]]+"), rf"\1{GONE}"),
    (re.compile(r"(authorization['\"]?\s*[:=]\s*['\"]?(?:\w+ )?)[^\s,'\"]+", re.IGNORECASE), rf"\1{GONE}"),
    (re.compile(r"(cookie['\"]?\s*[:=]\s*)[^\r\n]+", re.IGNORECASE), rf"\1{GONE}"),
    (re.compile(r"(\bbearer )[^\s,'\"]+", re.IGNORECASE), rf"\1{GONE}"),
    (re.compile(r"(://[^\s/:@'\"]*:)[^\s/@'\"]+@"), rf"\1{GONE}@"),
    (re.compile(r"\b(?:fd_|sk-|whsec_)[\w+/=-]{8,}"), GONE),
)


class Redacting(logging.Formatter):
    """Formats a record, its traceback too, without secrets. ``secrets``: those that are known."""

    def __init__(self, text: str, secrets: Iterable[str] = ()) -> None:
        super().__init__(text)
        self._secrets = [secret for secret in secrets if len(secret) >= SHORTEST]

    def format(self, record: logging.LogRecord) -> str:
        text = super().format(record)
        for secret in self._secrets:
            text = text.replace(secret, GONE)
        return redacted(text)


def redacted(text: str) -> str:
    """The text without what looks like a token or a password."""
    for pattern, instead in PATTERNS:
        text = pattern.sub(instead, text)
    return text
