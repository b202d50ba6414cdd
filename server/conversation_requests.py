"""What a client may say of a conversation itself: decoded objects in, checked values out. Pure."""

from __future__ import annotations

from typing import cast

from . import checks, items
from .checks import JSON, optional
from .errors import InvalidRequest


def metadata(body: JSON) -> dict[str, str]:
    """The body's metadata; none: empty. Raises InvalidRequest."""
    return cast("dict[str, str]", optional(body, "metadata", checks.metadata) or {})


def first_items(body: JSON) -> tuple[JSON, ...]:
    """The items that a new conversation begins with. Raises InvalidRequest, UnsupportedParameter."""
    return items.normal(body["items"], "items") if body.get("items") else ()


def more_items(body: JSON) -> tuple[JSON, ...]:
    """The items that are to be added. Raises InvalidRequest, UnsupportedParameter."""
    if not isinstance(body.get("items"), list):
        raise InvalidRequest("items is missing: an array of items", "items")
    return items.normal(body["items"], "items")
