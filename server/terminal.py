"""A person at a terminal: lines in, news out, Ctrl-C. What a line means is in ``typed``, what is said in ``chat``."""

from __future__ import annotations

import asyncio
import signal

from .chat import Chat
from .news import News, Remark
from .prompt import Prompt, terminal_kept
from .render import Screen
from .typed import Typed


class Terminal:
    """Talks with a chat until the person leaves. Give `show` to the chat."""

    def __init__(self, screen: Screen) -> None:
        self._screen = screen
        self._lines: asyncio.Queue[str | None] = asyncio.Queue(1_000)
        self._prompt = Prompt(self._take)
        self._interrupted = False

    def show(self, news: News) -> None:
        with self._prompt.aside(stay_away=lambda: self._screen.is_speaking):
            self._screen.show(news)

    def remark(self, text: str) -> None:
        self.show(Remark(text))

    async def talk(self, chat: Chat) -> None:
        """Returns when the person leaves."""
        loop = asyncio.get_running_loop()
        loop.add_signal_handler(signal.SIGINT, self._interrupt, chat)
        typed = Typed(chat, self.remark)
        try:
            with terminal_kept():
                self._prompt.start()
                while (line := await self._lines.get()) is not None and await typed.obey(line):
                    self._interrupted = False
        finally:
            self._prompt.leave()
            loop.remove_signal_handler(signal.SIGINT)

    def _take(self, line: str | None) -> None:
        if not self._lines.full():
            self._lines.put_nowait(line)

    def _interrupt(self, chat: Chat) -> None:
        """Ctrl-C: cancels what is being answered; the second one in a row leaves."""
        message = chat.dialog.cancel()
        if self._interrupted:
            self._take(None)
        elif message is not None:
            chat.client.send(message)
            self.remark("cancelling; Ctrl-C once more leaves")
        else:
            self.remark("Ctrl-C once more, or /quit, leaves")
        self._interrupted = True
