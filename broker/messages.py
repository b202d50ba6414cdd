"""What a worker and the process of a task function say to each other: JSON objects in frames, and errors as JSON.

Everything here is pure, and light to import: each new process pays for it. The worker says ``module`` (an order: run
this), ``answer`` (to a call) and ``stop``; the process says ``begun``, ``report``, ``call``, and at the end of a run
``result``, ``error`` or ``parked``.
"""

from __future__ import annotations

import importlib
import json
import struct
import traceback
from typing import Any, Final, TypeAlias

Message: TypeAlias = dict[str, Any]

HEADER: Final = struct.Struct("!Q")  # the length of the JSON text that follows, in bytes
LONGEST: Final = 100_000  # characters of an error's text, and of its traceback
_OURS: Final = tuple(f"{__name__.split('.')[0]}.{storey}." for storey in ("tasks", "broker"))


def framed(message: Message) -> bytes:
    """A message as it is sent. (The json module writes any text, also half of a surrogate pair.)"""
    text = json.dumps(message, separators=(",", ":")).encode()
    return HEADER.pack(len(text)) + text


def length_of(header: bytes) -> int:
    """How many bytes follow this header."""
    return int(HEADER.unpack(header)[0])


def message_of(text: bytes) -> Message:
    message: Message = json.loads(text)
    return message


def error_said(error: BaseException) -> Message:
    """An error as JSON: its class's name, the nearest class of ours that it is one of, its text, its traceback."""
    ours = next((one for one in type(error).__mro__ if one.__module__.startswith(_OURS)), None)
    data = {key: value for key, value in vars(error).items() if isinstance(value, str | int | float | None)}
    return {
        "kind": type(error).__name__,
        "module": ours and ours.__module__,
        "class": ours and ours.__qualname__,
        "data": data if ours else {},
        "text": _text(error)[:LONGEST],
        "traceback": "".join(traceback.format_exception(error))[-LONGEST:],
    }


def _text(error: BaseException) -> str:
    try:
        return str(error)
    except Exception as worse:
        return f"its text cannot be made: {type(worse).__name__}"


def error_heard(said: Message) -> Exception:
    """The error again: of the same class when that is one of ours, else of one with its name, below the same class of
    ours. Its traceback is a note."""
    base: type[Exception] = Exception
    if said["module"] and str(said["module"]).startswith(_OURS):
        base = getattr(importlib.import_module(said["module"]), said["class"])
    kind: Any = base if base.__name__ == said["kind"] else type(str(said["kind"]), (base,), {})
    error: Exception = kind.__new__(kind, said["text"])  # not called: each class words its message of other arguments
    vars(error).update(said["data"])
    error.add_note(said["traceback"].rstrip())
    return error
