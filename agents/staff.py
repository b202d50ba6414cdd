"""A desk's worker: which names it runs, with what, and what it does beside."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any, Protocol

from ..broker.database import Database
from ..broker.functions import FunctionRuns
from ..broker.retention import Keep
from ..broker.runs import Handler
from ..broker.webhooks import Sender
from ..broker.worker import Worker
from ..tasks.registry import TaskFunction
from .agent import Agent
from .clearing import Clearing
from .summary_runs import SummaryRuns
from .summary_storage import task_name
from .team import Team
from .turn_runs import TurnRuns


class Employer(Protocol):
    """What a worker has to know of its desk."""

    entry: Agent
    agents: Mapping[str, Agent]
    tasks: Mapping[str, TaskFunction[..., Any]]

    @property
    def name(self) -> str: ...

    @property
    def dependencies(self) -> Any: ...

    def team(self) -> Team: ...

    async def aclose(self) -> None: ...


def worker_of(
    desk: Employer,
    database: Database,
    *,
    turns: int,
    tasks: int,
    queues: Collection[str] | None,
    lease: float,
    grace: float,
    schedules: bool,
    webhook_secret: str,
    keep: Keep | None,
) -> Worker:
    """As `Desk.worker`."""
    team = desk.team()
    runs = TurnRuns(team, desk.entry.name)
    functions = FunctionRuns(desk.tasks, lambda: desk.dependencies)
    work: dict[str, Handler] = {**dict.fromkeys(desk.tasks, functions), **dict.fromkeys(desk.agents, runs)}
    work[task_name(desk.name)] = SummaryRuns(team, desk.entry.name)
    return Worker(
        database,
        {desk.name: runs},
        work,
        turn_slots=turns,
        task_slots=tasks,
        queues=queues,
        lease=lease,
        grace=grace,
        schedules=desk.tasks.values() if schedules else (),
        webhooks=Sender(database, webhook_secret),
        beside=[Clearing(database, keep).run],
        closing=desk.aclose,
    )
