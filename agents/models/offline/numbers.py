"""Which number of a text a parameter means: the one beside its name, the one with its unit, or the one that is left."""

from __future__ import annotations

from dataclasses import replace
from typing import Final

from .clause import Clause
from .schema import Parameter
from .values import Value
from .vocabulary import STOP
from .words import fold, stem, stems

_SCALES: Final[tuple[dict[str, float], ...]] = (
    {
        "byte": 1,
        "bytes": 1,
        "b": 1,
        "kb": 1e3,
        "kib": 1024,
        "mb": 1e6,
        "mib": 1024**2,
        "gb": 1e9,
        "gib": 1024**3,
        "tb": 1e12,
    },
    {
        **dict.fromkeys(("s", "sec", "secs", "second", "seconds", "sekunde", "sekunden", "초"), 1.0),
        **dict.fromkeys(("min", "mins", "minute", "minutes", "minuten", "분"), 60.0),
        **dict.fromkeys(("h", "hr", "hrs", "hour", "hours", "stunde", "stunden", "시간"), 3600.0),
        **dict.fromkeys(("day", "days", "tag", "tage", "tagen", "일"), 86400.0),
        **dict.fromkeys(("week", "weeks", "woche", "wochen", "주"), 604800.0),
    },
)
_SAYS_LITTLE: Final = frozenset(
    map(
        stem,
        [
            "id",
            "number",
            "no",
            "count",
            "num",
            "quantity",
            "amount",
            "max",
            "min",
            "maximum",
            "minimum",
            "limit",
            "value",
            "the",
            "of",
        ],
    )
)
_COUNTS: Final = frozenset(
    map(
        stem,
        [
            "quantity",
            "count",
            "how",
            "many",
            "number",
            "people",
            "persons",
            "guests",
            "copies",
            "amount",
            "anzahl",
            "menge",
        ],
    )
)


def number_for(
    clause: Clause, parameter: Parameter, values: list[Value], others: tuple[Parameter, ...], *, whole: bool
) -> Value | None:
    """The value for ``parameter``, among ``values`` that nobody has used yet; ``others`` are the tool's other
    numeric parameters.

    An optional parameter takes a number that its own words or unit point at, or the only one left when it is the
    only one to take it.
    """
    fitting = [
        value
        for one in values
        if (value := _scaled(one, parameter, whole)) is not None and parameter.takes(value.value)
    ]
    claimed = sorted(fitting, key=lambda value: -_claim(clause, parameter, value))
    if (
        claimed
        and (mine := _claim(clause, parameter, claimed[0])) > 0
        and all(_claim(clause, other, claimed[0]) <= mine for other in others)
    ):
        return claimed[0]
    left = [value for value in fitting if not any(_claim(clause, other, value) > 0 for other in others)]
    if not left:
        return None
    if not parameter.optional:
        return left[0]
    return left[0] if len(values) == 1 and not others else None


def _scaled(value: Value, parameter: Parameter, whole: bool) -> Value | None:
    """``value`` in the parameter's own unit; a number that is not whole is none for an integer."""
    amount = value.value
    unit = fold(value.unit)
    wanted = [
        fold(word)
        for word in (parameter.name + " " + parameter.description).replace("_", " ").replace(".", " ").split()
    ]
    for scale in _SCALES:
        own = next((word for word in wanted if word in scale and len(word) > 1), None)
        if unit in scale and own:
            amount = amount * scale[unit] / scale[own]
    if isinstance(amount, float) and amount.is_integer() and (whole or isinstance(value.value, int)):
        amount = int(amount)
    return None if whole and not isinstance(amount, int) else replace(value, value=amount)


def _claim(clause: Clause, parameter: Parameter, value: Value) -> float:
    """How strongly the words around a number speak for a parameter."""
    name = parameter.stems - _SAYS_LITTLE
    about = stems(parameter.description) - _SAYS_LITTLE
    if value.unit and any(fold(value.unit) in scale and scale.keys() & _plain(parameter.name) for scale in _SCALES):
        return 4
    before = [one for one in clause.words if one.end <= value.start][-2:]
    after = [one for one in clause.words if one.start >= value.end][:2]
    if name & {one.stem for one in (*before[-1:], *after[:1])}:
        return 3
    if name & {one.stem for one in (*before, *after)}:
        return 2
    if about & {one.stem for one in (*before[-1:], *after[:1]) if one.folded not in STOP}:
        return 1.5
    return (
        1
        if parameter.stems & _COUNTS and after and after[0].folded not in STOP and not value.unit.startswith("%")
        else 0
    )


def _plain(name: str) -> frozenset[str]:
    return frozenset(fold(part) for part in name.split("_"))
