"""Errors of the agents storey.

FrontdeskError
├── DeskError           a desk, agent or tool that is declared wrongly
├── OutputInvalid       an answer has not the form that was asked for, twice
├── FunctionFailed      a function of the application failed: instructions, a guardrail, a budget
├── ModelError          the model's provider failed
│   ├── ModelRefused    it will fail again: bad key, unknown model, invalid request (4xx)
│   └── ModelUnavailable  it may work later: overload, time-out, broken stream (408, 409, 429, 5xx)
└── Refused             an input that is not accepted (broker)
    ├── NotAnApproval   an answer that is neither yes nor no
    ├── AnswerRefused   an output or an approval that fits to nothing that was asked
    ├── TooMuchNamed    an input whose references stand for more than fits into one
    ├── ToolChoiceError  a tool_choice that the agent cannot follow
    └── ToolNameTaken   a tool of the client's that is named like one of the server's
"""

from __future__ import annotations

from ..broker.errors import Refused
from ..tasks.errors import FrontdeskError


class DeskError(FrontdeskError, ValueError):
    """A desk, agent or tool that cannot work as declared; raised at construction."""


class OutputInvalid(FrontdeskError):
    """An agent's answer has not the form of its output type, though it was asked again. The text holds values of it."""

    def __init__(self, agent: str, form: str, message: str) -> None:
        super().__init__(f"the answer of {agent} is no {form}: {message}")


class FunctionFailed(FrontdeskError):
    """A function of the application that a turn needs failed (``what``). The text is safe to show."""

    def __init__(self, what: str, message: str) -> None:
        super().__init__(f"{what} failed: {message}")


class ModelError(FrontdeskError):
    """The model's provider failed. The text is safe to show: it names the model and the cause, no key, no content."""

    def __init__(self, model: str, message: str, *, status: int | None = None) -> None:
        super().__init__(f"model {model}: {message}")
        self.model, self.status = model, status


class ModelRefused(ModelError):
    """The provider refused the request and will refuse it again."""


class ModelUnavailable(ModelError):
    """The provider cannot answer now; retries are used up."""


class AnswerRefused(Refused):
    """An output of a client's function, or an approval, that fits to nothing that is open."""

    def __init__(self, message: str, param: str) -> None:
        super().__init__(message)
        self.param = param


class TooMuchNamed(Refused):
    """Items that an input names are, together, more than it could hold itself."""

    status, code = 413, "message_too_large"

    def __init__(self, size: int, most: int, param: str) -> None:
        super().__init__(
            f"the items that {param} names are {size:,} characters, more than {most:,}; name fewer at once"
        )
        self.param = param


class ToolChoiceError(Refused):
    """A ``tool_choice`` that cannot be followed; the message says what could."""

    param = "tool_choice"

    def __init__(self, message: str) -> None:
        super().__init__(f"tool_choice: {message}")


class ToolNameTaken(Refused):
    """A function that the client offers, under a name that stands for a tool of the server."""

    def __init__(self, name: str, agent: str, place: int) -> None:
        super().__init__(f"tools[{place}].name: {name!r} is a tool that {agent} has here; give yours another name")
        self.param = f"tools[{place}].name"


class NotAnApproval(Refused):
    """An answer to a request for an approval that is neither yes nor no."""

    param = "answer"

    def __init__(self, given: object) -> None:
        super().__init__(f"the task waits for an approval: answer yes, or no and why, not {str(given)[:60]!r}")
