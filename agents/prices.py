"""What tokens cost. Pure: prices are the application's, nothing here knows any provider's."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from ..tasks.errors import InvalidOption
from .model import Usage

_DATED: Final = re.compile(r"-\d{4}-?\d{2}-?\d{2}$")  # gpt-5-2025-08-07 costs what gpt-5 costs
_MILLION: Final = 1_000_000


@dataclass(frozen=True, slots=True)
class Price:
    """What a million tokens of a model cost, in any currency, as long as all prices of a desk are in the same one.

    ``cached`` is for input tokens that the provider had cached, ``cache_write`` for those that it was paid to cache;
    None: as ``input``. Reasoning tokens are output tokens.

    Raises:
        InvalidOption: a price below zero.
    """

    input: float
    output: float
    cached: float | None = None
    cache_write: float | None = None

    def __post_init__(self) -> None:
        for name in ("input", "output", "cached", "cache_write"):
            value = getattr(self, name)
            if value is not None and not value >= 0:
                raise InvalidOption(f"a price for {name} tokens is zero or more, not {value!r}")

    def of(self, usage: Usage) -> float:
        """What these tokens cost."""
        cached = self.input if self.cached is None else self.cached
        written = self.input if self.cache_write is None else self.cache_write
        plain = usage.input_tokens - usage.cached_tokens - usage.cache_write_tokens
        paid = plain * self.input + usage.cached_tokens * cached + usage.cache_write_tokens * written
        return (paid + usage.output_tokens * self.output) / _MILLION


def price_of(prices: Mapping[str, Price], model: str) -> Price | None:
    """The price of a model: by its name, or by its name without a date at the end."""
    return prices.get(model) or prices.get(_DATED.sub("", model))
