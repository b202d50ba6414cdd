"""The page ``GET /``: a client of the WebSocket like any other. Its parts lie in ``web/`` and are sent as one document.

It needs nothing but itself: no build, no other address, no cookie. Its policy (CSP) names the only script and the only
style by their hashes, so nothing that is said in a conversation can ever become one.
"""

from __future__ import annotations

import base64
import hashlib
import re
from functools import cache
from importlib.resources import files
from typing import Final

from starlette.requests import Request
from starlette.responses import Response

STYLE: Final = '    <link rel="stylesheet" href="style.css" />\n'
SCRIPT: Final = re.compile(r'^ *<script src="([a-z]+\.js)"></script>\n', re.MULTILINE)


async def page(request: Request) -> Response:
    """The document; who has no token may have it too, and is asked for one by it."""
    body, headers = document()
    return Response(body, headers=headers, media_type="text/html")


@cache
def document() -> tuple[bytes, dict[str, str]]:
    """The document and its headers."""
    html, style = _part("index.html"), _part("style.css")
    # One script: each file begins with "use strict", of which the first one holds for all.
    script = "".join(_part(name) for name in SCRIPT.findall(html))
    html = html.replace(STYLE, f"    <style>{style}</style>\n")
    head, _, tail = html.partition(SCRIPT.search(html)[0])  # type: ignore[index] # a test reads the whole
    body = f"{head}    <script>{script}</script>\n{SCRIPT.sub('', tail)}".encode()
    policy = (
        f"default-src 'none'; script-src '{_hash(script)}'; style-src '{_hash(style)}'; connect-src 'self'; "
        "img-src data:; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    )
    return body, {
        "content-security-policy": policy,
        "cache-control": "no-cache",
        "referrer-policy": "no-referrer",
        "x-content-type-options": "nosniff",
    }


def _part(name: str) -> str:
    return files(__package__ or "").joinpath("web", name).read_text("utf-8")


def _hash(text: str) -> str:
    """As a Content-Security-Policy names a script (CSP 3, 2.3.1)."""
    return f"sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}"
