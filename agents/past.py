"""What was said before a response: items that do not change any more, and what follows from them for a model. It only
grows. `Pasts` keeps those of the conversations that a worker has just had, so that a turn reads what is new.

No I/O is here. What makes it safe: an item of an ended response never changes. Whoever comes to delete or to edit one
must count the conversation's ``last_item`` on, by which a reader sees that it knows another history.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Final

from pydantic_core import from_json

from .events import encoded
from .history import StoredItem, model_items
from .model import JSON
from .owed import Owed
from .response import INPUT_STEP
from .results import KEPT
from .summaries import Summary, visible, weight_of

MOST_CHARACTERS: Final = 16_000_000  # of all histories that are kept
MOST_CONVERSATIONS: Final = 1_000


@dataclass(slots=True)
class _Shown:
    """What a model is shown of the first ``count`` items."""

    count: int = 0
    items: tuple[JSON, ...] = ()


class Past:
    """The items of earlier responses, whole responses at a time. ``counted``: the conversation's counter of items, up
    to where it has been read; ``size``: their characters as JSON; ``summarised``: up to which position a summary stands
    for them; ``visible``: what of them is shown to models.
    """

    def __init__(self, items: Iterable[StoredItem] = ()) -> None:
        self.items: list[StoredItem] = []
        self.by_id: dict[str, StoredItem] = {}
        self.call_ids: set[str] = set()
        self.visible: list[StoredItem] = []
        self.owed = Owed()
        self.has_kept = False  # whether a result in it is longer than it is shown
        self.counted = self.size = self.summarised = 0
        self._asked: set[str] = set()  # calls of functions that clients run, and have not answered
        self._answered: set[str] = set()
        self._shown: dict[str, _Shown] = {}
        self._weighed = self._weight = 0  # how many of ``visible``, and what they weigh
        self.extend(items)

    def extend(self, items: Iterable[StoredItem], *, counted: int = 0, size: int = 0) -> None:
        """Responses have ended; ``counted`` and ``size`` are how much these items add."""
        self.counted += counted
        self.size += size
        for one in items:
            self.items.append(one)
            self.visible.append(one)
            self.by_id[one.id] = one
            self.call_ids.add(call_id_of(one))
            self.owed.take(one)
            self.has_kept = self.has_kept or KEPT in one.body
            kind, call_id = one.body.get("type"), str(one.body.get("call_id"))
            if kind == "function_call":
                self._asked.add(call_id)
            elif kind == "function_call_output":
                self._answered.add(call_id)

    def take_over(self, items: Sequence[StoredItem]) -> None:
        """A response has ended whose run has written these items, and all of them: as they would be read now."""
        bodies = [encoded(one.body) for one in items]
        stored = [
            StoredItem(one.id, one.response_id, one.step, one.status, one.agent, from_json(body))
            for one, body in zip(items, bodies, strict=True)
        ]
        if self._weighed == len(self.visible):
            self._weighed += len(stored)
            self._weight += sum(len(body.encode()) for body in bodies)
        self.extend(stored, counted=len(stored), size=sum(len(body) for body in bodies))

    def summarise(self, summary: Summary | None) -> None:
        """From now on models are shown this summary of what it stands for; None: everything again."""
        self.summarised = 0 if summary is None else summary.position
        self.visible = visible(self.items, summary)
        self._shown.clear()
        self._weighed = self._weight = 0

    @property
    def weight(self) -> int:
        """The bytes of what is visible; what was weighed before is not weighed again."""
        self._weight += weight_of(self.visible[self._weighed :])
        self._weighed = len(self.visible)
        return self._weight

    @property
    def unanswered(self) -> frozenset[str]:
        """Calls that the client has not answered yet."""
        return frozenset(self._asked - self._answered) if self._asked else frozenset()

    def shown_to(self, model: str) -> tuple[JSON, ...]:
        """What the model is shown of all of it, with a repaired output for each call that has none. What was worked out
        before is kept, as long as nothing new belongs to it.
        """
        shown = self._shown.setdefault(model, _Shown())
        if shown.count < len(self.visible):
            new = self.visible[shown.count :]
            if shown.count and not reaches_back(new):
                shown.items += model_items(new, model=model)
            else:
                shown.items = model_items(self.visible, model=model)
            shown.count = len(self.visible)
        return shown.items


def call_id_of(item: StoredItem) -> str:
    """The model's id of a call or an output; of another item it means nothing."""
    return str(item.body.get("frontdesk:call_id") or item.body.get("call_id"))


def reaches_back(items: Sequence[StoredItem]) -> bool:
    """Whether items of later responses may belong to what is in earlier ones: a client's outputs, and what it claims to
    have been said.
    """
    return any(one.step == INPUT_STEP and one.body.get("type") != "message" for one in items)


@dataclass(slots=True)
class Pasts:
    """The pasts of the conversations that were used last. Each is lent to one run at a time."""

    _kept: OrderedDict[str, Past] = field(default_factory=OrderedDict[str, Past])
    _size: int = 0

    def take(self, conversation_id: str) -> Past:
        """The past of a conversation as far as it is known, for one run alone; give it back with `keep`."""
        found = self._kept.pop(conversation_id, None)
        if found is None:
            return Past()
        self._size -= found.size
        return found

    def keep(self, conversation_id: str, past: Past) -> None:
        """Keeps it for the conversation's next run, in place of those that have not been used for longest."""
        self.take(conversation_id)
        self._kept[conversation_id] = past
        self._size += past.size
        while self._kept and (self._size > MOST_CHARACTERS or len(self._kept) > MOST_CONVERSATIONS):
            self._size -= self._kept.popitem(last=False)[1].size
