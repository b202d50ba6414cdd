"""The table of access tokens. A token itself is nowhere: only its SHA-256, which is enough for 256 random bits."""

from __future__ import annotations

from sqlmodel import Field

from ..tasks.table import Base


class AccessToken(Base, table=True):
    """What a client may show to be let in as a tenant. A row stays when its token is revoked."""

    __tablename__ = "frontdesk_token"  # pyright: ignore[reportAssignmentType] # SQLModel documents this

    id: str = Field(primary_key=True)  # tok_…
    digest: str = Field(unique=True, index=True)
    hint: str  # its first characters, so that people recognise it
    name: str = ""
    tenant: str = ""
    operator: int = 0
    created_at: float = 0.0
    expires_at: float | None = None
    revoked_at: float | None = None
