"""Arguments for one tool from one clause: every parameter gets a value of its type, or is reported as missing.
Nothing is made up.

The most telling parameters choose first (enums, paths, dates), the ones that would take anything (search texts)
last; a value is used once.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from typing import Any, Final

from ...model import JSON
from .clause import Clause, direction, joined, says, yes_or_no
from .members import named_members
from .numbers import number_for
from .roles import direction_of, role_of
from .schema import Parameter, kind_of, members, parameters_of
from .texts import as_text, free_text, role_kinds
from .values import Value, overlap
from .words import stems

MISSING: Final = object()
"""Said of a parameter that the text has nothing for."""


@dataclass(frozen=True, slots=True)
class Filled:
    """What the text gives. ``more``: further values of one parameter, side by side in the text, each worth a call
    of its own.
    """

    arguments: JSON
    missing: tuple[Parameter, ...] = ()
    more: tuple[tuple[str, Any], ...] = ()
    used: tuple[Value, ...] = ()

    @property
    def calls(self) -> tuple[JSON, ...]:
        return (self.arguments, *({**self.arguments, name: value} for name, value in self.more))


_CHANGING_MONEY: Final = stems("exchange rate currency convert conversion fx forex 환율 환전 wechselkurs")


def fill(
    parameters: tuple[Parameter, ...],
    clause: Clause,
    known: frozenset[str] = frozenset(),
    synonyms: tuple[tuple[str, str], ...] = (),
    *,
    guess: bool = True,
) -> Filled:
    """Arguments for ``parameters``.

    ``known`` are the stems of the tool's own words, which are no values; ``synonyms`` other words for members of enums.
    Without ``guess``, what remains of the clause is not taken for a text.
    """
    return _Filling(clause, known, synonyms, guess).fill(parameters)


@dataclass(slots=True)
class _Filling:
    clause: Clause
    known: frozenset[str]
    synonyms: tuple[tuple[str, str], ...]
    guess: bool
    used: list[Value] = field(default_factory=list[Value])
    more: list[tuple[str, Any]] = field(default_factory=list[tuple[str, Any]])
    numeric: tuple[Parameter, ...] = ()

    def fill(self, parameters: tuple[Parameter, ...]) -> Filled:
        self.numeric = tuple(one for one in parameters if one.numeric)
        found = {one.name: self._value(one) for one in sorted(parameters, key=_turn)}
        arguments: JSON = {}
        missing: list[Parameter] = []
        for one in parameters:
            if found[one.name] is not MISSING:
                arguments[one.name] = found[one.name]
            elif one.nullable and one.required:
                arguments[one.name] = None
            elif one.required:
                missing.append(one)
        more = tuple((name, value) for name, value in self.more if name in arguments)
        return Filled(arguments, tuple(missing), more if len({name for name, _ in more}) == 1 else (), tuple(self.used))

    def _value(self, parameter: Parameter) -> Any:
        for choice in self._likely(parameter):
            before = len(self.used)
            value = self._of_kind(parameter, choice)
            if value is not MISSING and parameter.takes(value):
                return value
            del self.used[before:]
        return MISSING

    def _likely(self, parameter: Parameter) -> list[JSON]:
        """The alternatives, the ones that the text names (``{"kind": {"const": "van"}}``) first."""

        def named(choice: JSON) -> int:
            constants = [str(value) for one in parameters_of(choice, parameter.root) for value in _constant(one)]
            return -len(stems(" ".join(constants)) & self.clause.terms.keys())

        return sorted(parameter.choices, key=named)

    def _of_kind(self, parameter: Parameter, choice: JSON) -> Any:
        match kind_of(choice):
            case "enum":
                return self._member(parameter, choice)
            case "integer" | "number" as kind:
                return self._number(parameter, whole=kind == "integer")
            case "boolean":
                return self._yes_or_no(parameter)
            case "array":
                return self._array(parameter, choice)
            case "object":
                return self._object(parameter, choice)
            case _:
                return MISSING if parameter.numeric else self._text(parameter, choice)  # Decimal: a number or its text

    # -- one value ---------------------------------------------------------------------------------

    def _free(self, values: tuple[Value, ...]) -> list[Value]:
        return [value for value in values if not any(overlap(value, one.start, one.end) for one in self.used)]

    def _take(self, parameter: Parameter, values: list[Value]) -> Any:
        """The value that stands where the parameter's direction says, else the first; its neighbours are kept for
        further calls.
        """
        wanted = direction_of(parameter.name)
        facing = [value for value in values if direction(self.clause, value) == wanted]
        neutral = [value for value in values if not direction(self.clause, value)]
        chosen = next(iter((facing or neutral) if wanted else values), None)
        if chosen is None:
            return MISSING
        self.used.append(chosen)
        last = chosen
        for value in values[values.index(chosen) + 1 :]:
            if joined(self.clause, last, value):
                self.more.append((parameter.name, value.value))
                self.used.append(last := value)
        return chosen.value

    def _member(self, parameter: Parameter, choice: JSON) -> Any:
        if len(listed := members(choice)) == 1 and not parameter.nullable:
            return listed[0]
        found = self._take(parameter, self._free(named_members(self.clause, listed, self.synonyms)))
        if (
            found is MISSING
            and {True, False} == set(map(bool, listed))
            and len(listed) == 2
            and isinstance(listed[0], bool)
        ):
            return self._yes_or_no(parameter)
        return found

    def _number(self, parameter: Parameter, *, whole: bool) -> Any:
        others = tuple(one for one in self.numeric if one != parameter)
        values = self._free(tuple(value for value in self.clause.values if value.kind == "number"))
        found = number_for(self.clause, parameter, values, others, whole=whole)
        if found is None:
            return MISSING
        self.used.append(found)
        return found.value

    def _yes_or_no(self, parameter: Parameter) -> Any:
        said = says(self.clause, parameter.name)
        if said is None and not parameter.optional:
            said = yes_or_no(self.clause.answered)
        return MISSING if said is None else said

    def _text(self, parameter: Parameter, choice: JSON) -> Any:
        form = str(choice.get("format", ""))
        role = role_of(parameter.name, form, parameter.description)
        if role == "plain" and direction_of(parameter.name) and self.known & _CHANGING_MONEY:
            role = "currency"
        for kind in role_kinds(role):
            fitting = (
                as_text(value, role, form, self.clause)
                for value in self._free(self.clause.values)
                if value.kind == kind
            )
            values = [value for value in fitting if value.value and parameter.takes(value.value)]
            found = (
                self._take(parameter, values) if kind in ("path", "currency", "url", "email") else self._first(values)
            )
            if found is not MISSING:
                return found
        place = free_text(self.clause, parameter, choice, role, self.known, tuple(self.used), guess=self.guess)
        if place is None:
            return MISSING
        value = Value("quoted", self.clause.text[place[0] : place[1]], *place)
        self.used.append(value)
        return value.value

    def _first(self, values: list[Value]) -> Any:
        self.used.extend(values[:1])
        return values[0].value if values else MISSING

    # -- many values -------------------------------------------------------------------------------

    def _array(self, parameter: Parameter, choice: JSON) -> Any:
        item = Parameter(parameter.name, parameter.description, (), False, False, parameter.root)
        for inner in _items(choice, parameter.root):
            found = list(self._each(replace(item, choices=(inner,)), inner, required=not parameter.optional))
            once = [one for at, one in enumerate(found) if one not in found[:at]]
            if once:
                return once
        return MISSING

    def _each(self, item: Parameter, inner: JSON, *, required: bool) -> Iterator[Any]:
        kind = kind_of(inner)
        if kind == "enum":
            values = self._free(named_members(self.clause, members(inner), self.synonyms))
        elif kind in ("number", "integer"):
            values = self._free(tuple(value for value in self.clause.values if value.kind == "number"))
        elif kind == "object":
            one = self._object(item, inner)
            yield from () if one is MISSING else (one,)
            return
        else:
            form = str(inner.get("format", ""))
            role = role_of(item.name, form, item.description)
            values = [
                as_text(value, role, form, self.clause)
                for kind in role_kinds(role)[:2]
                for value in self._free(self.clause.values)
                if value.kind == kind
            ]
            if not values and required:
                yield from self._listed(item, inner, role)
        for value in values:
            if item.takes(value.value):
                self.used.append(value)
                yield value.value

    def _listed(self, item: Parameter, inner: JSON, role: Any) -> Iterator[str]:
        item = replace(item, required=True)
        place = free_text(self.clause, item, inner, role, self.known, tuple(self.used), guess=self.guess)
        if place is not None:
            self.used.append(Value("quoted", "", *place))
            for part in self.clause.text[place[0] : place[1]].replace(" and ", ",").replace(" und ", ",").split(","):
                if part.strip() and item.takes(part.strip()):
                    yield part.strip()

    def _object(self, parameter: Parameter, choice: JSON) -> Any:
        inner = parameters_of(choice, parameter.root)
        if not inner:
            return MISSING
        within = _Filling(self.clause, self.known, self.synonyms, self.guess, list(self.used))
        filled = within.fill(inner)
        told = [name for name, value in filled.arguments.items() if value is not None]
        if filled.missing or (parameter.optional and len(within.used) == len(self.used)) or not told:
            return MISSING
        self.used[:] = within.used
        return filled.arguments


def _items(choice: JSON, root: JSON) -> tuple[JSON, ...]:
    return next((one.choices for one in parameters_of({"properties": {"items": choice.get("items", {})}}, root)), ())


def _constant(parameter: Parameter) -> list[Any]:
    return (
        members(parameter.choices[0]) if len(parameter.choices) == 1 and len(members(parameter.choices[0])) == 1 else []
    )


def _turn(parameter: Parameter) -> int:
    """Who chooses first."""
    choice = parameter.choices[0] if parameter.choices else {}
    kind = kind_of(choice)
    if kind == "array":
        kind = kind_of(next(iter(_items(choice, parameter.root)), choice))
    if kind == "enum":
        return 0
    if kind in ("boolean", "object"):
        return 5
    if kind in ("integer", "number"):
        return 3
    role = role_of(parameter.name, str(choice.get("format", "")), parameter.description)
    return {"plain": 7, "text": 8, "whole": 9, "person": 6, "place": 6, "id": 4}.get(role, 1)
