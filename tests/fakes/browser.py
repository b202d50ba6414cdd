"""A real Chromium without a window, spoken to over its DevTools protocol. Nothing is installed: it is used where it is.

A person's keys and clicks go in as the browser gets them from a keyboard, not as calls of the page's functions.
"""

from __future__ import annotations

import base64
import json
import os
import shutil
import subprocess
import tempfile
from collections.abc import AsyncGenerator, Generator
from contextlib import asynccontextmanager, contextmanager
from itertools import count
from pathlib import Path
from typing import Any

import anyio
import pytest
from websockets.asyncio.client import ClientConnection, connect

NAMES = ("chromium", "chromium-browser", "google-chrome-stable", "google-chrome", "chrome")
PATIENCE = 30.0
KEYS = {"Enter": (13, "\r"), "Escape": (27, ""), "Tab": (9, "")}
UNTIL = """
new Promise((resolve) => {
  const test = () => { const found = %s; if (found) { observer.disconnect(); resolve(found); } };
  const observer = new MutationObserver(test);
  observer.observe(document, { subtree: true, childList: true, attributes: true, characterData: true });
  test();
})
"""


STEADY = """
new Promise((resolve) => {
  let before = "";
  const look = () => {
    const element = document.querySelector(%s);
    element?.scrollIntoView({ block: "center" });
    const box = element?.getBoundingClientRect();
    const place = box?.width ? [box.x + box.width / 2, box.y + box.height / 2] : null;
    const there = place && element.contains(document.elementFromPoint(...place));
    if (there && before === String(place)) return resolve(place);
    before = there ? String(place) : "";
    requestAnimationFrame(look);
  };
  look();
})
"""


def chromium() -> str:
    """The program. Skips the test where there is none."""
    found = next(filter(None, map(shutil.which, NAMES)), None)
    if found is None:
        pytest.skip(f"the page is tested where a browser is found: one of {', '.join(NAMES)}")
    return found


@contextmanager
def started() -> Generator[str]:
    """A browser without a past, while the block runs; the address that it is spoken to at."""
    program = chromium()
    with tempfile.TemporaryDirectory(prefix="frontdesk-browser-", ignore_cleanup_errors=True) as folder:
        flags = ["--headless=new", "--disable-gpu", "--no-first-run", "--disable-background-networking",
                 "--disable-dev-shm-usage", "--disable-component-update", "--disable-sync",
                 "--disable-renderer-backgrounding", "--disable-background-timer-throttling",
                 "--disable-backgrounding-occluded-windows"]  # fmt: skip
        if os.geteuid() == 0:
            flags.append("--no-sandbox")  # it refuses to start as root otherwise
        command = [program, *flags, "--remote-debugging-port=0", f"--user-data-dir={folder}", "about:blank"]
        process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
        try:
            yield _address(process)
        finally:
            process.terminate()
            process.communicate(timeout=PATIENCE)


@asynccontextmanager
async def browser(address: str) -> AsyncGenerator[Browser]:
    """The browser at this address, with a memory of its own; at the end, what pages have complained of fails."""
    async with connect(address, max_size=None, proxy=None) as socket:
        found = Browser(socket)
        found.context = (await found.ask("Target.createBrowserContext"))["browserContextId"]
        yield found
        assert found.complaints() == []
        await found.ask("Target.disposeBrowserContext", browserContextId=found.context)


def _address(process: subprocess.Popen[str]) -> str:
    """Where it listens; it says so when it does."""
    assert process.stderr is not None
    said = ""
    for line in process.stderr:
        said += line
        if line.startswith("DevTools listening on "):
            return line.removeprefix("DevTools listening on ").strip()
    raise AssertionError(f"the browser has not started: {said}")


class Browser:
    """One browser; each page has memory in common with the others."""

    def __init__(self, socket: ClientConnection) -> None:
        self._socket = socket
        self.context = ""
        self.expected: tuple[str, ...] = ()  # complaints that a test provokes
        self._numbers = count(1)
        self._seen: list[dict[str, Any]] = []

    async def ask(self, method: str, session: str = "", **parameters: Any) -> Any:
        """Sends a command; its result."""
        number = next(self._numbers)
        message = {"id": number, "method": method, "params": parameters}
        await self._socket.send(json.dumps({**message, "sessionId": session} if session else message))
        with anyio.fail_after(PATIENCE):
            while True:
                found = json.loads(await self._socket.recv())
                if found.get("id") == number:
                    assert "error" not in found, (method, found["error"])
                    return found["result"]
                self._seen.append(found)

    async def open(self, url: str) -> Page:
        """A new page at this address, loaded."""
        target = await self.ask("Target.createTarget", url="about:blank", browserContextId=self.context)
        attached = await self.ask("Target.attachToTarget", targetId=target["targetId"], flatten=True)
        page = Page(self, attached["sessionId"])
        for domain in ("Page", "Runtime", "Log", "Network"):
            await page.ask(f"{domain}.enable")
        await page.ask("Emulation.setFocusEmulationEnabled", enabled=True)  # as if each were the one in front
        await page.go(url)
        return page

    def complaints(self) -> list[str]:
        """What pages have logged as errors: exceptions, breaches of their policy."""
        found: list[str] = []
        for event in self._seen:
            given = event.get("params", {})
            match event.get("method"):
                case "Runtime.exceptionThrown":
                    found.append(json.dumps(given["exceptionDetails"])[:500])
                case "Log.entryAdded" if given["entry"]["level"] == "error":
                    found.append(f"{given['entry']['source']}: {given['entry']['text']}")
                case _:
                    pass
        return [one for one in found if not any(part in one for part in self.expected)]

    def requested(self) -> set[str]:
        """Every address that pages have asked for."""
        return {
            one["params"]["request"]["url"] if "request" in one["params"] else one["params"]["url"]
            for one in self._seen
            if one.get("method") in ("Network.requestWillBeSent", "Network.webSocketCreated")
        }


class Page:
    """One page, as a person uses it."""

    def __init__(self, browser: Browser, session: str) -> None:
        self._browser, self._session = browser, session

    async def ask(self, method: str, **parameters: Any) -> Any:
        return await self._browser.ask(method, self._session, **parameters)

    async def js(self, expression: str) -> Any:
        """The value of an expression, awaited when it is a promise."""
        found = await self.ask("Runtime.evaluate", expression=expression, awaitPromise=True, returnByValue=True)
        assert "exceptionDetails" not in found, (expression, found["exceptionDetails"])
        return found["result"].get("value")

    async def until(self, expression: str) -> Any:
        """The value of an expression as soon as it is true; it is looked at whenever the document has changed."""
        try:
            return await self.js(UNTIL % expression)
        except TimeoutError:
            shown = await self.js("document.body.innerText")
            raise AssertionError(f"never so: {expression}; the page shows: {shown}") from None

    async def go(self, url: str) -> None:
        await self.ask("Page.navigate", url=url)
        await self.until("document.readyState === 'complete' && location.href !== 'about:blank'")

    async def reload(self) -> None:
        await self.js("window.before = true")
        await self.ask("Page.reload")
        while await self.js("window.before === true || document.readyState !== 'complete'"):
            await anyio.lowlevel.checkpoint()

    async def type(self, text: str, key: str = "") -> None:
        """Types into what has the focus, then presses a key."""
        if text:
            await self.ask("Input.insertText", text=text)
        if key:
            await self.press(key)

    async def press(self, key: str, *, shift: bool = False) -> None:
        code, text = KEYS[key]
        given = {"key": key, "code": key, "windowsVirtualKeyCode": code, "modifiers": 8 if shift else 0}
        await self.ask("Input.dispatchKeyEvent", type="keyDown", text=text, **given)
        await self.ask("Input.dispatchKeyEvent", type="keyUp", **given)

    async def click(self, selector: str) -> None:
        """Clicks where the element is, once it stands still there and nothing is before it."""
        place = await self.js(STEADY % json.dumps(selector))
        for kind in ("mousePressed", "mouseReleased"):
            await self.ask("Input.dispatchMouseEvent", type=kind, x=place[0], y=place[1], button="left", clickCount=1)

    async def size(self, width: int, height: int) -> None:
        await self.ask(
            "Emulation.setDeviceMetricsOverride", width=width, height=height, deviceScaleFactor=1, mobile=width < 700
        )

    async def shot(self, path: Path) -> None:
        """What is seen, as a PNG."""
        data = base64.b64decode((await self.ask("Page.captureScreenshot"))["data"])
        await anyio.Path(path).write_bytes(data)
