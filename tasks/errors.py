"""Errors of the tasks storey, and the root of every error that Frontdesk raises on purpose.

    FrontdeskError
    ├── InvalidTransition      an action that a task's state does not allow
    ├── InvalidOption          an option of @task, @tool or a request that cannot work
    ├── ArgumentsError         arguments that do not fit a function's signature (worded for the model)
    ├── ToolError              raised by a tool or task on purpose; its text is for the model and the person
    ├── ResultError            a result that cannot be stored
    │   ├── NotSerializable
    │   └── ResultTooLarge
    ├── ReplayMismatch         durable calls came in another order than recorded
    └── Retry                  raised by a task function: run me again after so many seconds

Errors carry their data and word their own message: what was wrong, with what value, what to do.
"""

from __future__ import annotations


class FrontdeskError(Exception):
    """Root of all errors that Frontdesk raises on purpose."""


class InvalidTransition(FrontdeskError):
    """An action that the task's present state does not allow."""

    def __init__(self, status: str, action: str) -> None:
        super().__init__(f"a task that is {status} cannot {action}")
        self.status = status
        self.action = action


class InvalidOption(FrontdeskError, ValueError):
    """An option with a value that cannot work; raised where it is declared, not when it is used."""


class ArgumentsError(FrontdeskError, ValueError):
    """Arguments that do not fit the signature. The text goes to the model: it names the field, the value, what is
    right."""


class ToolError(FrontdeskError):
    """Raise this in a tool or a task to tell the model (and the person) what went wrong, in your words.

    Any other exception is reported without its internals and logged in full.
    """


class ResultError(FrontdeskError):
    """A result that cannot be stored."""


class NotSerializable(ResultError, TypeError):
    """A result that is neither JSON, nor a dataclass, nor a pydantic model."""

    def __init__(self, name: str, value: object, reason: str) -> None:
        super().__init__(
            f"{name} returned a {type(value).__name__}, which cannot be stored ({reason}); "
            "return JSON values, a dataclass or a pydantic model"
        )
        self.name = name


class ResultTooLarge(ResultError, ValueError):
    """A result longer than the function's ``result_limit``."""

    def __init__(self, name: str, size: int, limit: int) -> None:
        super().__init__(
            f"{name} returned {size:,} bytes of JSON, more than its result_limit of {limit:,}; "
            "store the data in a file or database and return where it is, or raise result_limit"
        )
        self.name, self.size, self.limit = name, size, limit


class ReplayMismatch(FrontdeskError):
    """A task function made its durable calls in another order than the recorded one."""

    def __init__(self, position: int, recorded: str, called: str) -> None:
        super().__init__(
            f"durable call {position} was recorded as {recorded} but the function now calls {called}; "
            "a function must make its durable calls in the same order each time it runs (keep clocks, random numbers "
            "and outside state inside context.step), and a changed function needs a new name"
        )
        self.position, self.recorded, self.called = position, recorded, called


class Retry(FrontdeskError):
    """Raised by a task function to be run again after ``delay`` seconds (elapsed time), whatever its policy says.

    It counts as an attempt: ``max_attempts`` still ends it.
    """

    def __init__(self, delay: float, reason: str = "") -> None:
        if not delay >= 0:
            raise InvalidOption(f"Retry(delay) takes seconds from now, zero or more, not {delay!r}")
        super().__init__(reason or f"asked to be retried in {delay:g} s")
        self.delay = delay
