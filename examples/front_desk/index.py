"""What a tree holds: files and bytes per extension, the biggest files, the words of its text files and the most
frequent of them.
"""

from __future__ import annotations

import codecs
import heapq
import re
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

from frontdesk.tasks import ToolError

from .folder import Entry, Folder, Place, shown
from .sketches import Distinct, MostCommon
from .steps import Pace, Progress, Steps
from .textfile import SAMPLE, encoding_of
from .tree import Skipped, Tree, scan

BIGGEST: Final = 20
TOP_WORDS: Final = 50
MOST_EXTENSIONS: Final = 200
LONGEST_WORD: Final = 40  # longer runs of letters are data, not words

_WORD: Final = re.compile(r"[^\W\d_]{2,}")
_LETTER: Final = re.compile(r"[^\W\d_]")


@dataclass(frozen=True, slots=True)
class ExtensionTotal:
    extension: str  # in lower case, with its dot; empty for names without one
    files: int
    bytes: int


@dataclass(frozen=True, slots=True)
class BigFile:
    path: str
    size: int


@dataclass(frozen=True, slots=True)
class WordCount:
    word: str
    count: int


@dataclass(frozen=True, slots=True)
class TreeIndex:
    """``words`` are runs of two to forty letters in text files, in lower case. ``distinct_words`` is exact while its
    (standard) error is 0; a count in ``top_words`` may be too low by ``top_words_missed``, never too high.
    """

    path: str
    files: int
    bytes: int
    extensions: tuple[ExtensionTotal, ...]  # the largest first, at most 200
    biggest_files: tuple[BigFile, ...]
    text_files: int
    words: int
    distinct_words: int
    distinct_words_error: float
    top_words: tuple[WordCount, ...]
    top_words_missed: int
    skipped: Skipped


class _Words:
    def __init__(self) -> None:
        self.files = self.total = 0
        self.distinct: Final = Distinct(65_536)
        self.common: Final = MostCommon()

    def add(self, counts: Counter[str]) -> None:
        self.total += counts.total()
        self.common.add(counts)
        for word in counts:
            self.distinct.add(word)


def index_tree(folder: Folder, top: Place, *, pace: Pace | None = None) -> Steps[TreeIndex]:
    """Reads the text files below ``top`` and counts all files. Raises ToolError when ``top`` is not a directory."""
    pace = pace or Pace()
    tree = yield from scan(folder, top, pace)
    expected = tree.bytes or 1
    done = 0
    words = _Words()
    for entry in tree.files:
        try:
            yield from _read_words(folder, entry, words, pace, done, expected)
        except ToolError as error:
            tree.skips.add(error)
        done += entry.size
    return _result(top, tree, words)


def _read_words(folder: Folder, entry: Entry, words: _Words, pace: Pace, before: int, expected: int) -> Steps[None]:
    read = 0
    decoder: codecs.IncrementalDecoder | None = None
    rest = ""
    for chunk in folder.chunks(entry.place):
        if decoder is None:
            encoding = encoding_of(chunk[:SAMPLE])
            if encoding is None:
                return
            words.files += 1
            decoder = codecs.getincrementaldecoder(encoding)("replace")
        read += len(chunk)
        text = rest + decoder.decode(chunk)
        whole, rest = _cut(text)
        words.add(_count(whole))
        if pace.due():
            yield Progress(min((before + read) / expected, 1.0), shown(entry.place))
    words.add(_count(rest))


def _cut(text: str) -> tuple[str, str]:
    """Divides a text before the word at its end, which may go on in the next piece. Too long a word stays too long."""
    cut = len(text)
    while cut and _LETTER.match(text, cut - 1):
        cut -= 1
    return text[:cut], text[cut:][: LONGEST_WORD + 1]


def _count(text: str) -> Counter[str]:
    return Counter(word for word in _words(text) if len(word) <= LONGEST_WORD)


def _words(text: str) -> Iterator[str]:
    return (match[0] for match in _WORD.finditer(text.casefold()))


def _result(top: Place, tree: Tree, words: _Words) -> TreeIndex:
    files: Counter[str] = Counter()
    sizes: Counter[str] = Counter()
    for entry in tree.files:
        extension = extension_of(entry.name)
        files[extension] += 1
        sizes[extension] += entry.size
    extensions = heapq.nsmallest(MOST_EXTENSIONS, sizes, key=lambda name: (-sizes[name], name))
    biggest = heapq.nsmallest(BIGGEST, tree.files, key=lambda entry: -entry.size)
    return TreeIndex(
        path=shown(top),
        files=len(tree.files),
        bytes=tree.bytes,
        extensions=tuple(ExtensionTotal(shown(name), files[name], sizes[name]) for name in extensions),
        biggest_files=tuple(BigFile(shown(entry.place), entry.size) for entry in biggest),
        text_files=words.files,
        words=words.total,
        distinct_words=words.distinct.count(),
        distinct_words_error=round(words.distinct.error(), 4),
        top_words=tuple(WordCount(word, count) for word, count in words.common.top(TOP_WORDS)),
        top_words_missed=words.common.missed,
        skipped=tree.skips.result(),
    )


def extension_of(name: str) -> str:
    """The extension of a file's name in lower case: ``.gz`` of ``a.tar.gz``, nothing of ``.bashrc`` or ``notes``."""
    stem, dot, extension = name.rpartition(".")
    return f".{extension.lower()}" if stem and dot and extension else ""
