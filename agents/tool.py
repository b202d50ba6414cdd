"""``@tool``: makes a tool of a typed function, and calls it once with what a model wrote. A value; nothing is
registered anywhere.

What becomes of a call among others (parallelism, time-outs, errors as text) is in ``calls``.
"""

from __future__ import annotations

import inspect
import re
from collections.abc import Callable, Collection
from dataclasses import dataclass, field, replace
from functools import partial
from types import FunctionType, MethodType
from typing import Any, Final, Self, TypeAlias, overload

from anyio import CapacityLimiter

from ..tasks.errors import InvalidOption, ResultTooLarge
from ..tasks.options import keywords_option, timeout_option
from ..tasks.result import result_json
from ..tasks.signature import Signature, signature_of
from .context import Context
from .model import ToolSpec
from .summarize import Summarize
from .threads import Place, in_thread

OWN_NAMESPACES: Final = frozenset({"desk", "tasks", "handoff"})
"""Labels under which the desk shows its own tools to clients; they are not part of the name on the model's wire."""

NeedsApproval: TypeAlias = bool | Callable[..., Any]  # of some of the tool's arguments; may be async

_NAME: Final = re.compile(r"[A-Za-z0-9_-]+")
_LONGEST_NAME: Final = 64  # https://platform.openai.com/docs/api-reference/responses/create, tools: function name
_RESULT_LIMIT: Final = 10_000_000  # bytes
SHOWN: Final = 20_000
"""Characters of a result that a model is shown by default: about five thousand tokens."""


@dataclass(frozen=True, slots=True, eq=False)
class Tool:
    """A function that a model may call inside a turn; made by `tool`. To change an option, copy:
    ``dataclasses.replace(t, timeout=5)``.

    ``wire_name`` is the name that models see: ``namespace-name``, or the name alone.
    """

    function: Callable[..., Any]
    signature: Signature = field(repr=False)
    name: str
    description: str
    namespace: str | None
    timeout: float | None
    idempotent: bool
    alone: bool
    keywords: tuple[str, ...]
    concurrency_limit: int | None = None
    shown: int | None = SHOWN
    summarize: Summarize | None = None
    is_method: bool = False
    needs_approval: NeedsApproval = False
    manual: bool = False
    wire_name: str = field(init=False)

    def __post_init__(self) -> None:
        plain = self.namespace is None or self.namespace in OWN_NAMESPACES
        object.__setattr__(self, "wire_name", self.name if plain else f"{self.namespace}-{self.name}")
        for what, value in (("name", self.name), ("namespace", self.namespace)):
            if value is not None and not _NAME.fullmatch(value):
                raise InvalidOption(
                    f"{value!r} cannot be a tool's {what}: letters, digits, '_' and '-' only; give {what}="
                )
        if len(self.wire_name) > _LONGEST_NAME:
            raise InvalidOption(
                f"{self.wire_name!r} has {len(self.wire_name)} characters, more than {_LONGEST_NAME}; shorten it"
            )
        timeout_option(self.name, self.timeout)
        for option, count in (("concurrency_limit", self.concurrency_limit), ("shown", self.shown)):
            if count is not None and count < 1:
                raise InvalidOption(f"{self.name}: {option} is 1 or more, or None for no limit, not {count!r}")
        self._check_approval()

    def __get__(self, instance: object | None, owner: type | None = None) -> Self:
        """A tool that was declared in a class, of one of its objects: the tool of that object."""
        if instance is None or not self.is_method:
            return self
        namespace = self.namespace or getattr(instance, "namespace", None) or None
        return replace(self, function=MethodType(self.function, instance), namespace=namespace, is_method=False)

    def _check_approval(self) -> None:
        decides = not isinstance(self.needs_approval, bool)
        if self.manual and (decides or self.needs_approval):
            raise InvalidOption(f"{self.name}: who runs a manual tool decides whether to; leave out needs_approval")
        if not isinstance(self.needs_approval, bool):
            known = inspect.signature(self.function).parameters
            for name in inspect.signature(self.needs_approval).parameters:
                if name not in known:
                    words = f"needs_approval is called with arguments of the tool, and {name!r} is none of them"
                    raise InvalidOption(f"{self.name}: {words}")

    def spec(self) -> ToolSpec:
        """The tool as a model sees it."""
        return ToolSpec(
            name=self.wire_name,
            description=self.description,
            parameters=self.signature.schema,
            strict=self.signature.strict,
            keywords=self.keywords,
        )

    async def call(
        self,
        arguments: str,
        context: Context[Any],
        *,
        limiter: CapacityLimiter | None = None,
        place: Place | None = None,
    ) -> Any:
        """Check ``arguments`` (the model's JSON), run the function, return what it returned; `result_text` makes
        text of that.

        A function that is not async runs in a thread, which a cancellation abandons; ``limiter`` bounds such
        threads, the abandoned ones too (by default, those of the event loop); ``place`` is one that is taken already.

        Raises:
            ArgumentsError: arguments that do not fit; the function was not called.
            Exception: whatever the function raised.
        """
        signature = self.signature
        keywords = signature.validate(arguments)
        if signature.context is not None or signature.hidden:
            keywords = await signature.settled(signature.inject(keywords, context))
        if signature.is_async:
            return await signature.call(self.function, keywords)
        result: Any = await in_thread(partial(signature.call, self.function, keywords), limiter, place=place)
        return await result if inspect.isawaitable(result) else result

    def text(self, value: object) -> str:
        """What a model reads of what the function returned. ``Done.`` for None of a function declared to return
        nothing: of one that looks something up, None is an answer, ``null``. Raises as `result_text`.
        """
        return "Done." if value is None and not self.signature.returns else result_text(value, name=self.wire_name)


def result_text(value: object, *, name: str = "the tool") -> str:
    """What a model reads of a result: a string as it is, anything else (None too) as compact JSON.

    Raises:
        NotSerializable: a value that is neither text, JSON, a dataclass nor a pydantic model.
        ResultTooLarge: ten million bytes are the most that is kept.
    """
    if not isinstance(value, str):
        return result_json(value, limit=_RESULT_LIMIT, name=name)
    if len(value) > _RESULT_LIMIT:
        raise ResultTooLarge(name, len(value), _RESULT_LIMIT)
    return value


@overload
def tool(function: Callable[..., Any], /) -> Tool: ...


@overload
def tool(
    *,
    name: str | None = None,
    namespace: str | None = None,
    timeout: float | None = 30.0,
    idempotent: bool = False,
    alone: bool = False,
    concurrency_limit: int | None = None,
    shown: int | None = SHOWN,
    summarize: bool | str | Summarize = False,
    keywords: Collection[str] = (),
    strict: bool | None = None,
    needs_approval: NeedsApproval = False,
    manual: bool = False,
) -> Callable[[Callable[..., Any]], Tool]: ...


def tool(
    function: Callable[..., Any] | None = None,
    /,
    *,
    name: str | None = None,
    namespace: str | None = None,
    timeout: float | None = 30.0,
    idempotent: bool = False,
    alone: bool = False,
    concurrency_limit: int | None = None,
    shown: int | None = SHOWN,
    summarize: bool | str | Summarize = False,
    keywords: Collection[str] = (),
    strict: bool | None = None,
    needs_approval: NeedsApproval = False,
    manual: bool = False,
) -> Any:
    """Declare a function, async or not, as a tool: ``@tool`` or ``@tool(timeout=5)``.

    A parameter annotated with `Context` is injected, and so are those marked `Hidden`; the model fills the others,
    which need annotations. In a class it declares a method: each object has the tool bound to itself (see `Toolset`).

    Args:
        name: What models call it; the function's own name by default.
        namespace: Where it belongs; models see ``namespace-name``.
        timeout: Seconds of one call, None for no limit. What takes minutes is a task.
        idempotent: Calling it twice does no harm: it is called again when a crash interrupted it.
        alone: It never runs beside other calls of the same reply.
        concurrency_limit: So many calls of it run at once in a worker, of all its conversations; None: any number. One
            that has to wait for longer than those before it may take is answered as busy; nothing was done then.
        shown: Characters of its result that a model is shown; the rest is kept, and read with ``read_result``. None:
            all of it.
        summarize: A result that is longer is summarised by a model instead of cut: True, or what the summary is to
            keep, or a `Summarize`. One that cannot be summarised is cut.
        keywords: Words of any language that hint at this tool; only the ``offline`` model reads them.
        strict: True insists that the arguments have a strict schema, False gives it up, None takes it where it is
            possible.
        needs_approval: A person is asked before it is run: always, or when this function of some of its arguments
            (by their names, the context too; async or quick) returns true.
        manual: It is run by the client or the application, which is handed its calls and returns their outputs; the
            function only declares it, and its body is never run.

    Raises:
        InvalidOption: an option or a parameter that cannot work.
    """

    def declare(function: Callable[..., Any]) -> Tool:
        method = _is_method(function)
        signature = signature_of(function, name=name, context_types=(Context,), strict=strict, receiver=method)
        return Tool(
            function=function,
            signature=signature,
            name=signature.name,
            description=signature.description,
            namespace=namespace,
            timeout=timeout,
            idempotent=idempotent,
            alone=alone,
            keywords=keywords_option(signature.name, keywords),
            concurrency_limit=concurrency_limit,
            shown=shown,
            summarize=_summarize(summarize),
            is_method=method,
            needs_approval=needs_approval,
            manual=manual,
        )

    return declare if function is None else declare(function)


def _summarize(given: bool | str | Summarize) -> Summarize | None:
    if isinstance(given, Summarize):
        return given
    return Summarize(instructions=given if isinstance(given, str) else "") if given else None


def _is_method(function: Callable[..., Any]) -> bool:
    """Whether a function is being declared in the body of a class: the object comes later."""
    if not isinstance(function, FunctionType):
        return False
    scope = function.__qualname__.rpartition(".")[0]
    names = function.__code__.co_varnames[: function.__code__.co_argcount]
    inside = bool(scope) and not scope.endswith("<locals>")
    return inside and names[:1] == ("self",) and "self" not in function.__annotations__
