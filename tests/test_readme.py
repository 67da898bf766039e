"""What the README and the other pages say is what is there."""

import re
from pathlib import Path

import pytest

from arsenal_fast.config.load import load
from arsenal_fast.config.parsers import trusted_proxies
from arsenal_fast.config.schema import markdown_table
from arsenal_fast.ratelimit.client import ClientAddresses

ROOT = Path(__file__).parents[1]
DECISIONS = ROOT / "docs" / "decisions"
RECORDS = sorted(path for path in DECISIONS.glob("*.md") if path.name != "README.md")

_FENCED = re.compile(r"^```.*?^```", re.MULTILINE | re.DOTALL)
_LINK = re.compile(r"\]\((?!https?://)([^)#]*)(?:#([^)]+))?\)")


def test_the_configuration_table_is_the_one_of_the_program() -> None:
    assert markdown_table() in (ROOT / "README.md").read_text()


def test_every_link_into_the_repository_leads_somewhere() -> None:
    for page in (ROOT / "README.md", ROOT / "SECURITY.md", *(ROOT / "docs").rglob("*.md")):
        for target, anchor in _LINK.findall(_text(page)):
            path = page.parent / target if target else page
            assert path.exists(), f"{page.name} links to {target}"
            if anchor and path.suffix == ".md":
                assert anchor in _anchors(path), f"{page.name} links to {target}#{anchor}"


@pytest.mark.parametrize("record", RECORDS, ids=lambda path: path.stem)
def test_a_decision_has_its_parts_and_its_line_in_the_list(record: Path) -> None:
    headings = re.findall(r"^#+ (.*)$", record.read_text(), re.MULTILINE)
    assert headings[1:] == ["Context", "Decision", "Consequence"]
    assert f"| [{headings[0]}]({record.name}) |" in (DECISIONS / "README.md").read_text()


def test_decisions_are_numbered_without_a_gap() -> None:
    assert [int(record.name[:4]) for record in RECORDS] == list(range(1, len(RECORDS) + 1))


BALANCERS = re.findall(
    r"^\| [^|]+ \| `([^`]+)` \| `([^`]+)` \| `([^`]+)` \|$", (ROOT / "docs/balancers.md").read_text(), re.MULTILINE
)


@pytest.mark.parametrize(("proxies", "forwarded", "charged"), BALANCERS)
def test_the_rule_of_each_balancer_charges_the_client(proxies: str, forwarded: str, charged: str) -> None:
    addresses = ClientAddresses(trusted_proxies(proxies))
    peer = proxies.split(",", maxsplit=1)[0].partition("/")[0]
    assert addresses.key(peer, forwarded.encode()) == charged.encode()
    own = forwarded.rpartition(", ")[2]
    if own != forwarded:  # without the balancer's own address everybody is charged to it
        assert ClientAddresses((peer,)).key(peer, forwarded.encode()) == own.encode()


def test_balancers_of_six_kinds_are_told_of_and_every_time_out_can_be_set() -> None:
    assert len(BALANCERS) == 6
    seconds = re.findall(r"`(\d+)`", (ROOT / "docs/balancers.md").read_text().partition("## Who closes")[2])
    assert {"75", "620", "3650"} <= set(seconds)
    for each in seconds:
        assert load({"KEEP_ALIVE_TIMEOUT": each}).keep_alive_timeout == float(each)


def _text(page: Path) -> str:
    return _FENCED.sub("", page.read_text())


def _anchors(page: Path) -> set[str]:
    """The anchors that GitHub makes of a page's headings."""
    headings = re.findall(r"^#+ (.*)$", _text(page), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}
