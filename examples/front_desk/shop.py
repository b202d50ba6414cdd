"""The pizza counter's memory: carts and orders in one small SQLite file that outlives every crash.

A change and the answer to it are one commit under the key of the call that asked for it. A call that is repeated,
because its worker died before the answer was recorded, finds that answer and changes nothing. No model, no
conversation: a cart is known by two strings.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Generator, Iterable
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from decimal import Decimal
from enum import StrEnum
from pathlib import Path
from typing import Final, NamedTuple, TypeVar

from pydantic import TypeAdapter
from pydantic_core import to_json

from frontdesk.tasks import ToolError

R = TypeVar("R")

MOST_OF_A_KIND: Final = 50
LONGEST_INSTRUCTIONS: Final = 500
WAL_IS_SAFE: Final = sqlite3.sqlite_version_info >= (3, 51, 3)  # before, two writing processes could corrupt the file

_SCHEMA: Final = (
    "CREATE TABLE IF NOT EXISTS carts (tenant TEXT, conversation TEXT, last INTEGER,"
    " PRIMARY KEY (tenant, conversation))",
    "CREATE TABLE IF NOT EXISTS pizzas (tenant TEXT, conversation TEXT, pizza_id INTEGER, body TEXT NOT NULL,"
    " PRIMARY KEY (tenant, conversation, pizza_id))",
    "CREATE TABLE IF NOT EXISTS answers (tenant TEXT, conversation TEXT, key TEXT, body TEXT NOT NULL,"
    " PRIMARY KEY (tenant, conversation, key))",
    "CREATE TABLE IF NOT EXISTS orders (number INTEGER PRIMARY KEY AUTOINCREMENT, tenant TEXT, conversation TEXT,"
    " total TEXT NOT NULL, pizzas TEXT NOT NULL, ordered_at TEXT NOT NULL DEFAULT CURRENT_TIMESTAMP)",
)


class Size(StrEnum):
    SMALL = "small"
    MEDIUM = "medium"
    LARGE = "large"


class Topping(StrEnum):
    MUSHROOMS = "mushrooms"
    PEPPERONI = "pepperoni"
    SAUSAGE = "sausage"
    ONIONS = "onions"
    OLIVES = "olives"
    PEPPERS = "peppers"
    PINEAPPLE = "pineapple"
    EXTRA_CHEESE = "extra cheese"


PRICES: Final = {Size.SMALL: Decimal("9.00"), Size.MEDIUM: Decimal("12.00"), Size.LARGE: Decimal("15.00")}
TOPPING_PRICE: Final = Decimal("1.50")


class CartKey(NamedTuple):
    """Whose cart it is."""

    tenant: str
    conversation: str


@dataclass(frozen=True, slots=True)
class Pizza:
    """One line of a cart: ``quantity`` equal pizzas. ``pizza_id`` is never used twice in a cart."""

    pizza_id: int
    size: Size
    toppings: tuple[Topping, ...]
    quantity: int
    special_instructions: str
    price_usd: Decimal  # of the whole line

    def words(self) -> str:
        """``2 large pizzas (Mushrooms, Pepperoni)``."""
        toppings = ", ".join(topping.value.capitalize() for topping in self.toppings) or "plain"
        return f"{self.quantity} {self.size.value} pizza{'s' if self.quantity > 1 else ''} ({toppings})"


@dataclass(frozen=True, slots=True)
class Menu:
    sizes: dict[Size, Decimal]
    toppings: tuple[Topping, ...]
    price_per_topping: Decimal
    currency: str = "USD"


@dataclass(frozen=True, slots=True)
class CartChange:
    """What was added or removed; not the whole cart."""

    summary: str
    pizza: Pizza


@dataclass(frozen=True, slots=True)
class Cart:
    pizzas: tuple[Pizza, ...]
    total_usd: Decimal


@dataclass(frozen=True, slots=True)
class Order:
    order_number: int
    summary: str
    total_usd: Decimal


MENU: Final = Menu(PRICES, tuple(Topping), TOPPING_PRICE)
_PIZZA: Final = TypeAdapter(Pizza)


class Shop:
    """Carts and orders in the file at ``path``, which is made when it is first needed. Any number of threads and
    processes may share it.
    """

    def __init__(self, path: Path, *, wal: bool = WAL_IS_SAFE) -> None:
        self._path: Final = path
        self._wal: Final = wal

    def add(
        self, cart: CartKey, key: str, size: Size, toppings: Iterable[Topping], quantity: int, instructions: str
    ) -> CartChange:
        """Puts pizzas into the cart, once per ``key``."""
        if not 1 <= quantity <= MOST_OF_A_KIND:
            raise ToolError(f"The counter takes 1 to {MOST_OF_A_KIND} pizzas of a kind, not {quantity}.")
        if len(instructions) > LONGEST_INSTRUCTIONS:
            raise ToolError(f"Special instructions have at most {LONGEST_INSTRUCTIONS} characters.")
        chosen = tuple(dict.fromkeys(toppings))
        price = (PRICES[size] + TOPPING_PRICE * len(chosen)) * quantity

        def change(db: sqlite3.Connection) -> CartChange:
            (pizza_id,) = db.execute(
                "INSERT INTO carts VALUES (?, ?, 1) ON CONFLICT DO UPDATE SET last = last + 1 RETURNING last", cart
            ).fetchone()
            pizza = Pizza(pizza_id, size, chosen, quantity, instructions.strip(), price)
            db.execute("INSERT INTO pizzas VALUES (?, ?, ?, ?)", (*cart, pizza_id, to_json(pizza).decode()))
            return CartChange(f"{pizza.words()} in your cart", pizza)

        return self._once(cart, key, change, CartChange)

    def remove(self, cart: CartKey, key: str, pizza_id: int) -> CartChange:
        """Takes a line out of the cart, once per ``key``."""

        def change(db: sqlite3.Connection) -> CartChange:
            pizza = _one(_pizzas(db, cart), pizza_id)
            db.execute("DELETE FROM pizzas WHERE (tenant, conversation, pizza_id) = (?, ?, ?)", (*cart, pizza_id))
            return CartChange(f"{pizza.words()} removed from the cart", pizza)

        return self._once(cart, key, change, CartChange)

    def pizza(self, cart: CartKey, pizza_id: int) -> Pizza:
        with self._transaction() as db:
            return _one(_pizzas(db, cart), pizza_id)

    def cart(self, cart: CartKey) -> Cart:
        with self._transaction() as db:
            return _cart(_pizzas(db, cart))

    def checkout(self, cart: CartKey, key: str) -> Order:
        """Makes an order of the cart and empties it, once per ``key``."""

        def change(db: sqlite3.Connection) -> Order:
            content = _cart(_pizzas(db, cart))
            if not content.pizzas:
                raise ToolError("The cart is empty. Add a pizza first.")
            number = db.execute(
                "INSERT INTO orders (tenant, conversation, total, pizzas) VALUES (?, ?, ?, ?)",
                (*cart, str(content.total_usd), to_json(content.pizzas).decode()),
            ).lastrowid
            db.execute("DELETE FROM pizzas WHERE (tenant, conversation) = (?, ?)", cart)
            words = ", ".join(pizza.words() for pizza in content.pizzas)
            return Order(number or 0, f"Ordered: {words}", content.total_usd)

        return self._once(cart, key, change, Order)

    def _once(self, cart: CartKey, key: str, change: Callable[[sqlite3.Connection], R], kind: type[R]) -> R:
        with self._transaction() as db:
            where = "WHERE (tenant, conversation, key) = (?, ?, ?)"
            if known := db.execute(f"SELECT body FROM answers {where}", (*cart, key)).fetchone():
                return TypeAdapter(kind).validate_json(known[0])
            answer = change(db)
            db.execute("INSERT INTO answers VALUES (?, ?, ?, ?)", (*cart, key, to_json(answer).decode()))
            return answer

    @contextmanager
    def _transaction(self) -> Generator[sqlite3.Connection]:
        """A connection of its own for each call: a tool runs in whichever thread is free."""
        self._path.parent.mkdir(parents=True, exist_ok=True)
        db = sqlite3.connect(self._path, timeout=10, isolation_level=None)
        try:
            if self._wal:
                with suppress(sqlite3.OperationalError):  # another connection is setting it at this moment
                    db.execute("PRAGMA journal_mode = WAL").fetchone()
            db.execute("PRAGMA synchronous = FULL")
            db.execute("BEGIN IMMEDIATE")
            for statement in _SCHEMA:
                db.execute(statement)
            yield db
            db.execute("COMMIT")
        finally:
            db.close()  # rolls back what is not committed


def _pizzas(db: sqlite3.Connection, cart: CartKey) -> list[Pizza]:
    rows = db.execute("SELECT body FROM pizzas WHERE (tenant, conversation) = (?, ?) ORDER BY pizza_id", cart)
    return [_PIZZA.validate_json(body) for (body,) in rows.fetchall()]


def _one(pizzas: list[Pizza], pizza_id: int) -> Pizza:
    for pizza in pizzas:
        if pizza.pizza_id == pizza_id:
            return pizza
    known = ", ".join(str(pizza.pizza_id) for pizza in pizzas)
    raise ToolError(
        f"There is no pizza {pizza_id} in the cart. " + (f"There are: {known}." if known else "It is empty.")
    )


def _cart(pizzas: list[Pizza]) -> Cart:
    return Cart(tuple(pizzas), sum((pizza.price_usd for pizza in pizzas), Decimal("0.00")))
