"""A request taken apart into clauses: at ``and``, semicolons and the ends of sentences, but only where each part
stands by itself.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Final

from .clause import READ
from .values import overlap, scan

_AND: Final = r"and then|and also|and|then|also|plus|und dann|und|dann|sowie|et|puis|y|luego"
_BORDER: Final = re.compile(
    rf"\s*(?:,\s*)?\b(?:{_AND})\b\s*|\s*[;\n]+\s*|\s*,\s+|(?<=\w)[.!?]+\s+|[。！？]\s*"
    r"|\s*(?:그리고|그 다음에?|하고 나서)\s*|(?<=[고와과])\s+",
    re.IGNORECASE,
)


def split(text: str, stands_alone: Callable[[str], bool]) -> list[str]:
    """The clauses of ``text``. A part that does not stand alone stays with the part before it, leading ones with
    the part after.
    """
    read = text[:READ]
    quoted = [value for value in scan(read) if value.kind in ("quoted", "url", "email", "date", "time")]
    borders = [
        one for one in _BORDER.finditer(read) if not any(overlap(value, one.start(), one.end()) for value in quoted)
    ]
    starts, ends = [0, *(one.end() for one in borders)], [*(one.start() for one in borders), len(text)]
    clauses: list[tuple[int, int]] = []
    whole = False  # whether the last clause stands by itself
    for start, end in zip(starts, ends, strict=True):
        if not re.search(r"\w|\.", text[start:end]):
            continue
        alone = stands_alone(text[start:end])
        if clauses and not (alone and whole):
            clauses[-1] = (clauses[-1][0], end)
            whole = whole or alone
        else:
            clauses.append((start, end))
            whole = alone
    return [text[start:end] for start, end in clauses] or [text]
