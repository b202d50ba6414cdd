"""The page in a real browser, used as a person uses it: keys and clicks in, what is to be seen out.

Everything that a page logs as an error (an exception, a breach of its own policy) fails the test.
"""

from __future__ import annotations

import json
from collections.abc import AsyncGenerator, Iterator
from http.client import HTTPConnection
from pathlib import Path

import anyio
import pytest

from frontdesk.agents.models.scripted import call, calls
from frontdesk.server import page as served_page
from frontdesk.tests.fakes.browser import Browser, Page, browser, started
from frontdesk.tests.served import House, file_errand, open_house, said_around


@pytest.fixture(scope="module")
def address() -> Iterator[str]:
    with started() as found:
        yield found


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[House]:
    """A house that no test restarts."""
    with open_house(tmp_path_factory.mktemp("house")) as found:
        yield found


@pytest.fixture
async def chromium(address: str) -> AsyncGenerator[Browser]:
    async with browser(address) as found:
        yield found


def home(house: House) -> str:
    return house.base_url.removesuffix("v1")


async def arrived(chromium: Browser, house: House) -> Page:
    """A page that is connected, and has the focus where one types."""
    page = await chromium.open(home(house))
    await page.size(1280, 800)
    await connected(page)
    await page.js("document.getElementById('said').focus()")
    return page


async def connected(page: Page) -> None:
    await page.until("document.getElementById('state').dataset.state === 'connected'")


async def log(page: Page, words: str) -> str:
    """The conversation as it is shown, as soon as it shows this."""
    await page.until(f"document.getElementById('log').innerText.includes({json.dumps(words)})")
    return str(await page.js("document.getElementById('log').innerText"))


async def quiet(page: Page) -> None:
    """Nothing is being answered."""
    await page.until("!document.querySelector('[aria-busy]') && document.querySelector('.message')")


# --- what is sent


def fetched(house: House) -> tuple[dict[str, str], str]:
    connection = HTTPConnection(home(house).removeprefix("http://").rstrip("/"))
    connection.request("GET", "/")
    reply = connection.getresponse()
    found = {name.lower(): value for name, value in reply.getheaders()}, reply.read().decode()
    connection.close()
    assert reply.status == 200
    return found


def test_it_is_one_document_that_names_its_only_script_and_style(shared: House) -> None:
    headers, html = fetched(shared)
    policy = headers["content-security-policy"]
    assert headers["content-type"] == "text/html; charset=utf-8"
    assert (html.count("<script"), html.count("<style"), html.count("<link")) == (1, 1, 1)
    script = html.partition("<script>")[2].partition("</script>")[0]
    style = html.partition("<style>")[2].partition("</style>")[0]
    for kind, text in (("script", script), ("style", style)):
        assert f"{kind}-src '{served_page._hash(text)}'" in policy  # pyright: ignore[reportPrivateUsage]
    assert "default-src 'none'" in policy
    assert "unsafe" not in policy
    for way in ("innerHTML", "outerHTML", "insertAdjacentHTML", "document.write", "eval(", "Function("):
        assert way not in script, "what is said must never become markup or code"


# --- talking


async def test_what_is_typed_is_answered_as_it_is_said(shared: House, chromium: Browser) -> None:
    shared.lines["talk"] = said_around("one ", shared.gates["half"], "**two**")
    page = await arrived(chromium, shared)
    await page.type("talk", "Enter")
    assert "two" not in await log(page, "one")
    assert await page.js("document.getElementById('stop').hidden") is False
    shared.gates["half"].open()
    await log(page, "one two")
    await quiet(page)
    assert await page.js("document.querySelector('.message strong').textContent") == "two"
    assert await page.js("document.getElementById('announce').textContent") == "one **two**", "for those who listen"
    asked = {one.rpartition("/")[0] for one in chromium.requested()}
    assert asked <= {home(shared).rstrip("/"), f"{home(shared)}v1", f"ws{home(shared)[4:]}v1"}, "no other address"


async def test_a_line_break_is_typed_with_shift_and_what_is_said_is_text(shared: House, chromium: Browser) -> None:
    page = await arrived(chromium, shared)
    await page.type("<img src=x onerror=alert(1)>")
    await page.press("Enter", shift=True)
    await page.type("[x](javascript:alert(1))", "Enter")
    await log(page, "You said: <img src=x onerror=alert(1)>")
    await quiet(page)
    assert await page.js("document.querySelectorAll('#log img, #log a').length") == 0
    assert await page.js("document.querySelector('.said').innerText.split('\\n').length") == 2


async def test_tool_calls_are_shown_with_what_came_of_them(shared: House, chromium: Browser) -> None:
    shared.lines["look"] = (calls(call("look", {"word": "sun"}), call("look", {"wrong": 1})), "The sun is a word.")
    page = await arrived(chromium, shared)
    await page.type("look", "Enter")
    await log(page, "The sun is a word.")
    states = await page.js("[...document.querySelectorAll('.call')].map((one) => one.dataset.state)")
    assert states == ["done", "failed"]
    await page.click(".call summary")
    assert "sun is a word" in await page.js("document.querySelector('.call[open]').innerText")


async def test_escape_stops_the_answer(shared: House, chromium: Browser) -> None:
    shared.lines["long"] = said_around("begun ", shared.gates["never"], "ended")
    page = await arrived(chromium, shared)
    await page.type("long", "Enter")
    await log(page, "begun")
    await page.press("Escape")
    assert "ended" not in await log(page, "Stopped.")


async def test_a_language_that_is_written_from_the_right_is_shown_so(shared: House, chromium: Browser) -> None:
    shared.lines["أين طلبي؟"] = ("غادر المستودع.",)
    page = await arrived(chromium, shared)
    await page.type("أين طلبي؟", "Enter")
    await log(page, "غادر المستودع.")
    directions = "[...document.querySelectorAll('#log p[dir=auto]')].map((one) => getComputedStyle(one).direction)"
    assert await page.js(directions) == ["rtl", "rtl"]


# --- tasks


async def test_a_task_shows_its_progress_and_can_be_cancelled(shared: House, chromium: Browser) -> None:
    shared.lines["file"] = (file_errand("closed shop"), "It is being done.")
    page = await arrived(chromium, shared)
    await page.type("file", "Enter")
    await page.until("document.querySelector('.task progress')?.value === 0.5")
    assert "at closed shop" in await page.js("document.querySelector('.task').innerText")
    await page.click(".task menu button")
    await page.until("document.querySelector('.task').dataset.status === 'cancelled'")
    assert await page.js("document.getElementById('tasks-live').hidden")


async def test_the_question_of_a_task_is_answered_and_its_result_shown(shared: House, chromium: Browser) -> None:
    filed = {"task": {"name": "choose", "arguments": {"what": "color"}}, "title": "A choice", "again": None}
    shared.lines["choose"] = (call("create_task", filed), "You will be asked.")
    page = await arrived(chromium, shared)
    await page.type("choose", "Enter")
    await page.until("document.querySelector('.task[data-status=asks] .answer input')")
    await page.click(".task .answer input")
    await page.type("deep blue", "Enter")
    await page.until("document.querySelector('.task').dataset.status === 'succeeded'")
    await page.click(".task details summary")
    assert "deep blue" in await page.js("document.querySelector('.task details').innerText")


# --- approvals


async def test_a_call_that_needs_an_approval_is_allowed_on_its_card(shared: House, chromium: Browser) -> None:
    shared.lines["pay 7"] = (call("till-pay", {"amount": 7}), "It is paid.")
    page = await arrived(chromium, shared)
    await page.type("pay 7", "Enter")
    await page.until("document.querySelector('.card menu')")
    card = await page.js("document.querySelector('.card').innerText")
    assert ("pay" in card, '"amount": 7' in card, "paid" in await log(page, "pay 7")) == (True, True, False)
    await page.click(".card menu button:last-child")
    await log(page, "It is paid.")
    await quiet(page)
    assert "You have allowed it." in await page.js("document.querySelector('.card').innerText")
    assert await page.js("document.querySelector('.card button')") is None, "it is decided once"
    assert await page.js("[...document.querySelectorAll('.call')].map((one) => one.dataset.state)") == ["done"]


async def test_a_refusal_holds_after_a_reload(shared: House, chromium: Browser) -> None:
    shared.lines["pay 8"] = (call("till-pay", {"amount": 8}), "Then not.")
    page = await arrived(chromium, shared)
    await page.type("pay 8", "Enter")
    await page.until("document.querySelector('.card menu')")
    await page.reload()
    await connected(page)
    await page.until("document.querySelector('.card menu')")  # it still waits
    await page.click(".card menu button.quiet")
    await log(page, "Then not.")
    await quiet(page)
    await page.reload()
    await connected(page)
    await log(page, "This was decided.")
    assert await page.js("document.querySelector('.card button')") is None
    assert "paid 8" not in await page.js("document.getElementById('log').textContent")


# --- coming back


async def test_after_a_reload_everything_is_there_once_and_goes_on(shared: House, chromium: Browser) -> None:
    shared.lines["stay"] = said_around("half ", shared.gates["reload"], "whole")
    page = await arrived(chromium, shared)
    await page.type("hello", "Enter")
    await log(page, "You said: hello")
    await page.type("stay", "Enter")
    await log(page, "half")
    await page.reload()
    await connected(page)
    await log(page, "half")
    shared.gates["reload"].open()
    text = await log(page, "half whole")
    await quiet(page)
    for words in ("You said: hello", "stay", "half whole"):
        assert text.count(words) == 1, text
    await page.js("document.getElementById('said').focus()")
    await page.type("on", "Enter")
    await log(page, "You said: on")
    await page.click("#new")
    await page.until("!document.getElementById('hello').hidden")
    await page.reload()
    await connected(page)
    assert await page.js("document.querySelectorAll('.said').length") == 0


async def test_across_a_restart_of_the_server_nothing_is_lost_or_said_twice(tmp_path: Path, chromium: Browser) -> None:
    chromium.expected = ("ERR_CONNECTION_REFUSED",)
    with open_house(tmp_path) as house:
        house.lines["long"] = (call("hold", {"name": "desk"}), "said after the restart")
        page = await arrived(chromium, house)
        await page.type("long", "Enter")
        await house.gates["desk"].reached()
        await anyio.to_thread.run_sync(house.stop)
        await page.until("document.getElementById('state').dataset.state === 'connecting'")
        await page.type("said meanwhile", "Enter")
        await page.until("document.querySelector('.said[data-waiting]')")
        await anyio.to_thread.run_sync(house.start)
        house.gates["desk"].open()
        text = await log(page, "You said: said meanwhile")
        await connected(page)
        assert text.count("said after the restart") == 1
        assert text.count("said meanwhile") == 2, "by the person, and by the desk"


async def test_who_wants_a_token_is_given_one_and_it_is_remembered_if_so_wished(
    tmp_path: Path, chromium: Browser
) -> None:
    chromium.expected = ("401", "WebSocket connection to")
    with open_house(tmp_path, token="secret-7") as house:
        page = await chromium.open(home(house))
        await page.until("document.getElementById('token').open")
        await page.type("wrong", "Enter")
        await page.until("document.getElementById('token-why').textContent.includes('not valid')")
        await page.type("secret-7")
        await page.click("#token-keep")
        await page.click("#token-ok")
        await connected(page)
        await page.js("document.getElementById('said').focus()")
        await page.type("hello", "Enter")
        await log(page, "You said: hello")
        another = await chromium.open(home(house))
        await connected(another)


# --- for everybody


@pytest.mark.parametrize("theme", ["light", "dark"])
async def test_it_fits_a_small_screen_and_every_control_has_a_name(
    shared: House, chromium: Browser, theme: str
) -> None:
    page = await arrived(chromium, shared)
    await page.ask("Emulation.setEmulatedMedia", features=[{"name": "prefers-color-scheme", "value": theme}])
    await page.size(360, 640)
    await page.type("x" * 200, "Enter")
    await log(page, "You said: xxx")
    assert await page.js("document.documentElement.scrollWidth <= 360")
    wide = "(one) => one.getBoundingClientRect().right > 360"
    assert await page.js(f"[...document.querySelectorAll('button, textarea')].filter({wide}).length") == 0
    tree = (await page.ask("Accessibility.getFullAXTree"))["nodes"]
    controls = [one for one in tree if one.get("role", {}).get("value") in ("button", "textbox", "checkbox", "link")]
    assert len(controls) >= 5
    assert [one for one in controls if not one.get("name", {}).get("value")] == []
    contrast = await page.js(CONTRAST)
    assert contrast >= 4.5, "WCAG 2.2, 1.4.3"


# The smallest contrast between a text and what it stands on.
CONTRAST = """
(() => {
  const context = document.createElement("canvas").getContext("2d");
  const rgba = (color) => {
    context.clearRect(0, 0, 1, 1);
    context.fillStyle = color;
    context.fillRect(0, 0, 1, 1);
    return [...context.getImageData(0, 0, 1, 1).data];
  };
  const light = (color) => color.slice(0, 3).map((one) => one / 255)
    .map((one) => (one <= 0.04045 ? one / 12.92 : ((one + 0.055) / 1.055) ** 2.4))
    .reduce((sum, one, place) => sum + one * [0.2126, 0.7152, 0.0722][place], 0);
  const under = (element) => {
    for (let one = element; one; one = one.parentElement) {
      const found = rgba(getComputedStyle(one).backgroundColor);
      if (found[3] === 255) return found;
    }
    return [255, 255, 255, 255];
  };
  let least = 21;
  for (const one of document.querySelectorAll("h1, h2, h3, p, button, li, span, b, code, a")) {
    if (!one.checkVisibility() || !one.innerText?.trim() || one.closest(".hidden, .skip, .thinking")) continue;
    const [a, b] = [light(rgba(getComputedStyle(one).color)), light(under(one))].sort((x, y) => y - x);
    least = Math.min(least, (a + 0.05) / (b + 0.05));
  }
  return least;
})()
"""


async def test_a_desk_that_is_mounted_under_a_path_has_its_page_there(chromium: Browser, tmp_path: Path) -> None:
    from frontdesk.tests.mounted import mounted_house

    with mounted_house(tmp_path) as url:
        page = await chromium.open(f"{url}/desk/")
        await connected(page)
        await page.js("document.getElementById('said').focus()")
        await page.type("hello", "Enter")
        await log(page, "You said: hello")
