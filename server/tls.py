"""Certificate and key with which a server speaks TLS, looked at before it starts."""

from __future__ import annotations

import ssl
from dataclasses import dataclass
from pathlib import Path

from .errors import AddressError
from .settings import Settings


@dataclass(frozen=True, slots=True)
class TLS:
    """Files in PEM form. ``certificate`` is the whole chain; ``key`` is None when it is in the same file."""

    certificate: Path
    key: Path | None = None


def tls_of(settings: Settings) -> TLS | None:
    """What is set, when anything is. Raises AddressError when a file is missing, or the two do not belong together."""
    certificate, key = settings.tls_cert, settings.tls_key
    if certificate is None:
        if key is not None:
            raise AddressError(f"the key {key} has no certificate: give that with --tls-cert too")
        return None
    try:
        ssl.create_default_context(ssl.Purpose.CLIENT_AUTH).load_cert_chain(certificate, key, password=_no_password)
    except OSError as error:  # an SSLError is one
        raise AddressError(f"TLS cannot be spoken with {certificate}: {error.strerror or error}") from error
    return TLS(certificate, key)


def _no_password() -> str:
    """A prompt would keep a service from starting."""
    raise OSError(0, "its key is locked with a password; give one without, that only this user can read")
