"""Results that are longer than a model is shown: what it is shown of them, and how it reads on. Pure.

The whole result is kept with its conversation (``result_storage``).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Annotated, Final

from pydantic import Field

from ..tasks.result import storable
from ..tasks.signature import signature_of
from .calls import CallOutput
from .model import ToolSpec
from .tool import SHOWN

READ_RESULT: Final = "read_result"
WHOLE: Final = 1 << 30  # more characters than any result has
PIECE: Final = SHOWN  # characters that one call of it returns
KEPT: Final = "frontdesk:kept"
"""Key of an item's body: how many characters of its call's result are kept."""


@dataclass(frozen=True, slots=True)
class Kept:
    """A whole result that is to be kept."""

    call_id: str
    text: str


@dataclass(frozen=True, slots=True)
class Piece:
    """A part of a kept result; ``characters`` are those of the whole."""

    text: str
    characters: int


def read_result(
    call_id: Annotated[str, "Names the result, as its end says."],
    offset: Annotated[int, Field(ge=0, description="Character to begin with.")] = 0,
) -> None:
    """Reads on in a result that was cut or summarised."""


SIGNATURE: Final = signature_of(read_result)
SPEC: Final = ToolSpec(READ_RESULT, SIGNATURE.description, SIGNATURE.schema, keywords=("more", "rest"))


def is_long(output: CallOutput, shown: int | None) -> bool:
    """Whether an output is longer than a model is shown of it."""
    return shown is not None and len(output.output) > shown


def cut(output: CallOutput, shown: int) -> CallOutput:
    """A long output as a model is shown it: its beginning, and how to read on. The whole of it is to be kept."""
    text = storable(output.output)
    end = (
        f"[cut: characters 0 to {shown} of {len(text)}; {READ_RESULT} with call_id={output.call_id!r} and "
        f"offset={shown} reads on]"
    )
    return replace(output, output=f"{text[:shown]}\n{end}", kept=text)


def summed_up(output: CallOutput, summary: str) -> CallOutput:
    """A long output as a model is shown it when another model has summarised it. The whole of it is to be kept."""
    text = storable(output.output)
    end = (
        f"[a summary of {len(text)} characters; {READ_RESULT} with call_id={output.call_id!r} and offset=0 reads the "
        "result itself]"
    )
    return replace(output, output=f"{summary}\n{end}", kept=text)


def kept_of(output: CallOutput) -> list[Kept]:
    """What is to be kept of an output: the whole of it, when a model is shown a part."""
    return [] if output.kept is None else [Kept(output.call_id, output.kept)]


def shown_piece(piece: Piece, offset: int) -> str:
    """A piece as a model is shown it."""
    end = offset + len(piece.text)
    more = f"; go on with offset={end}" if end < piece.characters else "; this is the end"
    return f"{piece.text}\n[characters {offset} to {end} of {piece.characters}{more}]"


def not_kept(call_id: str, known: Sequence[tuple[str, int]]) -> str:
    """The text for a result that is not there, with those that are: call ids and characters."""
    if not known:
        return f"There is no long result {call_id!r}, and no other: what a call returned is in its output."
    listed = ", ".join(f"{one!r} ({characters} characters)" for one, characters in known)
    return f"There is no long result {call_id!r}. There are, the newest first: {listed}."
