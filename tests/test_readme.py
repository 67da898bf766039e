"""README, docs/ and the deployment files name only files, targets, commands and metrics that exist."""

import re
from pathlib import Path

import pytest

from arsenal_fast.cli.main import main
from arsenal_fast.config.load import load
from arsenal_fast.config.parsers import trusted_proxies
from arsenal_fast.config.schema import markdown_table
from arsenal_fast.ratelimit.client import ClientAddresses

ROOT = Path(__file__).parents[1]
PAGES = [*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md"), ROOT / "bench" / "README.md"]
DEPLOYMENT = [
    *(ROOT / name for name in ("Dockerfile", "Makefile", "docker-compose.yml", ".ci/run")),
    *(
        path
        for name in ("deploy", "k8s", "scripts", ".github")
        for path in (ROOT / name).rglob("*.*")
        if path.is_file()
    ),
    ROOT / "deploy" / "caddy" / "Caddyfile",
]
NOT_CHECKED = {".json", ".pyc"}
CHECKED = [
    path
    for path in (*PAGES, *DEPLOYMENT)
    if path.suffix not in NOT_CHECKED and path.name != "CHANGELOG.md"  # which also names files that are gone
]
DECISIONS = ROOT / "docs" / "decisions"
RECORDS = sorted(path for path in DECISIONS.glob("*.md") if path.name != "README.md")

_FENCED = re.compile(r"^```.*?^```", re.MULTILINE | re.DOTALL)
_PATH = re.compile(r"(?<![\w/.:$<>{}*-])(\.?\w[\w.-]*(?:/[\w.*-]+)+)(?<![_-])(?![\w*-])")
_TARGET = re.compile(r"(?:`|^ {4}|^- run: |\n)make ([a-z0-9]+(?:-[a-z]+)*)(?= |`|$)", re.MULTILINE)
_COMMAND = re.compile(r"arsenal-fast (ledger [a-z]+|token inspect|[a-z]+)(?![\w-])")
_METRIC = re.compile(r"(?<![\w$])identity_[a-z_]+[a-z](?![a-z_]*[@:({*])")
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


def missing_paths(page: Path, text: str) -> list[str]:
    """Return the paths below a directory of the repository, of the package or of the page that don't exist."""
    bases = (ROOT, ROOT / "arsenal_fast", page.parent)
    return [
        path
        for path in _PATH.findall(text)
        if any((base / path.split("/")[0]).is_dir() for base in bases[:2])
        and not any(list(base.glob(path.rstrip("./"))) for base in bases)
        and path.rstrip(".") not in MADE
        and path.split("/")[0] not in GENERATED
    ]


GENERATED = {"backups", "build", "data", "dist"}
"""Directories of files that targets and commands make."""

MADE = {
    "deploy/alertmanager/secrets",  # by the operator
    "bench/peers/.build",
    "bench/peers/javascript/node_modules",
    "clients/python/build",
    "clients/typescript/dist",
    "clients/typescript/node_modules",
    "examples/node_modules",
    ".github/workflows/publish-market-odds.yml",  # in the guide's repository
    "tests/a/test_b.py",  # placeholders
    "arsenal_fast/a/b.py",
}
"""Paths that may be named and don't exist in the repository."""


@pytest.mark.parametrize("page", CHECKED, ids=lambda path: str(path.relative_to(ROOT)))
def test_every_path_that_is_named_exists(page: Path) -> None:
    assert missing_paths(page, page.read_text()) == []


def test_a_path_that_does_not_exist_is_found() -> None:
    text = "see `config/memory_budget.py`, `memory_budget.py`, docs/ledger.md and (docs/ledgers.md)."
    assert missing_paths(ROOT / "README.md", text) == ["config/memory_budget.py", "docs/ledgers.md"]


@pytest.mark.parametrize("page", CHECKED, ids=lambda path: str(path.relative_to(ROOT)))
def test_every_make_target_that_is_named_exists(page: Path) -> None:
    targets = set(re.findall(r"^([a-z0-9-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    assert set(_TARGET.findall(page.read_text())) <= targets


def test_every_command_that_is_named_exists(capsys: pytest.CaptureFixture[str]) -> None:
    named = {command for page in CHECKED for command in _COMMAND.findall(page.read_text())}
    assert {"serve", "check", "ledger backup", "token inspect"} <= named
    for command in sorted(named):
        with pytest.raises(SystemExit) as ended:
            main([*command.split(), "--help"])
        assert ended.value.code == 0, command
        assert f"arsenal-fast {command}" in capsys.readouterr().out


def test_every_metric_that_is_named_is_in_the_table_of_monitoring() -> None:
    monitoring = (ROOT / "docs" / "monitoring.md").read_text()
    known = set(re.findall(r"^\| `(identity_\w+)", monitoring, re.MULTILINE))
    assert len(known) > 40
    for page in CHECKED:
        named = {re.sub(r"_(bucket|sum|count)$", "", name) for name in _METRIC.findall(page.read_text())}
        assert named <= known, page


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
