"""Calls that come in pieces: which piece belongs to which call, on servers that count in their own ways. Pure.

OpenAI numbers calls by ``index`` and names each once. Known otherwise: no index; index 0 for all calls of a reply; no
id; another id with each piece; the name repeated; whole calls at once; arguments as an object instead of text.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from pydantic_core import from_json, to_json

from ..model import JSON, FunctionCall


@dataclass(slots=True)
class _Call:
    index: int | None
    id: str = ""
    name: str = ""
    arguments: str = ""


class CallParts:
    """Collects the pieces of one reply's calls."""

    def __init__(self) -> None:
        self._calls: list[_Call] = []

    def add(self, part: JSON) -> None:
        """Takes one entry of ``delta.tool_calls``."""
        function: JSON = part.get("function") or {}
        piece = _Call(
            part.get("index"),
            part.get("id") or "",
            function.get("name") or "",
            _text(function.get("arguments")),
        )
        call = self._last(piece.index)
        if call is None or _begins(piece, call):
            self._calls.append(piece)
            return
        call.id = call.id or piece.id
        if piece.name != call.name:
            call.name += piece.name
        call.arguments += piece.arguments

    def calls(self, *, cut_off: bool) -> Iterable[FunctionCall]:
        """The calls, in the order in which they began; of a reply that was cut off, only those with all arguments."""
        for call in self._calls:
            if not cut_off or _is_json(call.arguments):
                yield FunctionCall(call.id, call.name, call.arguments)

    def _last(self, index: int | None) -> _Call | None:
        return next((call for call in reversed(self._calls) if index is None or call.index == index), None)


def _begins(piece: _Call, last: _Call) -> bool:
    """Whether a piece that could go on with ``last`` begins another call instead. Only one that has a name can."""
    if not piece.name or not last.name or (piece.id and piece.id == last.id):
        return False
    if piece.index is None or (piece.id and last.id):
        return True
    return bool(piece.arguments) and _is_json(last.arguments)


def _text(arguments: Any) -> str:
    if arguments is None:
        return ""
    return arguments if isinstance(arguments, str) else to_json(arguments).decode()


def _is_json(text: str) -> bool:
    try:
        from_json(text)
    except ValueError:
        return False
    return True
