"""Links of the Markdown files: what leads out of docs/ leads to a page of the site, or to the file at GitHub."""

import posixpath
import re
from collections.abc import Callable
from pathlib import Path
from typing import Final

OUTSIDE: Final = {
    "README.md": "overview.md",
    "PERF.md": "performance.md",
    "CHANGELOG.md": "changelog.md",
    "CONTRIBUTING.md": "contributing.md",
    "SECURITY.md": "security.md",
    "examples/README.md": "how-to/examples.md",
    "examples/curl.md": "how-to/curl.md",
    "clients/python/README.md": "reference/python-client.md",
    "clients/typescript/README.md": "reference/typescript-client.md",
    "bench/README.md": "benchmark.md",
}
"""Files of the repository that are pages of the site."""

GENERATED: Final = {
    "README.md#the-api": "reference/api.md",
    "README.md#with-redis-and-in-production": "reference/configuration.md",
    "docs/monitoring.md#metrics": "reference/metrics.md",
}
"""Sections in whose place the site has a page that is generated."""

_FENCE: Final = re.compile(r"^ *```.*?^ *```$", re.MULTILINE | re.DOTALL)
_LINK: Final = re.compile(r"(?<=\]\()(?!https?:|mailto:|#)([^)#\s]+)(#[^)\s]+)?(?=\))")


class Links:
    """Rewrites the links of pages."""

    def __init__(self, root: Path, repository: str) -> None:
        self._root = root
        self._repository = repository

    def rewritten(self, markdown: str, page: str) -> str:
        """Return the text of a page of the site with links that work there.

        A link that leads nowhere stays, so that a strict build names it.
        """
        source = next((file for file, each in OUTSIDE.items() if each == page), f"docs/{page}")
        return _outside_fences(markdown, lambda text: _LINK.sub(lambda link: self._target(link, source, page), text))

    def _target(self, link: re.Match[str], source: str, page: str) -> str:
        """Return what stands between the parentheses of a link."""
        path, anchor = link[1], link[2] or ""
        target = posixpath.normpath(posixpath.join(posixpath.dirname(source), path))
        if (generated := GENERATED.get(target + anchor)) is not None:
            return posixpath.relpath(generated, posixpath.dirname(page) or ".")
        if (self._root / target / "README.md").is_file():
            target = f"{target}/README.md"
        own = OUTSIDE.get(target) or (target.removeprefix("docs/") if target.startswith("docs/") else None)
        if own is not None:
            return posixpath.relpath(own, posixpath.dirname(page) or ".") + anchor
        if (self._root / target).exists():
            kind = "tree" if (self._root / target).is_dir() else "blob"
            return f"{self._repository}/{kind}/main/{target}{anchor}"
        return link[0]


def _outside_fences(markdown: str, change: Callable[[str], str]) -> str:
    """Return the text with all but its blocks of code changed."""
    parts, end = [], 0
    for fence in _FENCE.finditer(markdown):
        parts += [change(markdown[end : fence.start()]), fence[0]]
        end = fence.end()
    return "".join([*parts, change(markdown[end:])])
