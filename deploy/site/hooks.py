"""Hooks of MkDocs: pages from outside docs/, the generated reference, links into the repository.

``mkdocs.yml`` names this file. MkDocs calls the functions by their names.
"""

from pathlib import Path

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files, InclusionLevel
from mkdocs.structure.pages import Page

from arsenal_fast import REPOSITORY
from deploy.site import reference
from deploy.site.links import OUTSIDE, Links

ROOT = Path(__file__).parents[2]


def on_config(config: MkDocsConfig) -> MkDocsConfig:
    """Name the repository, which only ``arsenal_fast/__init__.py`` has to say."""
    # Not repo_url: with it the pages fetch figures of the repository from GitHub.
    config.extra["social"] = [{"icon": "fontawesome/brands/github", "link": REPOSITORY, "name": "Repository at GitHub"}]
    return config


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Add the pages from outside docs/ and the reference."""
    texts = {page: (ROOT / source).read_text("utf-8") for source, page in OUTSIDE.items()}
    for page, text in (texts | reference.pages()).items():
        files.append(File.generated(config, page, content=text, inclusion=InclusionLevel.INCLUDED))
    return files


def on_page_markdown(markdown: str, page: Page, config: MkDocsConfig, files: Files) -> str:
    """Point links to files of the repository at their pages, or at GitHub."""
    return Links(ROOT, REPOSITORY).rewritten(markdown, page.file.src_uri)
