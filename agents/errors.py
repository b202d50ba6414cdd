"""Errors of the agents storey.

FrontdeskError
├── DeskError           a desk, agent or tool that is declared wrongly
└── ModelError          the model's provider failed
    ├── ModelRefused    it will fail again: bad key, unknown model, invalid request (4xx)
    └── ModelUnavailable  it may work later: overload, time-out, broken stream (408, 409, 429, 5xx)
"""

from __future__ import annotations

from ..tasks.errors import FrontdeskError


class DeskError(FrontdeskError, ValueError):
    """A desk, agent or tool that cannot work as declared; raised at construction."""


class ModelError(FrontdeskError):
    """The model's provider failed. The text is safe to show: it names the model and the cause, no key, no content."""

    def __init__(self, model: str, message: str, *, status: int | None = None) -> None:
        super().__init__(f"model {model}: {message}")
        self.model, self.status = model, status


class ModelRefused(ModelError):
    """The provider refused the request and will refuse it again."""


class ModelUnavailable(ModelError):
    """The provider cannot answer now; retries are used up."""
