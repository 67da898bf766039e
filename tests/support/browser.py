"""The machine's Chromium, driven by Playwright, for tests of the pages as people see them."""

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, Final, Literal, NamedTuple

from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Browser, Page, sync_playwright

PROGRAMS: Final = ("chromium", "chromium-browser", "google-chrome")
"""Debian's, Ubuntu's, and the one that GitHub's machines have."""

TIMEOUT_MS: Final = 15_000
EXPECTED: Final = "Failed to load resource"
"""How the console begins to speak of an answer that is no success, which a test may have meant."""


class View(NamedTuple):
    """A screen and the colours that its owner likes."""

    name: str
    width: int
    height: int
    colours: Literal["light", "dark"]


VIEWS: Final = [
    View(f"{name}-{colours}", width, height, colours)
    for name, width, height in (("phone", 390, 844), ("desktop", 1280, 900))
    for colours in ("light", "dark")
]


@dataclass
class Visit:
    """A page and what was wrong with it."""

    page: Page
    complaints: list[str] = field(default_factory=list)
    """What scripts threw, what the console says, and what the content security policy has blocked."""
    strange_requests: list[str] = field(default_factory=list)
    """URLs of other servers."""

    def violations(self) -> list[str]:
        """The rules of axe that the page breaks, each with the elements."""
        found: list[dict[str, Any]] = Axe().run(self.page).response["violations"]
        return [f"{each['id']}: {[node['target'] for node in each['nodes']][:5]}" for each in found]

    def is_too_wide(self) -> bool:
        """Whether the page scrolls sideways."""
        return bool(self.page.evaluate("document.documentElement.scrollWidth > innerWidth"))


@contextmanager
def chromium() -> Iterator[Browser]:
    """A browser without windows."""
    program = next(filter(None, map(shutil.which, PROGRAMS)), None)
    if program is None:
        raise RuntimeError("chromium is not there: install it (Debian: apt-get install chromium).")
    with sync_playwright() as playwright:
        # Root may not use Chromium's sandbox; the pages are our own.
        browser = playwright.chromium.launch(executable_path=program, args=["--no-sandbox"])
        yield browser
        browser.close()


@contextmanager
def visit(browser: Browser, url: str, view: View) -> Iterator[Visit]:
    """Open a page in a browser that has seen nothing before."""
    context = browser.new_context(viewport={"width": view.width, "height": view.height}, color_scheme=view.colours)
    page = context.new_page()
    page.set_default_timeout(TIMEOUT_MS)
    visited = Visit(page)
    page.on("pageerror", lambda error: visited.complaints.append(str(error)))
    page.on("console", lambda message: _note(visited, message.type, message.text))
    page.on("request", lambda request: _note_request(visited, request.url, url))
    page.goto(url)
    yield visited
    context.close()


def _note(visited: Visit, kind: str, text: str) -> None:
    if kind in {"error", "warning"} and not text.startswith(EXPECTED):
        visited.complaints.append(text)


def _note_request(visited: Visit, requested: str, url: str) -> None:
    origin = "/".join(url.split("/")[:3])
    if not requested.startswith((f"{origin}/", "data:")):
        visited.strange_requests.append(requested)
