"""Signatures of webhooks, as https://www.standardwebhooks.com specifies them. No network is here."""

from __future__ import annotations

import base64
import binascii
from datetime import UTC, datetime
from typing import Final

from standardwebhooks import Webhook

from ..tasks.errors import InvalidOption

PREFIX: Final = "whsec_"
WRONG: Final = (
    "a webhook secret is whsec_ and 24 to 64 random bytes in base64; make one with: "
    "python -c \"import base64, os; print('whsec_' + base64.b64encode(os.urandom(32)).decode())\""
)


class Signer:
    """Signs with a secret, or with several, separated by blanks: while receivers change from one to the next.

    Without a secret it is false, and must not be used. Raises InvalidOption for text that is no secret.
    """

    def __init__(self, secret: str) -> None:
        self._keys = [Webhook(_key(one)) for one in secret.split()]

    def __bool__(self) -> bool:
        return bool(self._keys)

    def headers(self, message_id: str, body: str, at: float) -> dict[str, str]:
        """The headers that a request with this body is signed with; ``at``: when it is sent, in seconds since 1970."""
        when = datetime.fromtimestamp(int(at), UTC)
        return {
            "webhook-id": message_id,
            "webhook-timestamp": str(int(at)),
            "webhook-signature": " ".join(key.sign(message_id, when, body) for key in self._keys),
        }


def _key(secret: str) -> bytes:
    try:
        key = base64.b64decode(secret.removeprefix(PREFIX), validate=True)
    except (binascii.Error, ValueError):
        key = b""
    if not secret.startswith(PREFIX) or not 24 <= len(key) <= 64:
        raise InvalidOption(WRONG)
    return key
