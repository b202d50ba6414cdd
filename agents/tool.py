"""``@tool``: makes a tool of a typed function, and calls it once with what a model wrote. A value; nothing is
registered anywhere.

What becomes of a call among others (parallelism, time-outs, errors as text) is in ``calls``.
"""

from __future__ import annotations

import inspect
import re
from collections.abc import Callable, Collection
from dataclasses import dataclass, field
from functools import partial
from typing import Any, Final, overload

from anyio import CapacityLimiter

from ..tasks.errors import InvalidOption
from ..tasks.options import keywords_option, timeout_option
from ..tasks.result import result_json
from ..tasks.signature import Signature, signature_of
from .context import Context
from .model import ToolSpec
from .threads import in_thread

OWN_NAMESPACES: Final = frozenset({"desk", "tasks", "handoff"})
"""Labels under which the desk shows its own tools to clients; they are not part of the name on the model's wire."""

_NAME: Final = re.compile(r"[A-Za-z0-9_-]+")
_LONGEST_NAME: Final = 64  # https://platform.openai.com/docs/api-reference/responses/create, tools: function name
_RESULT_LIMIT: Final = 10_000_000  # bytes of JSON


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

    def spec(self) -> ToolSpec:
        """The tool as a model sees it."""
        return ToolSpec(
            name=self.wire_name,
            description=self.description,
            parameters=self.signature.schema,
            strict=self.signature.strict,
            keywords=self.keywords,
        )

    async def call(self, arguments: str, context: Context[Any], *, limiter: CapacityLimiter | None = None) -> Any:
        """Check ``arguments`` (the model's JSON), run the function, return what it returned; `result_text` makes
        text of that.

        A function that is not async runs in a thread, which a cancellation abandons; ``limiter`` bounds such
        threads, the abandoned ones too (by default, those of the event loop).

        Raises:
            ArgumentsError: arguments that do not fit; the function was not called.
            Exception: whatever the function raised.
        """
        keywords = self.signature.validate(arguments)
        if self.signature.context is not None:
            keywords[self.signature.context] = context
        if self.signature.is_async:
            return await self.function(**keywords)
        result: Any = await in_thread(partial(self.function, **keywords), limiter)
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
        ResultTooLarge: more JSON than any model could read.
    """
    return value if isinstance(value, str) else result_json(value, limit=_RESULT_LIMIT, name=name)


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
    keywords: Collection[str] = (),
    strict: bool | None = None,
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
    keywords: Collection[str] = (),
    strict: bool | None = None,
) -> Any:
    """Declare a function, async or not, as a tool: ``@tool`` or ``@tool(timeout=5)``.

    A parameter annotated with `Context` is injected; the model fills the others, which need annotations.

    Args:
        name: What models call it; the function's own name by default.
        namespace: Where it belongs; models see ``namespace-name``.
        timeout: Seconds of one call, None for no limit. What takes minutes is a task.
        idempotent: Calling it twice does no harm: it is called again when a crash interrupted it.
        alone: It never runs beside other calls of the same reply.
        keywords: Words of any language that hint at this tool; only the ``offline`` model reads them.
        strict: True insists that the arguments have a strict schema, False gives it up, None takes it where it is
            possible.

    Raises:
        InvalidOption: an option or a parameter that cannot work.
    """

    def declare(function: Callable[..., Any]) -> Tool:
        signature = signature_of(function, name=name, context_types=(Context,), strict=strict)
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
        )

    return declare if function is None else declare(function)
