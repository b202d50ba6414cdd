"""Posts: calls that one thread leaves in the event loops of others. What a transaction has to tell a loop is one post.

Each post wakes its loop by a system call, for which the posting thread lets the others go first: inside of `gathered`
there is one per loop, whatever was posted, in the order in which it was.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Generator
from contextlib import contextmanager
from typing import TypeAlias

Action: TypeAlias = Callable[[], None]
Post: TypeAlias = tuple[Action, Action]  # what is to be done in the loop, and what here when the loop has ended


class _Gathered(threading.local):
    posts: dict[asyncio.AbstractEventLoop, list[Post]] | None = None


_here = _Gathered()


def post(loop: asyncio.AbstractEventLoop, action: Action, gone: Action) -> None:
    """Has ``action()`` run in the loop soon; when that has ended, ``gone()`` is called here instead."""
    if _here.posts is None:
        _send(loop, [(action, gone)])
    else:
        _here.posts.setdefault(loop, []).append((action, gone))


@contextmanager
def gathered() -> Generator[None]:
    """What this thread posts inside of the block is sent at its end."""
    _here.posts = {}
    try:
        yield
    finally:
        found, _here.posts = _here.posts, None
        for loop, posts in found.items():
            _send(loop, posts)


def _send(loop: asyncio.AbstractEventLoop, posts: list[Post]) -> None:
    try:
        loop.call_soon_threadsafe(_act, posts)
    except RuntimeError:  # the loop has ended
        for _, gone in posts:
            gone()


def _act(posts: list[Post]) -> None:
    for action, _ in posts:
        action()
