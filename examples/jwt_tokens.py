"""Clients that show a JSON Web Token of an identity provider, instead of one of Frontdesk's own.

Put this into the module that has your desk, and name it when it is served (it needs ``pip install "frontdesk[jwt]"``):

    authenticate = authenticator(
        jwt.PyJWKClient("https://login.example/.well-known/jwks.json"), audience="desk", issuer="https://login.example/"
    )

    frontdesk serve shop:desk --authenticate shop:authenticate
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

import jwt
from starlette.requests import HTTPConnection

from frontdesk.server.auth import Principal, bearer

ALGORITHMS: Final = ("ES256", "RS256")  # never "none", and never one that would take the public key for a secret
REQUIRED: Final = ("exp", "iss", "aud", "sub", "tenant")


def authenticator(keys: jwt.PyJWKClient, *, audience: str, issuer: str) -> Callable[[HTTPConnection], Principal | None]:
    """Says who a request comes from: the tenant is the token's claim ``tenant``, an operator has ``operator`` among its
    ``roles``. Frontdesk calls it in a thread, since it may fetch the provider's keys.
    """

    def authenticate(request: HTTPConnection) -> Principal | None:
        token = bearer(request.headers, request.scope.get("subprotocols", ()))
        try:
            claims: dict[str, Any] = jwt.decode(
                token, keys.get_signing_key_from_jwt(token).key, algorithms=list(ALGORITHMS), audience=audience,
                issuer=issuer, options={"require": list(REQUIRED)},
            )  # fmt: skip
        except jwt.PyJWKClientConnectionError:
            raise  # nobody is let in meanwhile, and who is here may stay
        except jwt.PyJWTError:
            return None
        tenant, roles = claims["tenant"], claims.get("roles", [])
        if not isinstance(tenant, str) or not tenant:
            return None
        return Principal(
            tenant=tenant, name=str(claims["sub"]), operator="operator" in roles, expires_at=float(claims["exp"])
        )

    return authenticate
