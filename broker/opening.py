"""Opening a database whose server may not be up yet: tried again, with pauses, for so long and no longer.

What waiting cannot mend (a wrong password, a database that does not exist, a newer schema) is raised at once.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any, Final

from .database import Database
from .errors import DatabaseUnreachable

PAUSES: Final = (0.5, 1.0, 2.0, 4.0)  # seconds; from then on the last one


def open_patiently(
    url: str,
    *,
    seconds: float,
    told: Callable[[str], None],
    sleep: Callable[[float], object] = time.sleep,
    **options: Any,
) -> Database:
    """As `Database.open`; a database that cannot be reached is tried again until ``seconds`` are over.

    ``told`` gets a sentence before each pause: what was wrong, when it is tried again, and for how long. ``options``
    are those of `Database.open`. Raises a DatabaseError; a DatabaseUnreachable says how often it was tried.
    """
    began, tries = time.monotonic(), 1
    while True:
        try:
            return Database.open(url, **options)
        except DatabaseUnreachable as error:
            pause = PAUSES[min(tries, len(PAUSES)) - 1]
            left = seconds - (time.monotonic() - began)
            if not error.passing or left <= 0:
                raise error if tries == 1 else _given_up(error, tries, seconds) from error
            pause = min(pause, left)
            told(f"{error}; trying again in {pause:.2g} s, for {seconds:g} s in all")
            sleep(pause)
            tries += 1


def _given_up(error: DatabaseUnreachable, tries: int, seconds: float) -> DatabaseUnreachable:
    detail = (
        f"{error.detail}; it was tried {tries} times in {seconds:g} s, "
        f"with pauses of {PAUSES[0]:g} to {PAUSES[-1]:g} s. Check that it runs and that --database names it, "
        "or wait longer (FRONTDESK_DATABASE_WAIT_SECONDS)"
    )
    return DatabaseUnreachable(error.url, detail)
