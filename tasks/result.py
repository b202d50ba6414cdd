"""What a function returned, as JSON text to store. What cannot be stored is refused with what to do."""

from __future__ import annotations

from typing import Any, Final

from pydantic_core import PydanticSerializationError, to_json

from .errors import NotSerializable, ResultTooLarge

STEP_LIMIT: Final = 10_000_000  # bytes of the result of a durable step


def storable(text: str) -> str:
    """``text`` as every database takes it: half of a surrogate pair (in the name of a file, say) and NUL are
    escaped."""
    return text.encode("utf-8", "backslashreplace").decode().replace("\0", "\\x00")


def result_json(value: Any, *, limit: int, name: str = "the function") -> str:
    """``value`` as compact JSON: JSON values, dataclasses, pydantic models, enums, dates, sets, and lists and dicts
    of them.

    NaN and infinity, which JSON does not have, become null. ``limit`` is in bytes; ``name`` is for the messages.

    Raises:
        NotSerializable: a value of another type, a circle, or bytes that are no text.
        ResultTooLarge: more than ``limit`` bytes.
    """
    try:
        data = to_json(value, inf_nan_mode="null")
    except (PydanticSerializationError, ValueError, RecursionError) as error:
        raise NotSerializable(name, value, str(error)) from error
    if len(data) > limit:
        raise ResultTooLarge(name, len(data), limit)
    return data.decode()
