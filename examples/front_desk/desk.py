"""The agents of the demo, and how they are put together. Copy this file first when you start a desk of your own."""

from __future__ import annotations

from pathlib import Path

from frontdesk.agents import Agent, Context, Desk, tool
from frontdesk.agents.model import Model

from .file_tasks import FILE_TASKS, index_tree
from .file_tools import FILE_TOOLS
from .folder import Folder
from .market import MarketSettings
from .market_tools import MARKET_TOOLS
from .order_tools import Orders
from .services import Services
from .shop import Shop

STATE = ".frontdesk"
"""Where, in the folder, the desk keeps its own files unless it is told otherwise."""

DATABASE = ("frontdesk.db", "frontdesk.db-wal", "frontdesk.db-shm", "frontdesk.db-lock")
"""Where ``frontdesk serve`` keeps all conversations when it runs in the folder: nothing for a tool to read."""


@tool(idempotent=True, keywords=("help", "which folder", "도움말"))
def about_this_desk(context: Context[Services]) -> dict[str, str]:
    """Which folder this desk reads and what it can do. For questions about the desk itself."""
    return {
        "folder": context.dependencies.folder.root.name,
        "files": "list, find, read and search files",
        "background tasks": ", ".join(one.name for one in FILE_TASKS),
        "orders": "a pizza counter with a cart (a demo: nothing is charged or baked)",
        "market": "oil prices (WTI, Brent, Dubai), the US dollar in Korean won, exact products",
    }


files = Agent(
    "files",
    """\
You answer questions about the files in one folder; paths are relative to it.
Use the quick tools for names and single files. What reads a whole table or a whole tree is a job: file it with
create_task, say that it runs and what it is called, and do not wait for it.
Report numbers as they are; say what a result calls estimated, skipped or left out.
For anything that is not about files, hand over.""",
    tools=FILE_TOOLS,
    tasks=FILE_TASKS,
    handoffs=["triage", "orders", "market"],
    description="Finds, reads and analyses the person's files: CSV profiles, duplicates, indexes, checksums.",
    keywords=("files", "folder", "read", "파일", "폴더"),
)

market = Agent(
    "market",
    """\
You give oil prices and the dollar in won. With each figure say benchmark, date and source; when the source is sample
data, say that too. When no benchmark is named, take WTI.
A price in won is the price in dollars times the rate: multiply with the tool, never in your head.
Answer in the language of the question. For anything else, hand over.""",
    tools=MARKET_TOOLS,
    handoffs=["triage", "files", "orders"],
    description="Oil prices (WTI, Brent, Dubai), the US dollar in Korean won, exact products.",
    keywords=("oil", "won", "dollar", "유가", "환율"),
)

triage = Agent(
    "triage",
    """\
You are the front desk. Answer questions about the desk yourself, briefly.
When a request belongs to files, orders or market, hand over without asking first.
An overview of the folder you file yourself with create_task: say what it is called, and go on; its end is announced.
Never invent a file, a price or a result.""",
    tools=[about_this_desk],
    tasks=[index_tree],
    handoffs=[files, "orders", market],
    description="The front desk: answers questions about the desk and finds who can help.",
)


def counter(shop: Shop) -> Agent:
    """The pizza counter of a shop."""
    return Agent(
        "orders",
        """\
You are a pizza counter. Put into the cart what the person asks for, at once; ask only for a missing size.
Take prices from the menu, never from memory. Before checkout, name the total; the desk then asks the person for a yes.
For anything that is not about pizza, hand over.""",
        tools=[Orders(shop)],
        handoffs=["triage", "files", "market"],
        description="The pizza counter: menu, cart, checkout.",
        keywords=("pizza", "피자"),
    )


def build(
    folder: Path, *, state: Path, market: MarketSettings | None = None, model: Model | None = None
) -> Desk[Services]:
    """The demo desk for the files below ``folder``.

    ``state`` is the directory for the desk's own files (carts and orders), made when it is first needed. It may lie
    inside ``folder``; it is hidden from the tools then, as are the server's database and Python's
    virtual environments. Nothing else is ever written.
    Without ``market``, prices are sample data; without ``model``, the desk's default answers.
    """
    environments = (one.parent for one in folder.glob("*/pyvenv.cfg"))  # installed, and nobody's own files
    hidden = (state, *(folder / name for name in DATABASE), *environments)
    services = Services(Folder(folder, hidden=hidden), market or MarketSettings())
    orders = counter(Shop(state / "shop.db"))
    return Desk(triage, agents=[orders], name="front_desk", dependencies=services, model=model)
