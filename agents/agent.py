"""An agent: a name, instructions, tools, the agents that it may hand over or delegate to, a model. Frozen, without
state.
"""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Annotated, Any, ClassVar, Final, TypeAlias

from pydantic_core import SchemaSerializer, core_schema

from ..tasks.registry import TaskFunction
from .compaction import Compaction
from .context import Context
from .errors import DeskError
from .guardrails import Guardrail
from .handoff import Handoff
from .limits import Limits
from .model import Model, ModelSettings
from .output_type import OutputType, output_type
from .summarize import Summarize
from .tool import SHOWN, NeedsApproval, Tool, tool
from .toolset import Toolset

_NAME: Final = re.compile(r"[A-Za-z0-9_-]{1,48}")

Colleague: TypeAlias = "Agent | str"
MakesInstructions: TypeAlias = Callable[[Context[Any]], Awaitable[str] | str]


def _refuse(agent: Any) -> Any:
    raise ValueError("an agent is nothing to be read; a tool that returns one, and nothing else, hands over to it")


_NEVER: Final = SchemaSerializer(
    core_schema.any_schema(serialization=core_schema.plain_serializer_function_ser_schema(_refuse))
)


@dataclass(frozen=True, slots=True, eq=False)
class Agent:
    """Who takes a turn of a conversation.

    Args:
        name: 1 to 48 letters, digits, ``_`` or ``-``; unique in its desk.
        instructions: What the model is told at each request: a text, or a function of the `Context` that makes it
            anew for each (async or not; without a ``call_id``).
        tools: Functions that the model may call inside a turn (`tool`; a plain function is made one), and toolsets,
            all of whose tools it is given.
        handoffs: Agents that may take the conversation over, or their names (for circles; `Desk` resolves them);
            `Handoff(agent, …)` has options.
        delegates: Agents that ``create_task`` may run in the background, or their names.
        tasks: Task functions that ``create_task`` may run in the background.
        model: Its model; the desk's by default.
        fallbacks: Models that are asked, in their order, when its model fails; the desk's by default.
        output_type: What it answers with: any type that pydantic can describe. Its answer is the JSON of one such
            value; one that is not is asked for once more.
        input_guardrails: Functions that may stop what a person says, beside the desk's (`DeskOptions`).
        output_guardrails: Functions that may stop what it says, beside the desk's.
        settings: Settings of its requests.
        compaction: When and how its long conversations are summarised for it; the desk's by default.
        parallel_tool_calls: Whether the calls of one reply run side by side (else in order).
        description: What others are told it is for; the first sentence of the instructions by default.
        keywords: Words of any language that hint at it; only the ``offline`` model reads them.

    Raises:
        DeskError: something that cannot work, when it is constructed.
    """

    name: str
    instructions: str | MakesInstructions = ""
    tools: Sequence[Tool | Toolset | Callable[..., Any]] = ()
    handoffs: Sequence[Colleague | Handoff] = ()
    delegates: Sequence[Colleague] = ()
    tasks: Sequence[TaskFunction[..., Any]] = ()
    model: Model | None = None
    settings: ModelSettings = ModelSettings()  # noqa: RUF009 - frozen
    compaction: Compaction | None = None
    parallel_tool_calls: bool = True
    description: str = ""
    keywords: Sequence[str] = ()
    fallbacks: Sequence[Model] = ()
    output_type: Any = None
    input_guardrails: Sequence[Guardrail] = ()
    output_guardrails: Sequence[Guardrail] = ()
    __pydantic_serializer__: ClassVar[SchemaSerializer] = _NEVER  # of whatever it lies in: its instructions are ours

    output: OutputType | None = field(default=None, init=False, repr=False)
    handoff_options: Mapping[str, Handoff] = field(default_factory=dict[str, Handoff], init=False, repr=False)

    def __post_init__(self) -> None:
        if not _NAME.fullmatch(self.name):
            raise DeskError(f"{self.name!r} cannot be an agent's name: 1 to 48 letters, digits, '_' or '-'")
        made = tuple(one for given in self.tools for one in _made(given))
        object.__setattr__(self, "tools", made)
        for name in (
            "handoffs", "delegates", "tasks", "keywords", "fallbacks", "input_guardrails", "output_guardrails",
        ):  # fmt: skip
            object.__setattr__(self, name, tuple(getattr(self, name)))
        object.__setattr__(self, "output", output_type(self.output_type))
        with_options = [one for one in self.handoffs if isinstance(one, Handoff)]
        object.__setattr__(self, "handoff_options", {_target(one): one for one in with_options})
        colleagues = tuple(one.agent if isinstance(one, Handoff) else one for one in self.handoffs)
        object.__setattr__(self, "handoffs", colleagues)
        if not self.description:
            text = self.instructions if isinstance(self.instructions, str) else self.instructions.__doc__ or ""
            object.__setattr__(self, "description", text.strip().split(". ")[0].split("\n")[0][:200])
        for unbound in (one for one in made if one.is_method):
            raise DeskError(f"agent {self.name}: {unbound.function.__qualname__} needs an object; give the tool of one")
        names = [one.wire_name for one in made]
        twice = sorted({one for one in names if names.count(one) > 1})
        if twice:
            raise DeskError(
                f"agent {self.name} has two tools named {twice[0]!r}; give one of them another name or namespace"
            )

    def as_tool(
        self,
        *,
        name: str | None = None,
        description: str | None = None,
        namespace: str | None = None,
        timeout: float | None = None,
        limits: Limits | None = None,
        needs_approval: NeedsApproval = False,
        shown: int | None = SHOWN,
        summarize: bool | str | Summarize = False,
    ) -> AgentTool:
        """This agent as a tool: ``tools=[research.as_tool()]``. A call of it runs a turn of the agent in a
        conversation of its own, and what it says last is the call's output.

        The agent sees its input and nothing of the conversation that calls it. It works in a task slot, and the
        caller's turn holds no slot meanwhile. Calls of one reply run side by side. When the caller's turn is
        cancelled, so is the run; after a crash on either side it goes on where it was.

        Args:
            name: What models call it; the agent's name by default.
            description: What models are told it is for; the agent's description by default.
            namespace: Where it belongs; models see ``namespace-name``.
            timeout: Seconds after which it is stopped; None: as long as it takes.
            limits: What one call of it may use; the desk's limits for one turn by default.
            needs_approval: See `tool`.
            shown: See `tool`.
            summarize: See `tool`.
        """
        made = tool(
            name=name or self.name, namespace=namespace, timeout=timeout, idempotent=True,
            needs_approval=needs_approval, shown=shown, summarize=summarize, keywords=self.keywords,
        )(ask)  # fmt: skip
        fields: dict[str, Any] = {
            name: getattr(made, name) for name in Tool.__dataclass_fields__ if name != "wire_name"
        }
        fields["description"] = self.description if description is None else description
        return AgentTool(**fields, agent=self, limits=limits)

    @property
    def colleagues(self) -> tuple[Colleague, ...]:
        """Whom it may hand over to."""
        return tuple(one for one in self.handoffs if isinstance(one, Agent | str))

    @property
    def own_tools(self) -> tuple[Tool, ...]:
        """The tools, all made."""
        return tuple(one for one in self.tools if isinstance(one, Tool))


@dataclass(frozen=True, slots=True, eq=False, kw_only=True)
class AgentTool(Tool):
    """An agent as a tool of other agents; made by `Agent.as_tool`."""

    agent: Agent
    limits: Limits | None = None


async def ask(input: Annotated[str, "What it is to do, with everything that it must know"]) -> str:
    """Stands for the run of an agent, which the desk begins."""
    raise AssertionError("an agent is no function")


def _target(one: Handoff) -> str:
    return one.agent if isinstance(one.agent, str) else one.agent.name


def _made(given: Tool | Toolset | Callable[..., Any]) -> tuple[Tool, ...]:
    if isinstance(given, Toolset):
        return given.tools
    return (given if isinstance(given, Tool) else tool(given),)


def name_of(colleague: Colleague) -> str:
    """The name of an agent that may be given by its name."""
    return colleague if isinstance(colleague, str) else colleague.name
