"""The pages in a real browser: phone and desktop, light and dark, as a person uses them."""

import json
import os
import re
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import pytest
from playwright.sync_api import Browser, Locator, expect

from tests.support.browser import VIEWS, View, Visit, chromium, visit
from tests.support.redis_server import RedisServer
from tests.support.service import REPLICA, ServiceProcess, command, free_port

LOOKS: Final = {"home": "/", "dashboard": "/api/health", "docs": "/api/docs"}
READY: Final = {"home": "#issue", "dashboard": "#status[data-status=healthy]", "docs": ".opblock"}
SCREENSHOTS: Final = os.environ.get("SCREENSHOTS", "")
"""Directory for pictures of the pages; none by default."""
PICTURED: Final = ("phone-dark", "desktop-light")
DESKTOP: Final = VIEWS[2]


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with chromium() as started:
        yield started


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServiceProcess]:
    """A service with a ledger and a limit that no test uses up."""
    ledger = tmp_path_factory.mktemp("ledger") / "identity.db"
    with ServiceProcess(DATABASE_URL=f"sqlite:///{ledger}", RATE_LIMIT_REQUESTS="100000", **REPLICA) as running:
        yield running


def picture(visited: Visit, name: str, view: View) -> None:
    if SCREENSHOTS and view.name in PICTURED:
        visited.page.screenshot(path=Path(SCREENSHOTS) / f"{name}-{view.name}.png")


def use(visited: Visit, name: str) -> None:
    """Wait for the page and bring up what it shows at first use."""
    visited.page.wait_for_selector(READY[name])
    if name == "home":
        visited.page.click("#issue")
        visited.page.wait_for_selector("#result:not([hidden])")
    elif name == "dashboard":
        visited.page.wait_for_selector("#plots svg")
    else:
        operation(visited, "get", "/api/v1/id").locator(".opblock-body").wait_for()


@pytest.mark.deploy("pages look right on phone and desktop, light and dark", tool="Chromium, axe")
@pytest.mark.parametrize("view", VIEWS, ids=[view.name for view in VIEWS])
@pytest.mark.parametrize("name", LOOKS)
def test_a_page_is_accessible_and_within_its_policy(
    browser: Browser, service: ServiceProcess, name: str, view: View
) -> None:
    with visit(browser, service.url + LOOKS[name], view) as visited:
        use(visited, name)
        picture(visited, name, view)
        assert visited.page.locator("main").count() == 1
        assert visited.violations() == []
        assert not visited.is_too_wide()
        assert visited.complaints == []
        assert visited.strange_requests == []


@pytest.mark.deploy("the start page issues an identity", tool="Chromium, curl")
def test_a_click_issues_an_identity_and_its_curls_work(browser: Browser, service: ServiceProcess) -> None:
    with visit(browser, f"{service.url}/", DESKTOP) as visited:
        page = visited.page
        page.click("#issue")
        expect(page.locator("#identity")).to_have_text(re.compile(r"player-_[0-9a-z]+@.*/v1:id"))
        expect(page.locator("#left")).to_have_text("It expires in 60 minutes.")
        identity = page.text_content("#identity")
        issued, validated = (curl(page.text_content(code) or "") for code in ("#curl", "#check-curl"))
        assert issued["id"] != identity
        assert (validated["identity"], validated["valid"]) == (identity, True)
        for link in page.locator("main a, nav a").all():
            href = link.get_attribute("href")
            assert page.request.get(f"{service.url}/{href}").ok, href


def curl(text: str) -> Any:
    """What a command of the page answers, in a shell."""
    done = subprocess.run(["sh", "-c", text], capture_output=True, text=True, timeout=20, check=True)
    return json.loads(done.stdout)


@pytest.mark.deploy("the start page issues an identity", tool="Chromium, curl")
def test_the_start_page_says_when_the_limit_is_used_up(browser: Browser) -> None:
    with ServiceProcess(RATE_LIMIT_REQUESTS="1") as limited, visit(browser, f"{limited.url}/", DESKTOP) as visited:
        visited.page.click("#issue")
        visited.page.wait_for_selector("#result:not([hidden])")
        visited.page.click("#issue")
        expect(visited.page.locator("#message")).to_have_text(
            re.compile(r"You have used up your requests\. Try again in \d+ minutes\.")
        )


@pytest.mark.deploy("the dashboard says what is wrong", tool="Chromium, Redis")
def test_the_dashboard_says_why_and_since_when_and_what_to_do(browser: Browser) -> None:
    with (
        RedisServer() as redis,
        ServiceProcess(REDIS_URL=redis.url) as running,
        visit(browser, f"{running.url}/api/health", DESKTOP) as visited,
    ):
        page = visited.page
        page.wait_for_selector("#status[data-status=healthy]")
        redis.kill()
        page.wait_for_selector("#status[data-status=degraded]")
        causes = page.locator("#causes li")
        expect(causes).to_have_text(re.compile(r"Redis is away since .* \(\d+ s\): .+\. What to do"))
        assert (causes.locator("a").get_attribute("href") or "").endswith("docs/runbooks/LimitsNotShared.md")
        if SCREENSHOTS:
            page.screenshot(path=Path(SCREENSHOTS) / "dashboard-degraded.png")
        assert visited.violations() == []
        redis.start()
        page.wait_for_selector("#status[data-status=healthy]")
        expect(page.locator("#causes")).to_be_empty()


@pytest.mark.deploy("the dashboard plots the last minutes", tool="Chromium")
def test_the_plots_have_axes_and_count_calls_only(browser: Browser) -> None:
    with ServiceProcess() as running, visit(browser, f"{running.url}/api/health", DESKTOP) as visited:
        page = visited.page
        plots = page.locator("#plots figure")
        expect(plots).to_have_count(5)
        for _ in range(5):
            page.request.get(f"{running.url}/api/v1/id?prefix=player&run=1")
        latency = page.locator("#plots figcaption").nth(1)
        expect(latency).to_have_text(re.compile(r"p50 \d.* msp99 \d.* ms"), timeout=20_000)
        history = page.request.get(f"{running.url}/api/telemetry").json()["history"]
        assert sum(interval["requests"] for interval in history) == 5
        expect(page.locator("#plots figcaption").first).to_have_text(re.compile("Calls"))
        page.wait_for_selector("#plots polyline")
        for plot in plots.all():
            labels = plot.locator("text").all_text_contents()
            assert len(labels) == 8
            assert labels[-1] == "now"


@pytest.mark.deploy("the dashboard behind a proxy", tool="Chromium")
@pytest.mark.parametrize(("status", "words"), [(404, "does not let /api/telemetry through"), (403, "METRICS_ACCESS")])
def test_the_dashboard_says_why_it_has_no_figures(
    browser: Browser, service: ServiceProcess, status: int, words: str
) -> None:
    """Ingress and Caddyfile have no /api/telemetry for the public."""
    with visit(browser, f"{service.url}/", DESKTOP) as visited:
        page = visited.page
        page.route("**/api/telemetry", lambda route: route.fulfill(status=status, body="not here"))
        page.goto(f"{service.url}/api/health")
        page.wait_for_selector("#status[data-status=healthy]")
        expect(page.locator("#denial")).to_contain_text(words)
        expect(page.locator("#plots")).to_be_hidden()
        assert visited.violations() == []


def enter(visited: Visit, token: str) -> None:
    """Give the dashboard a service token."""
    visited.page.fill("#token", token)
    visited.page.click("#entry button")


@pytest.mark.deploy("the dashboard names who calls most", tool="Chromium, axe")
@pytest.mark.parametrize("view", VIEWS, ids=[view.name for view in VIEWS])
@pytest.mark.parametrize("access", ["open", "token"])
def test_the_dashboard_names_callers_to_the_holder_of_a_token(browser: Browser, access: str, view: View) -> None:
    env = {**REPLICA, "METRICS_ACCESS": access, "RATE_LIMIT_REQUESTS": "3", "TRUSTED_PROXIES": "127.0.0.1"}
    with ServiceProcess(**env) as running, visit(browser, f"{running.url}/api/health", view) as visited:
        page = visited.page
        for number, address in enumerate(["203.0.113.9"] * 5 + ["198.51.100.7", "2001:db8:1:2::1"]):
            headers = {"X-Forwarded-For": address}
            page.request.get(f"{running.url}/api/v1/id?prefix=player&run={number}", headers=headers)
        expect(page.locator("#callers-note")).to_contain_text("only for a service token of scope metrics")
        expect(page.locator("#plots")).to_be_visible(visible=access == "open")
        enter(visited, service_token("audit"))
        expect(page.locator("#callers-note")).to_contain_text("This token does not name the clients")
        enter(visited, service_token("metrics"))
        tables = page.locator("#rankings table")
        expect(tables).to_have_count(2)
        expect(tables.first.locator("tbody tr").first).to_have_text(re.compile(r"^203\.0\.113\.9\d"))
        expect(tables.last.locator("tbody tr")).to_have_count(1)
        expect(tables.last.locator("tbody tr td").nth(1)).to_have_text("2")
        expect(page.locator("#plots")).to_be_visible()
        expect(page.locator("#entry")).to_be_hidden()
        if SCREENSHOTS and (access, view) == ("open", DESKTOP):
            page.locator("#callers").screenshot(path=Path(SCREENSHOTS) / "dashboard-callers.png")
        assert visited.violations() == []
        assert not visited.is_too_wide()
        assert visited.complaints == []
        page.reload()
        expect(page.locator("#entry")).to_be_visible()


@pytest.mark.deploy("the dashboard beside a management port", tool="Chromium")
def test_the_figures_are_on_the_management_port(browser: Browser) -> None:
    port = str(free_port())
    with ServiceProcess(MANAGEMENT_PORT=port) as running:
        with visit(browser, f"{running.url}/api/health", DESKTOP) as visited:
            visited.page.wait_for_selector("#status[data-status=healthy]")
            expect(visited.page.locator("#denial")).to_contain_text("MANAGEMENT_PORT")
            expect(visited.page.locator("#callers")).to_be_hidden()
            assert visited.violations() == []
        with visit(browser, f"http://127.0.0.1:{port}/api/health", DESKTOP) as visited:
            visited.page.wait_for_selector("#plots svg")
            assert visited.complaints == []
            assert visited.strange_requests == []


OPERATIONS: Final = json.loads(command("openapi").stdout)["paths"]
ROWS: Final = sorted((method, path) for path, item in OPERATIONS.items() for method in item)
"""Sorted, since the limit of a token is changed before it is withdrawn."""

STATUS: Final = {("post", "/api/v1/tokens"): "201", ("post", "/api/v1/token"): "400"}
"""What is answered other than 200: the ID token of the example is nobody's."""

TOKEN_NEEDED: Final = {
    (method, path)
    for method, path in ROWS
    if (security := OPERATIONS[path][method].get("security")) and {} not in security
}


def service_token(scope: str = "audit behalf issue revoke tokens") -> str:
    arguments = ["--subject", "pages", "--scope", scope, "--rate-limit", "100000", "--days", "1"]
    if "behalf" in scope:
        arguments += ["--per-subject", "60"]
    told = command("token", *arguments, env=REPLICA)
    assert told.returncode == 0, told.stderr
    return told.stdout.strip()


def authorize(visited: Visit) -> None:
    page = visited.page
    page.click(".auth-wrapper .btn.authorize")
    page.fill(".auth-container input", service_token())
    page.click(".auth-btn-wrapper .authorize")
    page.click(".auth-btn-wrapper .btn-done")


def operation(visited: Visit, method: str, path: str) -> Locator:
    """The block of an operation, opened."""
    name = OPERATIONS[path][method]["operationId"]
    block = visited.page.locator(f".opblock[id$='-{name}']")
    block.locator(".opblock-summary-control").click()
    return block


@pytest.mark.deploy("Try it out answers, for every operation", tool="Chromium, Swagger UI")
@pytest.mark.parametrize(("method", "path"), ROWS, ids=[f"{method} {path}" for method, path in ROWS])
def test_try_it_out_answers_something(browser: Browser, service: ServiceProcess, method: str, path: str) -> None:
    with visit(browser, f"{service.url}/api/docs", DESKTOP) as visited:
        page = visited.page
        page.wait_for_selector(".opblock")
        page.request.get(f"{service.url}/api/v1/id?prefix=player&run=123456")  # the identity of the examples
        authorize(visited)
        block = operation(visited, method, path)
        block.locator(".try-out__btn").click()
        block.locator(".execute").click()
        answer = block.locator(".live-responses-table .response-col_status").last
        expect(answer).to_have_text(re.compile(STATUS.get((method, path), "200")))
        assert visited.complaints == []
        if path == "/api/v1/audit":
            assert '"issued"' in (block.locator(".live-responses-table").text_content() or "")


@pytest.mark.deploy("padlocks of the docs page tell the truth", tool="Chromium, Swagger UI")
def test_a_padlock_is_open_where_a_token_is_missing_and_closed_where_one_is_sent(
    browser: Browser, service: ServiceProcess
) -> None:
    with visit(browser, f"{service.url}/api/docs", DESKTOP) as visited:
        page = visited.page
        page.wait_for_selector(".opblock")
        shown = page.locator(".opblock .authorization__btn:visible")
        assert sorted(map(text_of, shown.all())) == sorted(("unlocked", path) for _, path in TOKEN_NEEDED)
        authorize(visited)
        with_token = {path for path, item in OPERATIONS.items() for each in item.values() if each.get("security")}
        assert {text_of(block) for block in shown.all()} == {("locked", path) for path in with_token}


def text_of(padlock: Locator) -> tuple[str, str]:
    """State and path of a padlock."""
    path = padlock.locator("..").locator(".opblock-summary-path").get_attribute("data-path") or ""
    return padlock.locator("svg").get_attribute("class") or "", path
