"""The desk: what an application defines. It finds every reachable agent, tool and task by itself, and checks them when
it is constructed.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from functools import cached_property
from typing import TYPE_CHECKING, Any, Final, Generic, TypeAlias, overload

from anyio import CapacityLimiter
from typing_extensions import TypeVar, Unpack

from ..tasks.registry import TaskFunction
from .agent import Agent, Colleague, name_of
from .answer import Answer, TurnFailed
from .catalog import HANDOFF_PREFIX, Catalog, handoff_spec
from .choice import chosen
from .desk_options import DeskOptions, Options
from .errors import DeskError, ToolChoiceError
from .handoff import ItemFilter
from .model import JSON, Model, ToolSpec
from .model_slots import ModelSlots
from .output_type import output_type
from .results import READ_RESULT
from .roster import check_hidden, reachable, task_functions
from .task_tools import FOLLOW_UP, create_task_spec
from .team import Team

if TYPE_CHECKING:  # defining a desk does not pay for what runs it: that is imported when it is run
    from ..broker.database import Database
    from ..broker.filing import Filed
    from ..broker.retention import Keep
    from ..broker.worker import Worker
    from .caller import RunOptions
    from .hosting import Application, Hosting

D = TypeVar("D", default=None)
T = TypeVar("T")
Filable: TypeAlias = TaskFunction[..., Any] | str  # a task function of the desk, or its name
Arguments: TypeAlias = Mapping[str, Any] | None

TOOL_THREADS: Final = 40


class Desk(Generic[D]):
    """Agents, who is asked first, and what they work with. Immutable once constructed.

    Args:
        entry: The agent that takes a new conversation (triage).
        dependencies: What tools and tasks get as ``context.dependencies``: a value, or a function (or class) without
            parameters that makes it, called once when it is first needed.
        options: Everything else, by keyword: `DeskOptions` says what there is and what it means.

    Raises:
        DeskError: an unknown colleague, two agents or two tasks of one name, a name or an option that cannot be one, a
            hidden parameter that the dependencies have nothing for.
    """

    @overload
    def __init__(self: Desk[None], entry: Agent, *, dependencies: None = ..., **options: Unpack[Options]) -> None: ...

    @overload
    def __init__(self, entry: Agent, *, dependencies: Callable[[], D], **options: Unpack[Options]) -> None: ...

    @overload
    def __init__(self, entry: Agent, *, dependencies: D, **options: Unpack[Options]) -> None: ...

    def __init__(self, entry: Agent, *, dependencies: Any = None, **options: Unpack[Options]) -> None:
        self.options = given = DeskOptions(**options)
        self.entry, self._given = entry, dependencies
        self._player: Model | None = None
        self._slots = ModelSlots(given.model_calls_at_once, given.model_calls_per_tenant)
        self._output = output_type(given.output_type)
        self.agents: Mapping[str, Agent] = reachable([entry, *given.agents])
        self.tasks: Mapping[str, TaskFunction[..., Any]] = task_functions(
            [*given.tasks, *(one for agent in self.agents.values() for one in agent.tasks)]
        )
        if self.name in self.agents:
            raise DeskError(
                f"the desk and one of its agents are both named {self.name!r}; clients could not tell them apart"
            )
        for one in sorted(set(self.tasks) & set(self.agents)):
            raise DeskError(f"{one!r} is a task function and an agent; create_task could not tell them apart")
        if not callable(dependencies):
            check_hidden(self.agents.values(), dependencies)
        self.catalogs: Mapping[str, Catalog] = {one.name: self._catalog(one) for one in self.agents.values()}

    @property
    def name(self) -> str:
        """Its name on the wire, as a model."""
        return self.options.name

    @property
    def max_unattended_turns(self) -> int:
        """Turns in a row that finished tasks may start without a person."""
        return self.options.max_unattended_turns

    @cached_property
    def dependencies(self) -> D:
        """What tools and tasks are given; made at the first use."""
        given: Any = self._given
        made: Any = given() if callable(given) else given
        dependencies: D = made
        return dependencies

    @cached_property
    def model(self) -> Model:
        """The model of agents that have none."""
        if self.options.model is not None:
            return self.options.model
        from .models.offline import OfflineModel

        return OfflineModel()

    @property
    def lacks_model(self) -> bool:
        """Whether an agent has no model of its own, and the desk was given none for it."""
        return self.options.model is None and any(one.model is None for one in self.agents.values())

    def using(self, model: Model) -> Desk[D]:
        """The same desk with another default model; a desk that was given one keeps it."""
        return self if self.options.model is not None else self.changed(model=model)

    def changed(self, **options: Unpack[Options]) -> Desk[D]:
        """The same desk with other options."""
        merged: Options = {**self.options.given(), **options}
        desk: Desk[Any] = Desk(self.entry, dependencies=self._given, **merged)
        return desk

    def colleague(self, one: Colleague) -> Agent:
        """The agent that is meant. Raises DeskError."""
        return self.agents[name_of(one)]

    def _catalog(self, agent: Agent) -> Catalog:
        delegates = [self.colleague(one) for one in agent.delegates]
        handoffs = [self.colleague(one) for one in agent.colleagues]
        options = agent.handoff_options
        described = [
            handoff_spec(one, options[one.name].description if one.name in options else "") for one in handoffs
        ]
        specs: list[ToolSpec] = [one.spec() for one in agent.own_tools]
        task_tools: list[ToolSpec] = []
        if agent.tasks or delegates:
            task_tools.append(create_task_spec(agent.tasks, delegates))
        if self.tasks or any(one.delegates for one in self.agents.values()):
            task_tools += FOLLOW_UP
        specs += described + task_tools
        names = [*(one.name for one in specs), READ_RESULT]
        for name in sorted({one for one in names if names.count(one) > 1}):
            raise DeskError(f"agent {agent.name} has two tools named {name!r}; the desk's own names cannot be taken")
        catalog = Catalog(
            agent,
            tuple(specs),
            {one.wire_name: one for one in agent.own_tools},
            frozenset(one.name for one in task_tools),
            {HANDOFF_PREFIX + one.name: one.name for one in handoffs},
            {one.name: one for one in agent.tasks},
            frozenset(one.name for one in delegates),
            self._filters(agent.name),
        )
        try:
            chosen(agent.settings.tool_choice, catalog, ())
        except ToolChoiceError as error:
            raise DeskError(f"agent {agent.name}: {error}") from None
        return catalog

    def _filters(self, target: str) -> dict[str, ItemFilter]:
        """What the agent is shown when it takes over, by who hands over to it."""
        options = {one.name: one.handoff_options.get(target) for one in self.agents.values()}
        return {name: one.input_filter for name, one in options.items() if one and one.input_filter}

    def team(self) -> Team:
        """The agents as the loop needs them. Tools that are not async share a bounded number of threads."""
        return Team(
            self.catalogs,
            self.models_of,
            lambda: self.dependencies,
            CapacityLimiter(TOOL_THREADS),
            self.options,
            self._slots,
            output=self._output,
        )

    def played_by(self, model: Model) -> Desk[D]:
        """The same desk with this model in place of every other, as tests want it (``testing``)."""
        desk = self.changed()
        desk._player = model
        return desk

    def models_of(self, agent: Agent) -> tuple[Model, ...]:
        """The agent's model, and those that are asked when it fails."""
        if self._player is not None:
            return (self._player,)
        if agent.model is None:
            return self.model, *(agent.fallbacks or self.options.fallbacks)
        return agent.model, *agent.fallbacks

    def create(self, function: Filable, arguments: Arguments = None, /, *, connection: Any, **options: Any) -> Filed:
        """Files a task in the application's own transaction: it exists if and only if that commits.

        ``connection``: a synchronous SQLAlchemy ``Connection`` or ``Session`` on the desk's database. ``options``:
        ``tenant``, ``conversation_id`` (which is told how it ends), fields of `TaskRequest`. Workers see it within half
        a second. Raises DeskError, ArgumentsError, InvalidOption, ForeignConnection, a DatabaseError.
        """
        from .filing import create

        return create(self.tasks, function, arguments or {}, connection, options)

    async def file(
        self, function: Filable, arguments: Arguments = None, /, *, database: Database, **options: Any
    ) -> Filed:
        """Files a task in a commit of its own: as `create`, on a database that is open here."""
        from .filing import file

        return await file(self.tasks, function, arguments or {}, database, options)

    def worker(
        self,
        database: Database,
        *,
        turns: int = 8,
        tasks: int = 16,
        queues: Collection[str] | None = None,
        lease: float = 30.0,
        grace: float = 10.0,
        schedules: bool = True,
        webhook_secret: str = "",
        keep: Keep | None = None,
    ) -> Worker:
        """A worker for this desk's turns and tasks; start it, and stop it before the database is closed.

        ``turns`` and ``tasks`` are slots, of which either may be 0; ``queues``: those whose tasks it runs, None for
        all; ``lease`` is in seconds, ``grace`` too (what a cancelled or drained run may still use); ``schedules``:
        whether it files tasks that have a `cron=` when they are due. ``webhook_secret`` (whsec_…) signs what webhooks
        are told; ``keep`` says what is kept of the event log.
        """
        from .staff import worker_of

        return worker_of(
            self,
            database,
            turns=turns,
            tasks=tasks,
            queues=queues,
            lease=lease,
            grace=grace,
            schedules=schedules,
            webhook_secret=webhook_secret,
            keep=keep,
        )

    def asgi(self, **options: Unpack[Hosting]) -> Application:
        """An ASGI application: ``app.mount("/desk", desk.asgi())``. See `Hosting`. Raises ValidationError."""
        from .hosting import hosted

        return hosted(self, **options)

    async def aclose(self) -> None:
        """Closes the models' connections."""
        models: list[Model | None] = [self.options.model, *self.options.fallbacks]
        for agent in self.agents.values():
            models += [agent.model, *agent.fallbacks]
        budgets = [self.options.compaction, *(agent.compaction for agent in self.agents.values())]
        models += [one.model for one in budgets if one is not None]
        for model in {id(one): one for one in models}.values():
            close = getattr(model, "aclose", None)
            if close is not None:
                await close()

    def output_of(self, agent: str, response: JSON, text: str) -> Any:
        """The value that an answer of this agent is, where its answers have a form. Raises TurnFailed."""
        form = self._output if agent not in self.agents else self.agents[agent].output or self._output
        if form is None:
            return text
        if response["status"] != "completed":
            raise TurnFailed(response)
        return form.read(text)

    @overload
    async def run(self, text: str, *, output_type: type[T], **options: Unpack[RunOptions]) -> Answer[T]: ...

    @overload
    async def run(self, text: str, *, output_type: Any = None, **options: Unpack[RunOptions]) -> Answer[Any]: ...

    async def run(self, text: str, *, output_type: Any = None, **options: Unpack[RunOptions]) -> Answer[Any]:
        """Asks the desk once, without a server, and waits for the tasks that it files; ``timeout=`` in seconds.

        ``output_type``: as the desk's own. ``approve=`` decides about calls that need it: of an `ApprovalRequest`, it
        returns true, false, or why not. ``calls=`` runs manual tools, by the names that models see. Both may be async.

        It uses a throw-away database. Raises TimeoutError; TurnFailed when the response failed, or ended without such
        an output; NobodyAnswers when the desk asks for something that it was given nobody for.
        """
        from .single_run import ask

        return await ask(self if output_type is None else self.changed(output_type=output_type), text, **options)
