"""The stand-in asked for an answer in a form."""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel

from frontdesk.agents import Agent, Desk
from frontdesk.agents.memory import run_in_memory
from frontdesk.agents.models.offline import OfflineModel


class Address(BaseModel):
    street: str
    number: int
    city: Literal["Bonn", "Kiel"] = "Bonn"


class Parcel(BaseModel):
    item: Literal["pen", "book"]
    count: int = 1
    ship_to: Address | None = None


async def test_an_answer_in_a_form_holds_what_the_person_said() -> None:
    desk = Desk(Agent("sorter", "You sort.", output_type=Parcel), model=OfflineModel())
    turn = await run_in_memory(desk, "3 books, please")
    assert turn.outcome.result == {"item": "book", "count": 3, "ship_to": None}


async def test_what_the_person_did_not_say_is_not_made_up() -> None:
    desk = Desk(Agent("sorter", "You sort.", output_type=Address), model=OfflineModel())
    turn = await run_in_memory(desk, "hello")
    assert turn.outcome.status == "failed"
    assert "the offline model" in turn.text
