"""Finds calls in text that comes in pieces, and says at once all that is surely not part of one. Pure.

What may be the beginning of a mark is kept back until it is known; so the same text gives the same events however it is
cut. Thoughts (``<think>…</think>``) are told apart from what is said.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Final, Literal, TypeAlias

from .call_formats import CallFormat, Mark, Written, value_of

THOUGHTS: Final = (("<think>", "</think>"), ("[THINK]", "[/THINK]"), ("<thinking>", "</thinking>"))
_DECODER: Final = json.JSONDecoder(strict=False)


@dataclass(frozen=True, slots=True)
class Prose:
    """A piece of what is said to the person."""

    text: str


@dataclass(frozen=True, slots=True)
class Thought:
    """A piece of what the model thinks."""

    text: str


Found: TypeAlias = Prose | Thought | Written
State: TypeAlias = Literal["prose", "thought", "call"]


class CallScanner:
    """Reads one reply. ``feed`` each piece, ``end`` it once."""

    def __init__(self, form: CallFormat) -> None:
        self._form = form
        self._marks = {one.start: one for one in form.marks}
        self._thoughts = dict(THOUGHTS)
        self._openings = (*self._marks, *self._thoughts)
        self._text = ""
        self._state: State = "prose"
        self._mark = Mark("")
        self._closing = ""  # of a thought
        self._blank = ""  # white space that is said only when something follows
        self._has_said, self._apart = False, False  # whether anything was said; whether something came in between

    def feed(self, piece: str) -> Iterator[Found]:
        self._text += piece
        yield from self._read(at_end=False)

    def end(self) -> Iterator[Found]:
        """What was kept back: an opened call counts as it stands, an opened thought ends."""
        yield from self._read(at_end=True)

    def _read(self, *, at_end: bool) -> Iterator[Found]:
        while True:
            before = self._state, self._text
            match self._state:
                case "prose":
                    yield from self._prose(at_end=at_end)
                case "thought":
                    yield from self._thought(at_end=at_end)
                case "call":
                    yield from self._call(at_end=at_end)
            if (self._state, self._text) == before or not (self._text or self._state == "call"):
                return

    def _prose(self, *, at_end: bool) -> Iterator[Found]:
        place, opening = _first(self._text, self._openings)
        if opening is None:
            kept = 0 if at_end else _beginning(self._text, self._openings)
            yield from self._say(self._text[: len(self._text) - kept], at_end=at_end)
            self._text = self._text[len(self._text) - kept :] if kept else ""
            return
        yield from self._say(self._text[:place])
        self._text = self._text[place + len(opening) :]
        if opening in self._marks:
            self._state, self._mark = "call", self._marks[opening]
        else:
            self._state, self._closing = "thought", self._thoughts[opening]

    def _say(self, text: str, *, at_end: bool = False) -> Iterator[Found]:
        """White space around calls and thoughts is not said; what is said on both sides of them is kept apart."""
        text = self._blank + text
        if self._apart or not self._has_said:
            text = text.lstrip()
        bare = text.rstrip()
        self._blank = "" if at_end else text[len(bare) :]
        if bare:
            yield Prose(f"\n\n{bare}" if self._apart and self._has_said else bare)
            self._has_said, self._apart = True, False

    def _thought(self, *, at_end: bool) -> Iterator[Found]:
        place = self._text.find(self._closing)
        if place >= 0:
            if place:
                yield Thought(self._text[:place])
            self._text, self._state = self._text[place + len(self._closing) :], "prose"
            self._blank, self._apart = "", True
            return
        kept = 0 if at_end else _beginning(self._text, (self._closing,))
        if len(self._text) > kept:
            yield Thought(self._text[: len(self._text) - kept])
        self._text = self._text[len(self._text) - kept :] if kept else ""

    def _call(self, *, at_end: bool) -> Iterator[Found]:
        stop = self._stop(at_end=at_end)
        if stop is None:
            return
        inside, rest = self._text[: stop[0]], self._text[stop[1] :]
        whole = self._mark.start + self._text[: stop[1]]
        self._text, self._state = rest, "prose"
        calls = self._form.read(inside)
        if calls:
            self._blank, self._apart = "", True
            yield from calls
        else:
            yield from self._say(inside if self._mark.sure else whole, at_end=at_end and not rest)

    def _stop(self, *, at_end: bool) -> tuple[int, int] | None:
        """Where the call ends, and where the text goes on; None while that is not known."""
        mark, text = self._mark, self._text
        if not mark.end:
            place = _end_of_json(text, mark.after)
            stops = [] if place is None else [(place, place)]
        else:
            stops = [(place, place + len(mark.end)) for place in _places(text, mark.end)]
            if mark.sure:  # the mark may stand inside of a string
                stops = [one for one in stops if value_of(text[: one[0]].strip(), None) is not None] or stops * at_end
        if stops:
            return stops[0]
        again = text.find(mark.start) if mark.sure else -1  # it was not closed before the next one began
        return None if not at_end else (again, again) if again >= 0 else (len(text), len(text))


def _places(text: str, mark: str) -> list[int]:
    return [found.start() for found in re.finditer(re.escape(mark), text)]


def _end_of_json(text: str, after: str) -> int | None:
    """Where the first JSON object or list in the text ends; None while it does not."""
    begin = text.find(after) + len(after) if after and after in text else 0
    starts = [place for place in (text.find("{", begin), text.find("[", begin)) if place >= 0]
    if not starts:
        return None
    try:
        return _DECODER.raw_decode(text, min(starts))[1]
    except ValueError:
        return None


def _first(text: str, marks: Sequence[str]) -> tuple[int, str | None]:
    """The mark that comes first in the text, and where; of two at one place, the longer one."""
    found = [(place, -len(one), one) for one in marks if (place := text.find(one)) >= 0]
    if not found:
        return -1, None
    place, _, mark = min(found)
    return place, mark


def _beginning(text: str, marks: Sequence[str]) -> int:
    """How many characters at the end of the text may be the beginning of a mark."""
    longest = min(len(text), max(map(len, marks)) - 1)
    return next((size for size in range(longest, 0, -1) if any(one.startswith(text[-size:]) for one in marks)), 0)
