"""Settings of the server, from the environment: the only place that reads it.

An option of the command line goes before a variable.
"""

from __future__ import annotations

from pathlib import Path
from typing import Literal, TypeAlias

from pydantic import AliasChoices, Field, SecretStr, field_validator
from pydantic_settings import BaseSettings, SettingsConfigDict

from ..broker.signatures import Signer
from ..tasks.errors import InvalidOption

PriceOf: TypeAlias = Literal["input", "output", "cached", "cache_write"]

DEFAULT_HOST = "127.0.0.1"
DEFAULT_PORT = 8765
DEFAULT_MODEL = "gpt-5.5"


class Settings(BaseSettings):
    """What can be set with FRONTDESK_… variables, and the two of OpenAI's that everybody has."""

    model_config = SettingsConfigDict(env_prefix="FRONTDESK_", frozen=True, extra="ignore", env_ignore_empty=True)

    host: str = DEFAULT_HOST
    port: int = Field(DEFAULT_PORT, ge=0, le=65_535)
    database: str | None = None  # a URL; each command has its own default
    database_wait_seconds: float = Field(30.0, ge=0, le=3_600)  # at start, for a database server to be reached
    server: str | None = None  # where `frontdesk tasks` and `chat --server` look
    token: SecretStr = SecretStr("")
    authenticate: str = ""  # module:function; who a request comes from
    tls_cert: Path | None = None
    tls_key: Path | None = None  # where it is not in the same file
    origins: str = ""  # separated by commas
    log_level: str = "warning"
    drain_seconds: float = Field(1.0, ge=0, le=3_600)  # between the notice and the closing of the sockets
    grace_seconds: float = Field(10.0, ge=0, le=3_600)  # for what runs to come to a boundary
    turns: int = Field(8, ge=0, le=10_000)  # slots of the worker; 0: it runs none
    tasks: int = Field(16, ge=0, le=10_000)
    queues: str = ""  # whose tasks the worker runs, separated by commas; empty: all
    connections: int = Field(1_000, ge=1)  # of a tenant, to this process
    requests_per_minute: int = Field(0, ge=0)  # of a tenant, to this process; 0: any number
    stall_seconds: float = Field(20.0, gt=0)  # a client that reads nothing for so long is cut off
    keep_events_days: float = Field(30.0, ge=0)  # 0: for ever; of the event log only, what was said and done stays
    keep_events: int = Field(100_000, ge=0)  # of each conversation, about; 0: all
    webhook_secret: SecretStr = SecretStr("")  # whsec_…; several, separated by blanks, while receivers change
    model: str = DEFAULT_MODEL
    api: Literal["responses", "chat"] = "responses"  # which of OpenAI's APIs the model's server speaks
    tool_format: Literal["native", "hermes", "mistral", "fenced"] = "native"  # how a model is told of tools in words
    prices: dict[str, dict[PriceOf, float]] = {}  # JSON: by model, what a million tokens cost; `Price` says which
    openai_api_key: SecretStr = Field(SecretStr(""), validation_alias=AliasChoices("OPENAI_API_KEY"))
    openai_base_url: str | None = Field(None, validation_alias=AliasChoices("OPENAI_BASE_URL"))
    xdg_state_home: Path | None = Field(None, validation_alias=AliasChoices("XDG_STATE_HOME"))

    @field_validator("webhook_secret")
    @classmethod
    def _can_sign(cls, secret: SecretStr) -> SecretStr:
        try:
            Signer(secret.get_secret_value())
        except InvalidOption as error:
            raise ValueError(str(error)) from None  # without the secret
        return secret

    @property
    def secrets(self) -> tuple[str, ...]:
        """What must be in no log."""
        several = self.webhook_secret.get_secret_value().split()
        return (self.token.get_secret_value(), self.openai_api_key.get_secret_value(), *several)

    @property
    def listed_origins(self) -> tuple[str, ...]:
        return tuple(origin.strip().rstrip("/") for origin in self.origins.split(",") if origin.strip())

    @property
    def listed_queues(self) -> tuple[str, ...] | None:
        """None: all queues."""
        return tuple(name.strip() for name in self.queues.split(",") if name.strip()) or None

    @property
    def state_folder(self) -> Path:
        """Where databases of `chat` and `demo` lie."""
        home = self.xdg_state_home or Path.home() / ".local" / "state"
        return home / "frontdesk"
