"""What the README says is what the program does."""

import re
from pathlib import Path

from arsenal_fast.config.load import markdown_table

ROOT = Path(__file__).parents[1]


def test_the_configuration_table_is_the_one_of_the_program() -> None:
    assert markdown_table() in (ROOT / "README.md").read_text()


def test_every_link_into_the_repository_leads_somewhere() -> None:
    for page in (ROOT / "README.md", ROOT / "SECURITY.md", *(ROOT / "docs").glob("*.md")):
        for target in re.findall(r"\]\((?!https?://|#)([^)#]+)", page.read_text()):
            assert (page.parent / target).exists(), f"{page.name} links to {target}"
