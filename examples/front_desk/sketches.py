"""Answers about streams that do not fit in memory: how many distinct values, which quantiles, which words most often.

Each is exact while the stream is small, bounded in memory however long it gets, and knows how wrong it may be. No
chance is involved: the same stream gives the same answer, so a job that is run again agrees with itself.
"""

from __future__ import annotations

import heapq
import math
from array import array
from bisect import bisect_left
from collections import Counter
from collections.abc import Mapping, Sequence
from hashlib import blake2b
from itertools import accumulate
from typing import Final

_SPACE: Final = 2.0**64


class Distinct:
    """Counts distinct texts by keeping the ``size`` smallest of their 64-bit hashes (Bar-Yossef et al. 2002, "k minimum
    values").

    Exact up to ``size`` distinct texts. Beyond that the ``size``-th smallest hash tells how densely the hashes lie.
    """

    __slots__ = ("_kept", "_largest", "exact", "size")

    def __init__(self, size: int = 4096) -> None:
        self.size: Final = size
        self.exact = True
        self._kept: set[int] = set()
        self._largest: list[int] = []  # a heap of the same hashes, negated: the largest first

    def add(self, text: str) -> None:
        digest = int.from_bytes(blake2b(text.encode("utf-8", "surrogatepass"), digest_size=8).digest())
        if digest in self._kept:
            return
        if len(self._kept) < self.size:
            heapq.heappush(self._largest, -digest)
        else:
            self.exact = False
            if digest > -self._largest[0]:
                return
            self._kept.remove(-heapq.heapreplace(self._largest, -digest))
        self._kept.add(digest)

    def count(self) -> int:
        """How many distinct texts were added."""
        if self.exact:
            return len(self._kept)
        return round((self.size - 1) * _SPACE / (1 - self._largest[0]))

    def error(self) -> float:
        """The standard error of ``count`` as a part of it; 0 while it is exact."""
        return 0.0 if self.exact else 1 / math.sqrt(self.size - 2)


class Quantiles:
    """Quantiles of numbers by compaction (Manku, Rajagopalan, Lindsay 1998): full buffers are sorted and every other
    value moves up, weighing double.

    One compaction of values of weight w moves any rank by at most w, and alternately up and down, which bounds the
    error with certainty.
    """

    __slots__ = ("_compactions", "_levels", "count", "size")

    def __init__(self, size: int = 1024) -> None:
        self.size: Final = size + size % 2
        self.count = 0
        self._levels: list[array[float]] = [array("d")]
        self._compactions: list[int] = [0]

    def add(self, values: Sequence[float]) -> None:
        self.count += len(values)
        start = 0
        while start < len(values):
            end = start + self.size - len(self._levels[0])
            self._levels[0].extend(values[start:end])
            self._compact()
            start = end

    def _compact(self) -> None:
        level = 0
        while len(self._levels[level]) >= self.size:
            if level + 1 == len(self._levels):
                self._levels.append(array("d"))
                self._compactions.append(0)
            full = sorted(self._levels[level])
            odd = len(full) % 2  # one value stays behind, so that pairs are compacted
            offset = self._compactions[level] % 2
            self._levels[level + 1].extend(full[odd + offset :: 2])
            self._levels[level] = array("d", full[:odd])
            self._compactions[level] += 1
            level += 1

    def value(self, percent: int) -> float:
        """The smallest value with at least ``percent`` % of the numbers at or below it. Needs at least one number."""
        wanted = max(1, -(-percent * self.count // 100))
        weighted = sorted((value, 1 << level) for level, values in enumerate(self._levels) for value in values)
        ranks = list(accumulate(weight for _, weight in weighted))
        return weighted[bisect_left(ranks, wanted)][0]

    def error(self) -> float:
        """How far the rank of any answer can be off, as a part of all numbers; 0 while the answers are exact. Certain,
        not probable.
        """
        off = sum(((compactions + 1) // 2) << level for level, compactions in enumerate(self._compactions))
        return off / self.count if self.count else 0.0


class MostCommon:
    """Counts texts and forgets rare ones when there are more than ``size`` (Misra and Gries 1982, in batches).

    A count may be too low by at most ``missed``, never too high.
    """

    __slots__ = ("_counts", "missed", "size")

    def __init__(self, size: int = 100_000) -> None:
        self.size: Final = size
        self.missed = 0
        self._counts: Counter[str] = Counter()

    def add(self, counts: Mapping[str, int]) -> None:
        self._counts.update(counts)
        if len(self._counts) > self.size:
            rarest = sorted(self._counts.values(), reverse=True)[self.size // 2]
            self.missed += rarest
            self._counts = Counter({text: count - rarest for text, count in self._counts.items() if count > rarest})

    def top(self, number: int) -> list[tuple[str, int]]:
        """The ``number`` most common texts, the more common first, equals in alphabetical order."""
        return heapq.nsmallest(number, self._counts.items(), key=lambda item: (-item[1], item[0]))
