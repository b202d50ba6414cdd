"""What the stand-in makes of a conversation that is to be summarised: the newest of what was said, cut short. It
understands nothing of it, and says so.
"""

from __future__ import annotations

from typing import Final

from ...model import ModelRequest
from .schema import as_object
from .turn import parsed, text_of

_LINE: Final = 240  # characters of one thing said
_ALL: Final = 6_000
_NOTE: Final = "(Shortened by rules, not understood: the beginning of what was said and returned, oldest first.)"
_LEFT_OUT: Final = "(what came before is left out)"


def shortened(request: ModelRequest) -> str:
    """Notes from the lines of `summaries.writing`: those so far, then a line for each thing that was said or called."""
    before, _, lines = text_of(request).partition("Conversation:\n")
    notes = [line for line in before.splitlines()[1:] if line and line not in (_NOTE, _LEFT_OUT)]
    notes += [_line(line) for line in lines.splitlines()]
    size, kept = 0, len(notes)
    while kept and size + len(notes[kept - 1]) < _ALL:
        kept -= 1
        size += len(notes[kept]) + 1
    return "\n".join([_NOTE, *([_LEFT_OUT] if kept else []), *notes[kept:]])


def _line(line: str) -> str:
    """A line of JSON as a note on one line."""
    shown: list[str] = []
    for key, value in as_object(parsed(line)).items():
        text = " ".join(str(value).split())
        shown.append(f"{key}: {text if len(text) <= _LINE else text[:_LINE] + '…'}")
    return " · ".join(shown)
