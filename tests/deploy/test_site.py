"""The documentation site: built strictly, complete, and read in Chromium on phone and desktop."""

import functools
import re
import shutil
import subprocess
import sys
import threading
from collections.abc import Iterator
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Final

import pytest

from arsenal_fast import REPOSITORY
from arsenal_fast.api.openapi import document
from arsenal_fast.config.schema import markdown_table
from deploy.site.links import GENERATED, OUTSIDE, Links
from tests.deploy.test_install import tracked

ROOT: Final = Path(__file__).parents[2]
HOW_TO: Final = sorted((ROOT / "docs" / "how-to").glob("*.md"))
PIECE: Final = re.compile(r'^ *```\w+ title="([^"]+)"\n(.*?)^ *```$', re.MULTILINE | re.DOTALL)
"""A block of a page that is a piece of a file: the file and the text."""

OF_THE_THEME: Final = {"aria-dialog-name", "landmark-unique", "scrollable-region-focusable", "color-contrast"}
"""Rules of axe that Material's own templates and its colours of code break."""


def build(root: Path, *, site: Path) -> subprocess.CompletedProcess[str]:
    """Build the site of a tree as ``make docs`` does."""
    command = [sys.executable, "-m", "mkdocs", "build", "--strict", "--site-dir", str(site)]
    return subprocess.run(command, cwd=root, capture_output=True, text=True, timeout=120, check=False)


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The directory of the built site."""
    directory = tmp_path_factory.mktemp("site")
    done = build(ROOT, site=directory)
    assert done.returncode == 0, done.stderr
    return directory


def test_a_dead_link_or_anchor_stops_the_build(tmp_path: Path) -> None:
    for file in tracked(ROOT):
        copy = tmp_path / file.relative_to(ROOT)
        copy.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(file, copy)
    shutil.copytree(ROOT / "docs" / "pages", tmp_path / "docs" / "pages", dirs_exist_ok=True)
    with (tmp_path / "docs" / "backup.md").open("a") as page:
        page.write("\n[one](nowhere.md), [two](doctor.md#no-such-section), [three](../no-such-file.txt)\n")
    done = build(tmp_path, site=tmp_path / "built")
    assert done.returncode != 0
    for dead in ("nowhere.md", "no-such-section", "no-such-file.txt"):
        assert dead in done.stderr, done.stderr


def test_every_page_of_the_documentation_is_on_the_site(site: Path) -> None:
    pages = {path.relative_to(ROOT / "docs") for path in (ROOT / "docs").rglob("*.md")}
    for page in (*pages, *OUTSIDE.values(), *GENERATED.values()):
        html = Path(str(page).replace("README.md", "index.md")).with_suffix(".html")
        assert (site / html).is_file(), page


def test_the_reference_has_every_route_variable_and_metric(site: Path) -> None:
    reference = {path.stem: path.read_text() for path in (site / "reference").glob("*.html")}
    for path, item in document("http://localhost:3655")["paths"].items():
        for method in item:
            assert f"<code>{method.upper()} {path}</code>" in reference["api"]
    for variable in re.findall(r"^\| `(\w+)`", markdown_table(), re.MULTILINE):
        assert f"<code>{variable}</code>" in reference["configuration"]
    for metric in re.findall(r"^\| `([a-z]\w*)", (ROOT / "docs/monitoring.md").read_text(), re.MULTILINE):
        assert metric in reference["metrics"], metric


def test_no_page_loads_anything_from_another_server(site: Path) -> None:
    loaded = {
        link
        for page in site.rglob("*.html")
        for link in re.findall(r'<(?:script|img|link|iframe)\b[^>]*?(?:src|href)="(https?://[^"]+)"', page.read_text())
    }
    assert loaded == set()


@pytest.mark.parametrize(
    ("link", "page", "rewritten"),
    [
        ("backup.md", "operations.md", "backup.md"),
        ("../README.md#the-command-line", "operations.md", "overview.md#the-command-line"),
        ("../../README.md#the-api", "decisions/0001-strict-requests.md", "../reference/api.md"),
        ("docs/backup.md", "overview.md", "backup.md"),
        ("../docs/problems.md#x", "how-to/examples.md", "../problems.md#x"),
        ("docs/decisions", "overview.md", "decisions/README.md"),
        ("../k8s", "kubernetes.md", f"{REPOSITORY}/tree/main/k8s"),
        ("backend/src/main.ts", "how-to/examples.md", f"{REPOSITORY}/blob/main/examples/backend/src/main.ts"),
        ("../nowhere.txt", "backup.md", "../nowhere.txt"),
        ("https://example.com/docs/backup.md", "overview.md", "https://example.com/docs/backup.md"),
    ],
)
def test_a_link_leads_to_the_page_of_the_site_or_to_the_repository(link: str, page: str, rewritten: str) -> None:
    text = "[here]({0}), and\n\n```\n[kept]({0})\n```\n"
    assert Links(ROOT, REPOSITORY).rewritten(text.format(link), page) == text.replace("{0}", rewritten, 1).format(link)


def unindented(text: str) -> str:
    """Return a text without the indentation of its lines."""
    return "\n".join(line.strip() for line in text.strip().splitlines())


@pytest.mark.parametrize("page", HOW_TO, ids=lambda page: page.stem)
def test_a_piece_of_a_file_is_in_that_file(page: Path) -> None:
    for file, piece in PIECE.findall(page.read_text()):
        assert unindented(piece) in unindented((ROOT / file).read_text()), f"{page.name}: {file} has changed"


def test_the_pages_of_the_callers_show_their_code() -> None:
    shown = {file for page in HOW_TO for file, _ in PIECE.findall(page.read_text())}
    assert len(shown) == 5
    assert {Path(file).parts[0] for file in shown} == {"examples"}


@pytest.fixture(scope="module")
def url(site: Path) -> Iterator[str]:
    """Where the site is served."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), functools.partial(_Quiet, directory=str(site)))
    thread = threading.Thread(target=server.serve_forever, args=(0.01,))
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    thread.join()
    server.server_close()


class _Quiet(SimpleHTTPRequestHandler):
    """A file server that logs nothing."""

    def log_message(self, format: str, *args: object) -> None:
        """Log nothing."""


@pytest.mark.deploy("the documentation site is read on phone and desktop", tool="MkDocs, Chromium, axe")
def test_the_site_is_read_searched_and_accessible(url: str) -> None:
    from tests.support.browser import VIEWS, chromium, visit

    with chromium() as browser:
        for view in VIEWS:
            for name in ("index", "tutorial", "how-to/backend", "reference/configuration"):
                with visit(browser, f"{url}/{name}.html", view) as visited:
                    visited.page.wait_for_load_state("networkidle")
                    assert visited.page.locator("h1").count() == 1
                    ours = [each for each in visited.violations() if each.partition(":")[0] not in OF_THE_THEME]
                    assert ours == [], name
                    assert not visited.is_too_wide(), name
                    assert (visited.complaints, visited.strange_requests) == ([], []), name
        with visit(browser, f"{url}/index.html", VIEWS[2]) as visited:
            page = visited.page
            page.click("text=tutorial >> nth=0")
            page.wait_for_selector("h1:has-text('Tutorial')")
            page.fill(".md-search__input", "TRUSTED_PROXIES")
            page.locator(".md-search-result__link").first.wait_for()
            page.locator(".md-search-result__link", has_text="Configuration").first.click()
            page.wait_for_selector("h1:has-text('Configuration')")
