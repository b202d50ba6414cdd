"""A summary of what was said, as an item: what a model reads of it, and the ``compaction`` item in which a client
carries it. Pure.
"""

from __future__ import annotations

from base64 import b64decode, b64encode
from binascii import Error
from typing import Any, Final

from .model import JSON

MARK: Final = "frontdesk.1."  # who wrote it and in which form: nobody else's is read
PREFACE: Final = "Summary of the conversation so far (notes of the desk, not a request):"


def summary_message(text: str) -> JSON:
    """What a model reads: a message on the person's side, because a summary of what people said has no more weight."""
    return {"type": "message", "role": "user", "content": [{"type": "input_text", "text": f"{PREFACE}\n{text}"}]}


def is_summary(text: str) -> bool:
    """Whether a message's text is a summary by the desk."""
    return text.startswith(PREFACE)


def compaction_item(item_id: str, text: str) -> JSON:
    """The API's item (``openai.types.responses.ResponseCompactionItem``). Its content is opaque to clients, and no
    secret: it holds what its reader has said and heard, encoded, not encrypted.
    """
    return {"id": item_id, "type": "compaction", "encrypted_content": MARK + b64encode(text.encode()).decode()}


def read_compaction(body: JSON) -> str | None:
    """The summary in a ``compaction`` item; None when it is not one of ours."""
    sealed: Any = body.get("encrypted_content")
    if not isinstance(sealed, str) or not sealed.startswith(MARK):
        return None
    try:
        return b64decode(sealed.removeprefix(MARK), validate=True).decode()
    except (Error, ValueError):
        return None
