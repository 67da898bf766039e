"""The type of every problem resolves to a page, for people and for programs, also below a prefix."""

from html.parser import HTMLParser
from urllib.parse import urljoin

import pytest

from arsenal_fast.api.problems import PROBLEMS
from tests.support.rig import Rig

HTML = {"Accept": "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8"}


class Links(HTMLParser):
    """The links of a page."""

    def __init__(self, page: bytes) -> None:
        super().__init__()
        self.found: list[str] = []
        self.feed(page.decode())

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.found += [value for name, value in attrs if name in ("href", "src") and value is not None]


@pytest.mark.parametrize("name", PROBLEMS)
def test_a_kind_has_a_page_for_programs_and_one_for_browsers(name: str) -> None:
    rig, kind = Rig(), PROBLEMS[name]
    answer = rig.get(f"/problems/{name}")
    assert (answer.status, answer.headers["content-type"], answer.headers["vary"]) == (
        200,
        "application/json",
        "Accept",
    )
    assert answer.json == {
        "type": f"/problems/{name}",
        "status": kind.status,
        "title": kind.title,
        "meaning": kind.meaning,
        "remedy": kind.remedy,
    }
    page = rig.get(f"/problems/{name}", **HTML)
    assert (page.status, page.headers["content-type"]) == (200, "text/html; charset=utf-8")
    assert page.headers["content-security-policy"].startswith("default-src 'none'")
    assert kind.title.replace("'", "&#x27;") in page.body.decode()


def test_the_index_has_every_kind() -> None:
    rig = Rig()
    assert [kind["type"] for kind in rig.get("/problems").json["problems"]] == [
        f"/problems/{name}" for name in PROBLEMS
    ]
    page = rig.get("/problems", **HTML)
    assert {f"problems/{name}" for name in PROBLEMS} <= set(Links(page.body).found)


@pytest.mark.parametrize("prefix", ["", "/identity"])
@pytest.mark.parametrize("path", ["/problems", "/problems/not-found"])
def test_every_link_of_a_page_leads_somewhere_also_below_a_prefix(prefix: str, path: str) -> None:
    base = f"https://a.example{prefix}"
    rig = Rig(settings={"base_url": base})
    for link in Links(rig.get(path, **HTML).body).found:
        target = urljoin(base + path, link)
        assert target.startswith(f"{base}/")
        assert rig.get(target.removeprefix(base)).status == 200, link


@pytest.mark.parametrize("prefix", ["", "/identity"])
def test_a_type_resolves_against_the_url_that_was_asked_for(prefix: str) -> None:
    """RFC 9457 3.1.1: a reference with the full path, so the host is the one that the client knows."""
    rig = Rig(settings={"base_url": f"https://a.example{prefix}"})
    asked = f"http://other.example{prefix}/api/v1/nothing?x"
    kind = rig.get("/api/v1/nothing").json["type"]
    assert kind == f"{prefix}/problems/not-found"
    assert urljoin(asked, kind) == f"http://other.example{prefix}/problems/not-found"
    assert rig.get(kind.removeprefix(prefix)).json["type"] == kind


def test_an_unknown_kind_is_a_404() -> None:
    assert Rig().get("/problems/none").status == 404
